"""What the machine really offers: threads by quota, and bf16 only where there is an instruction for it."""

import os
from pathlib import Path

import torch

from kubetune.errors import ConfigError

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


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


def cpu_quota_threads(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return how many threads this process may keep busy, at least 1.

    The least of the CPU affinity and the cgroup quota (v2 `cpu.max`, v1 `cpu.cfs_quota_us`) of this process's group
    and of each group above it. The host's core count is never used: a pod with two CPUs on a machine with 96 would
    start 96 threads that wait for each other.
    """
    found = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    for folder in _own_groups(cgroups, membership):
        found = min(found, _quota(folder))
    return max(1, int(found))


def _own_groups(cgroups: Path, membership: Path) -> list[Path]:
    """Folders that may hold a quota: those of the process's groups, and their parents up to the mount."""
    folders = [cgroups, cgroups / "cpu", cgroups / "cpu,cpuacct"]
    try:
        lines = membership.read_text(encoding="ascii").splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = cgroups / controllers if controllers else cgroups
        parts = Path(path.lstrip("/")).parts
        folders += [mount.joinpath(*parts[:depth]) for depth in range(len(parts), 0, -1)]
    return folders


def _quota(folder: Path) -> float:
    """CPUs that a cgroup folder grants; infinity where it sets no limit."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
    except OSError:
        return float("inf")
    return float("inf") if quota in ("max", "-1") else int(quota) / int(period)


def _cpu_flag(name: str) -> bool:
    """Whether /proc/cpuinfo lists an instruction set (Linux on x86; absent elsewhere means no)."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return False
    return name in flags.split()
