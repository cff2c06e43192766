"""Waiting and stopping, with real processes that are no TorchServe: each way of not becoming ready has its sentence."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubetune.errors import ConfigError, InterruptedRunError, NotReadyError, TemporaryError
from kubetune.serving import client
from kubetune.serving.local import processes
from kubetune.serving.local.processes import Process
from kubetune.serving.torchserve import config as configuration
from kubetune.serving.torchserve import server

SLEEPER = "import time, sys; time.sleep(float(sys.argv[1]))"


@pytest.fixture
def spawned(tmp_path: Path) -> Iterator[Callable[[str, str], server.TorchServeProcess]]:
    """Start a process that only sleeps, with a given log, in the place of a server."""
    started: list[Process] = []

    def start(seconds: str, log: str) -> server.TorchServeProcess:
        mark = str(tmp_path / "config.properties")
        command = [sys.executable, "-c", SLEEPER, seconds, mark]
        process = processes.spawn(command, {}, tmp_path, tmp_path / "server.log", mark=mark)
        started.append(process)
        (tmp_path / "server.log").write_text(log)
        (port,) = configuration.free_ports(1)
        address = f"http://127.0.0.1:{port}"
        return server.TorchServeProcess(
            "toy", "0" * 64, f"{address}/predictions/toy", address, address, str(tmp_path), str(tmp_path), process
        )

    yield start
    for process in started:
        processes.terminate(process)


def test_a_worker_that_keeps_dying_is_reported_with_its_last_words(spawned, archive: Path) -> None:
    log = "INFO MODEL_LOG - Backend worker process died.\nINFO MODEL_LOG - ValueError: no such\x1b[31m file\n" * 2
    with pytest.raises(NotReadyError, match=r"cannot load the archive: ValueError: no such \[31m file"):
        server.wait_ready(spawned("60", log), archive, 30, lambda: False)


def test_a_process_that_ends_is_reported(spawned, archive: Path) -> None:
    with pytest.raises(NotReadyError, match=r"ended while starting: java\.lang\.Error: no heap"):
        server.wait_ready(spawned("0", "java.lang.Error: no heap\n"), archive, 30, lambda: False)


def test_time_is_limited(spawned, archive: Path) -> None:
    with pytest.raises(NotReadyError, match=r"was not ready in 0\.3 s: its log is empty"):
        server.wait_ready(spawned("60", ""), archive, 0.3, lambda: False)


def test_waiting_can_be_interrupted(spawned, archive: Path) -> None:
    with pytest.raises(InterruptedRunError, match="run the same command again"):
        server.wait_ready(spawned("60", ""), archive, 30, lambda: True)


def test_only_the_recorded_process_is_ended(spawned) -> None:
    process = spawned("60", "").process
    strangers = [
        Process(process.pid, process.started, "/another/config.properties"),
        Process(process.pid, process.started - 60, process.mark),
        Process(os.getpid(), process.started, process.mark),
    ]
    for stranger in strangers:
        assert not processes.alive(stranger)
        processes.terminate(stranger)
    assert processes.alive(process)
    processes.terminate(process)
    assert not processes.alive(process)
    processes.terminate(process)


def test_a_process_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print('ready', flush=True);"
        "time.sleep(60)"
    )
    log = tmp_path / "log"
    process = processes.spawn([sys.executable, "-c", code, "mark"], {}, tmp_path, log, mark="mark")
    deadline = time.monotonic() + 30
    while "ready" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    import psutil

    children = psutil.Process(process.pid).children()
    assert len(children) == 1
    processes.terminate(process, grace_s=0.3)
    assert not processes.alive(process)
    assert not processes._runs(children[0])


def test_ports() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {port} on 127.0.0.1 is in use"):
            configuration.hold_port(port)
        with pytest.raises(ConfigError, match=f"Port {port} on 127.0.0.1 is in use: stop what listens there"):
            configuration.choose_ports(port)
    chosen = configuration.choose_ports(port)
    assert chosen.inference == port
    found = [chosen.inference, chosen.management, chosen.metrics, chosen.grpc_inference, chosen.grpc_management]
    assert len(set(found)) == 5


def test_a_long_path_is_no_place_for_sockets(tmp_path: Path) -> None:
    assert configuration.socket_folder(Path("/short")) == Path("/short/tmp")
    assert configuration.socket_folder(Path("/") / ("a" * 90)) is None


def test_java_that_runs_is_found() -> None:
    from kubetune.serving.torchserve.server import find_java

    done = subprocess.run([str(find_java()), "-version"], capture_output=True, text=True, check=True)
    assert "version" in done.stderr


def test_the_client_says_what_went_wrong() -> None:
    (port,) = configuration.free_ports(1)
    with pytest.raises(TemporaryError, match=f"Nothing answers at http://127.0.0.1:{port}/predictions/toy"):
        client.predict(f"http://127.0.0.1:{port}/predictions/toy", [{"text": "a"}])
    with pytest.raises(ConfigError, match="use http://HOST:PORT/predictions/NAME"):
        client.call("ftp://example.org")
