"""The end of the gateway has one deadline: no client, no worker and no thread of its own moves it."""

import asyncio
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from gateways import NAME, Running, gateway
from kubetune.errors import ConfigError
from kubetune.serving.archive.manifest import archive_digest
from kubetune.serving.gateway.ending import Ending, until
from kubetune.serving.gateway.options import Options, check_options

STUCK = """
import asyncio, logging, time
from kubetune.serving.gateway.ending import Ending
async def main():
    ending = Ending(0.5, lambda: print("killed", flush=True))
    ending.listen()
    ending.ask()
    time.sleep(60)
asyncio.run(main())
"""


def test_what_hangs_beyond_the_deadline_is_killed() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (70, "killed\n")
    assert "took more than 0.5 s" in done.stderr


def test_the_time_is_shared_out_once() -> None:
    async def scene() -> None:
        ending = Ending(10.0, lambda: None)
        assert ending.left() == ending.for_requests() == float("inf")
        ending.ask()
        first = ending.left()
        assert 0 < first <= 10 and ending.for_requests() <= first - 2
        await asyncio.sleep(0.01)
        ending.ask()  # asking again gives no more time
        assert ending.left() < first
        ending.over()

    asyncio.run(scene())


def test_work_is_left_when_the_end_is_asked_for_and_its_error_is_not_lost() -> None:
    async def scene() -> None:
        asked, left = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                left.set()

        asyncio.get_running_loop().call_later(0.01, asked.set)
        await until(asked, asyncio.create_task(work()))
        await left.wait()

        async def fail() -> None:
            raise ConfigError("broken")

        with pytest.raises(ConfigError, match="broken"):
            await until(asyncio.Event(), asyncio.create_task(fail()))

    asyncio.run(scene())


def test_a_drain_that_leaves_no_time_for_requests_is_refused() -> None:
    with pytest.raises(ConfigError, match="DRAIN_S is 30, more than half of KUBETUNE_GATEWAY_SHUTDOWN_S"):
        check_options(Options("toy", "", Path(), drain_s=30, shutdown_s=50))


def never_reads(running: Running) -> socket.socket:
    """Ask until nothing more can be sent, and read none of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", running.port))
    connection.settimeout(1)
    try:
        while True:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
    except TimeoutError:
        return connection


@pytest.mark.slow
def test_neither_a_deaf_client_nor_a_stuck_worker_keeps_the_process(archive: Path, tmp_path: Path) -> None:
    digest = archive_digest(archive)
    shutil.copytree(archive, tmp_path / "archives" / digest)
    with gateway(tmp_path, digest, gateway_drain_s="0", gateway_shutdown_s="10") as running:
        running.wait("/readyz", 200)
        family = psutil.Process(running.process.pid).children(recursive=True)
        for member in family:
            if "model_service_worker" in " ".join(member.cmdline()):
                member.suspend()
        asking = threading.Thread(target=ask_in_vain, args=(running,), daemon=True)
        asking.start()
        deaf = never_reads(running)
        under_way = b'in_flight{archive="%b",model="toy",version="1.0"} 1' % digest.encode()
        deadline = time.monotonic() + 30
        while under_way not in (found := running.probe("/metrics").body):
            assert time.monotonic() < deadline, found.decode()
        assert running.end(30) == 0  # it took the write deadline, twice the wait for requests, and java's 15 seconds
        deaf.close()
        asking.join(10)
        assert not [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]
    assert "connections had a request under way and are ended" in running.log.read_text(errors="replace")


def ask_in_vain(running: Running) -> None:
    """A request whose connection is cut off."""
    with pytest.raises(OSError):
        running.send("POST", f"/predictions/{NAME}", '{"text": "a"}', Content_Type="application/json")
