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

POLL_S = 0.05
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


def spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    *,
    mark: str,
    descriptors: Sequence[int] = (),
) -> Process:
    """Start a process in a session of its own, so that a closed terminal or a Ctrl-C does not reach it.

    Args:
        command: Program and arguments, `mark` among them.
        environment: All of its environment variables.
        folder: Its working directory.
        log: File that takes its standard output and error.
        mark: See `Process`.
        descriptors: Open files that it gets under the same numbers.
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
            pass_fds=descriptors,
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


def with_mark(mark: str, known: Process | None = None) -> Process | None:
    """Return a process that was started with this mark, whoever started it and did not live to record it.

    Args:
        mark: See `Process`.
        known: One that is recorded, and not meant.
    """
    for found in psutil.process_iter(["cmdline", "create_time", "status"]):
        if known is not None and found.pid == known.pid:
            continue
        if mark in (found.info["cmdline"] or ()) and found.info["status"] != psutil.STATUS_ZOMBIE:
            return Process(found.pid, found.info["create_time"], mark)
    return None


def is_child(pid: int) -> bool:
    """Whether this process started that one and has not yet collected it."""
    return pid in _children


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
    for member in _outlive(family, grace_s):
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    _outlive(family, grace_s)


def _outlive(family: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Return who still runs after at most `timeout_s`; who ended and waits to be collected by another does not run."""
    deadline = time.monotonic() + timeout_s
    while left := [member for member in family if _runs(member)]:
        if time.monotonic() > deadline:
            return left
        time.sleep(POLL_S)
    return []


def _runs(member: psutil.Process) -> bool:
    _reap(member.pid, 0)
    try:
        return member.is_running() and member.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _find(process: Process) -> psutil.Process | None:
    _reap(process.pid, 0)
    try:
        found = psutil.Process(process.pid)
        if abs(found.create_time() - process.started) > CLOCK_SLACK_S or found.status() == psutil.STATUS_ZOMBIE:
            return None
        return found if process.mark in _arguments(found) else None
    except psutil.NoSuchProcess:
        return None


def _arguments(found: psutil.Process) -> list[str]:
    """Return the command line; a process has none for a moment while it loads its program, and while it dies."""
    deadline = time.monotonic() + CLOCK_SLACK_S
    while not (arguments := found.cmdline()) and found.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
    return arguments


def _reap(pid: int, timeout_s: float) -> None:
    """Collect the exit status if the process is a child of this one; else it would stay as a zombie."""
    child = _children.get(pid)
    if child is None:
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=timeout_s)
        del _children[pid]
