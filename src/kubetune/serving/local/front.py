"""The front of an endpoint on this machine, seen from whoever changes the endpoint: start it, wait for it, stop it."""

import json
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from os import defpath
from pathlib import Path
from typing import Any

from kubetune.errors import ConfigError, InterruptedRunError, NotReadyError
from kubetune.serving import client
from kubetune.serving.local import processes
from kubetune.serving.local.record import FrontProcess, Record
from kubetune.serving.torchserve import config as torchserve_config
from kubetune.serving.torchserve.config import LOOPBACK

STATE = "front.json"
LOG = "front.log"
MODULE = "kubetune.serving.gateway.front"
RELEASE_S = 5.0
"""Seconds in which a port becomes free whose process has just ended."""
START_S = 60.0
POLL_S = 0.05
PROBE_S = 5.0


def listen_for_front(wanted: int | None, former: int | None) -> socket.socket:
    """Return a socket that listens: what connects from now on waits for the front.

    Args:
        wanted: Loopback port that was asked for.
        former: Port that the endpoint had; kept if it is free, where none was asked for.

    Raises:
        ConfigError: `wanted` is in use, or none of 8080 to 8179 is free.
    """
    if former is not None and wanted in (None, former):
        deadline = time.monotonic() + RELEASE_S
        while time.monotonic() < deadline:
            with suppress(ConfigError):
                return torchserve_config.hold_port(former)
            time.sleep(POLL_S)
    return torchserve_config.hold_port(wanted)


def start_front(folder: Path, listening: socket.socket) -> FrontProcess:
    """Start the front of an endpoint on a socket that listens; it outlives this process.

    Args:
        folder: Of the endpoint.
        listening: The socket; it stays open here.
    """
    folder = folder.resolve()
    descriptor = listening.fileno()
    command = [sys.executable, "-P", "-m", MODULE, str(folder), str(descriptor), front_mark(folder)]
    environment = {"PATH": defpath, "HOME": str(folder), "LANG": "C.UTF-8"}
    process = processes.spawn(
        command, environment, folder, folder / LOG, mark=front_mark(folder), descriptors=(descriptor,)
    )
    return FrontProcess(listening.getsockname()[1], process)


def front_mark(folder: Path) -> str:
    """Return what recognises the front of an endpoint's folder."""
    return str(folder.resolve() / STATE)


def wait_switched(folder: Path, front: FrontProcess, server: str, should_stop: Callable[[], bool]) -> None:
    """Return once new requests meet a server.

    Args:
        folder: Of the endpoint.
        front: Its front.
        server: The server's folder.
        should_stop: Asked several times a second.

    Raises:
        NotReadyError: The front ended, or did not switch in time.
        InterruptedRunError: `should_stop` asked for it.
    """
    deadline = time.monotonic() + START_S
    while _state(folder, front).get("server") != server:
        if should_stop():
            raise InterruptedRunError("The change of the endpoint was interrupted: run the same command again.")
        if not processes.alive(front.process) or time.monotonic() > deadline:
            raise NotReadyError(f"The front of {folder.name} does not answer on port {front.port}: see {folder / LOG}.")
        time.sleep(POLL_S)


def wait_left(folder: Path, front: FrontProcess, server: str, timeout_s: float) -> None:
    """Return once no request is under way with a server, or after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while processes.alive(front.process) and time.monotonic() < deadline:
        state = _state(folder, front)
        if state and server not in (state.get("server"), *state.get("leaving", ())):
            return
        time.sleep(POLL_S)


def front_problems(record: Record) -> list[str]:
    """Return what is wrong with the address of an endpoint whose server is right, one sentence each."""
    if record.front is None or not processes.alive(record.front.process):
        return [f"nothing answers on its port {record.port}"]
    try:
        reply = client.call(f"http://{LOOPBACK}:{record.port}/ping", timeout_s=PROBE_S)
    except OSError as error:
        return [f"its front does not answer on port {record.port} ({type(error).__name__})"]
    if reply.headers.get("x-archive-digest") != record.digest or reply.status != 200:
        return [f"its front on port {record.port} answers for another archive or for none"]
    return []


def _state(folder: Path, front: FrontProcess) -> dict[str, Any]:
    """The last line of the front's log; that of a former front does not count."""
    try:
        found = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("pid") == front.process.pid else {}
