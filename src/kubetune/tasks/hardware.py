"""What the machine really offers: bf16 only where there is an instruction for it, a GPU only where one is visible."""

import platform
import re
from pathlib import Path

import torch

from kubetune.config.environment import value_of
from kubetune.errors import ConfigError

CPUINFO = Path("/proc/cpuinfo")


def native_bf16(device: torch.device | str) -> bool:
    """Whether `device` multiplies bf16 natively: AVX512-BF16 or AMX on a CPU, compute capability 8.0 on CUDA.

    Elsewhere bf16 is emulated and slower than fp32.
    """
    kind = torch.device(device).type
    if kind == "cpu":
        return _cpu_flag("avx512_bf16") or _cpu_flag("amx_bf16")
    if kind == "cuda":
        return torch.cuda.get_device_capability(torch.device(device)) >= (8, 0)
    return False


def evaluation_device(hardware: str) -> torch.device:
    """Return where `evaluate` and `behave` run.

    Args:
        hardware: Of `resources.evaluate`: `cpu`, `gpu` or `any`.

    Raises:
        ConfigError: A GPU is declared and none is visible.
    """
    if hardware == "gpu" and not torch.cuda.is_available():
        raise ConfigError(
            "resources.evaluate.hardware is gpu and no GPU is visible: run it where one is, or declare cpu or any."
        )
    return torch.device("cuda" if hardware != "cpu" and torch.cuda.is_available() else "cpu")


def cpu_capability() -> str:
    """Return what PyTorch's kernels dispatch on, with the bf16 instructions, for the fingerprint."""
    flags = [flag for flag in ("avx512_bf16", "amx_bf16") if _cpu_flag(flag)]
    return "+".join([torch.backends.cpu.get_cpu_capability(), *flags])


def cpu_vendor() -> str:
    """Return who made the CPU (`AuthenticAMD`, `GenuineIntel`, …): MKL chooses its kernels by it.

    Where /proc/cpuinfo names none, the architecture stands for it.
    """
    return _cpu_line("vendor_id") or _cpu_line("CPU implementer") or platform.machine()


def blas_mode() -> str:
    """Return which BLAS PyTorch was built with, its version, and the reproducibility mode that MKL was given."""
    built = torch.__config__.show()
    name = re.search(r"BLAS_INFO=([^,\s]+)", built)
    version = re.search(r"Math Kernel Library Version ([^\s-]+)", built)
    if name is None or name[1] != "mkl":
        return name[1] if name else "unknown"
    return f"mkl {version[1] if version else 'unknown'}, MKL_CBWR={value_of('MKL_CBWR') or 'not set'}"


def _cpu_flag(name: str) -> bool:
    """Whether /proc/cpuinfo lists an instruction set (Linux on x86; absent elsewhere means no)."""
    return name in _cpu_line("flags").split()


def _cpu_line(name: str) -> str:
    """The first value of a field of /proc/cpuinfo; empty where the system has none."""
    try:
        with CPUINFO.open(encoding="utf-8") as lines:
            return next(
                (line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), ""
            )
    except OSError:
        return ""
