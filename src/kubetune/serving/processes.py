"""Background processes that outlive their starter, and are recognised before they are signalled."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

CLOCK_SLACK_S = 2.0
"""Start times are derived from the boot time, which a clock correction moves."""

_children: dict[int, subprocess.Popen[bytes]] = {}  # those of this very process: they must be reaped when they end


@dataclass(frozen=True)
class Process:
    """What recognises a process again, also after its number was given to another.

    Attributes:
        pid: Process number; also its process group and session.
        started: Start time, seconds since the epoch.
        mark: An argument of its command line that no other process has.
    """

    pid: int
    started: float
    mark: str


def spawn(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path, mark: str) -> Process:
    """Start a process in a session of its own, so that a closed terminal or a Ctrl-C does not reach it.

    Args:
        command: Program and arguments, `mark` among them.
        environment: All of its environment variables.
        folder: Its working directory.
        log: File that takes its standard output and error.
        mark: See `Process`.
    """
    with log.open("ab") as stream:
        child = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children[child.pid] = child
    try:
        started = psutil.Process(child.pid).create_time()
    except psutil.NoSuchProcess:
        started = time.time()
    return Process(child.pid, started, mark)


def alive(process: Process) -> bool:
    """Whether that very process still runs."""
    return _find(process) is not None


def terminate(process: Process, grace_s: float = 15.0) -> None:
    """End a process and its descendants: SIGTERM, then SIGKILL for what is left after `grace_s`.

    Nothing is signalled unless number, start time and command line all match.
    """
    found = _find(process)
    if found is None:
        return
    try:
        family = [found, *found.children(recursive=True)]
    except psutil.NoSuchProcess:
        family = [found]
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
    _reap(process.pid, grace_s)
    _, left = psutil.wait_procs(family, timeout=grace_s)
    for member in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    _reap(process.pid, grace_s)
    psutil.wait_procs(left, timeout=grace_s)


def _find(process: Process) -> psutil.Process | None:
    _reap(process.pid, 0)
    try:
        found = psutil.Process(process.pid)
        if abs(found.create_time() - process.started) > CLOCK_SLACK_S or found.status() == psutil.STATUS_ZOMBIE:
            return None
        return found if process.mark in found.cmdline() else None
    except psutil.NoSuchProcess:
        return None


def _reap(pid: int, timeout_s: float) -> None:
    """Collect the exit status if the process is a child of this one; else it would stay as a zombie."""
    child = _children.get(pid)
    if child is None:
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=timeout_s)
        del _children[pid]
