"""What the machine really offers: bf16 only where there is an instruction for it, a GPU only where one is visible."""

from pathlib import Path

import torch

from kubetune.errors import ConfigError


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


def _cpu_flag(name: str) -> bool:
    """Whether /proc/cpuinfo lists an instruction set (Linux on x86; absent elsewhere means no)."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return False
    return name in flags.split()
