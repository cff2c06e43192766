"""How many CPUs are ours, and how threads wait for each other, which depends on who else wants the CPUs now.

A spinning thread answers at once and keeps its CPU; a sleeping one gives it away. Both matter: on two cores of a
virtual machine a training whose threads sleep made 29 to 77 samples a second where one that spins made 43 to 121 (a
virtual CPU that halts is handed to others by the host), and beside one busy process 55 against 28 (who spins wastes
the turns of the thread it waits for).
"""

import os
import time
from pathlib import Path

from kubetune.config.environment import is_set

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
PROCESSES = Path("/proc")
STATE, NICE = 0, 16
"""Fields of a thread's `stat`, counted after its name."""
SPINS = "300000"
"""libgomp's own default without a setting: about a millisecond."""
LOOKS = 12
PAUSE_S = 0.004
OTHERS = 0.5
"""Runnable threads on average, beside our own, from which on the CPUs count as shared."""


def thread_waiting(threads: int | None = None, *, processes: Path = PROCESSES) -> dict[str, str]:
    """Return variables for OpenMP: short spins where the CPUs are ours now, sleep where they are not or nobody knows.

    What a person has set is kept. The numbers that are computed do not depend on it.

    Args:
        threads: That are going to compute; None: as many as the quota allows.
        processes: Linux' `/proc`; the fourth field of its `loadavg` counts the runnable threads of the machine.
    """
    if is_set("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        return {}
    found = _others(processes)
    shared = found is None or (threads or cpu_quota_threads()) + found > _cpus() + OTHERS
    # libgomp (PyTorch's wheels for Linux) reads both, other runtimes the first alone.
    return {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0" if shared else SPINS}


def cpu_quota_threads(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return how many threads this process may keep busy, at least 1.

    The least of the CPU affinity and the cgroup quota (v2 `cpu.max`, v1 `cpu.cfs_quota_us`) of this process's group
    and of each group above it. The host's core count is never used: a pod with two CPUs on a machine with 96 would
    start 96 threads that wait for each other.
    """
    found = float(_cpus())
    for folder in _own_groups(cgroups, membership):
        found = min(found, _quota(folder))
    return max(1, int(found))


def _cpus() -> int:
    """CPUs that this process may run on, beside others."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def _others(processes: Path) -> float | None:
    """How many threads other than this one want a CPU, over about fifty milliseconds; None where that is not known.

    Threads of a lower priority (a higher nice value, as the mirror's beside a run) do not count where they are seen.
    """
    total = 0
    giving_way = _giving_way(processes)
    for look in range(LOOKS):
        time.sleep(PAUSE_S if look else 0)
        try:
            runnable = int((processes / "loadavg").read_text(encoding="ascii").split()[3].split("/")[0]) - 1
        except (OSError, ValueError, IndexError):
            return None
        total += max(0, runnable - sum(_field(thread, STATE) == "R" for thread in giving_way))
    return total / LOOKS


def _giving_way(processes: Path) -> list[Path]:
    """The `stat` files of all threads of processes that are nicer than this one, as far as it sees them."""
    own = os.nice(0)
    niced = [folder for folder in processes.glob("[0-9]*") if int(_field(folder / "stat", NICE) or own) > own]
    return [stat for folder in niced for stat in _threads(folder)]


def _threads(process: Path) -> list[Path]:
    """The `stat` files of a process's threads; none once it ended."""
    try:
        return list(process.glob("task/*/stat"))
    except OSError:  # it ended between two looks
        return []


def _field(stat: Path, number: int) -> str | None:
    """A field of a thread's `stat` (proc(5)), counted after its name, which may hold anything; None once it ended."""
    try:
        return stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[number]
    except (OSError, IndexError):
        return None
