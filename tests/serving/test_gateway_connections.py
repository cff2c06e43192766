"""Clients that say nothing, say it slowly, or do not read: each is given up in time, and nobody else notices."""

import asyncio
import contextlib
import json
import resource
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from kubetune.serving.gateway.connections import ConnectionBounds, Connections, Phase, source_of
from kubetune.serving.gateway.http import Listener, listen_on
from kubetune.serving.gateway.incoming import Incoming
from kubetune.serving.gateway.refusal import HttpRefusal

LARGE = 8 << 20
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_the_one_that_has_shown_least_for_longest_is_evicted() -> None:
    found: Connections[str] = Connections(ConnectionBounds(total=4, per_source=4), Clock())
    for name in ("silent", "idle", "slow", "ours"):
        assert found.add(name, name) is None
    for name, phase in (("idle", Phase.IDLE), ("slow", Phase.BODY), ("ours", Phase.OURS)):
        found.enter(name, phase)
    assert [found.add(f"new {number}", "n") for number in range(2)] == ["silent", "new 0"]
    found.enter("new 1", Phase.OURS)
    assert found.add("new 2", "n") == "idle"
    found.enter("new 2", Phase.OURS)
    assert found.add("new 3", "n") == "slow"
    found.enter("new 3", Phase.OURS)
    assert found.add("new 4", "n") == "new 4"  # each of the others is being answered
    assert len(found) == 4 and found.evicted == 5 and "ours" in list(found)


def test_one_source_evicts_only_its_own() -> None:
    found: Connections[str] = Connections(ConnectionBounds(total=100, per_source=2), Clock())
    assert found.add("other", "b") is None
    added = [found.add(str(number), "a") for number in range(5)]
    assert added == [None, None, "0", "1", "2"]
    found.remove("3")
    found.remove("3")
    assert found.add("5", "a") is None and len(found) == 3


def test_what_counts_as_one_source() -> None:
    assert source_of(("10.0.0.7", 1)) == source_of(("::ffff:10.0.0.7", 1, 0, 0)) == "10.0.0.7"
    assert source_of(("2001:db8::1", 1, 0, 0)) == source_of(("2001:db8::2", 1, 0, 0)) == "2001:db8::/64"
    assert source_of(("fe80::1%eth0", 1, 0, 3)) == "fe80::/64"
    assert source_of(None) == source_of("/socket") == "unknown"


class Answers:
    """What the requests of these tests get."""

    def __init__(self) -> None:
        self.incoming = Incoming(most=3 << 20, timeout_s=0.6)
        self.release, self.left = asyncio.Event(), list[str]()

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        try:
            if request.path == "/large":
                return web.Response(body=bytes(LARGE))
            if request.path == "/wait":
                await self.release.wait()
            while request.path == "/left" and request.transport is not None:
                await asyncio.sleep(0.01)
            if request.path in {"/body", "/left"}:
                return web.Response(text=str(len(await self.incoming.read(request))))
        except HttpRefusal as refusal:
            return web.Response(status=refusal.status, text=refusal.reason)
        except ConnectionError as error:
            self.left.append(str(error))
            raise
        return web.Response(text="ok")


Scene = Callable[[Listener, Answers, Callable[..., Awaitable[Streams]]], Awaitable[None]]


def play(scene: Scene, **bounds: Any) -> None:
    """Run a scene against a listener with small bounds."""

    async def run() -> None:
        answers, opened = Answers(), []
        listener = await listen_on(
            answers, "127.0.0.1", 0, ConnectionBounds(**{"headers_s": 0.3, "write_s": 0.6, **bounds})
        )

        async def connect(sent: bytes = b"", source: str = "127.0.0.1") -> Streams:
            reader, writer = await asyncio.open_connection(*listener.address, local_addr=(source, 0))
            opened.append(writer)
            writer.write(sent)
            return reader, writer

        try:
            async with asyncio.timeout(30):
                await scene(listener, answers, connect)
        finally:
            answers.release.set()
            await listener.close()
            for writer in opened:
                writer.close()

    asyncio.run(run())


def request(path: str = "/", *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


async def status(streams: Streams) -> int:
    head = await streams[0].readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.decode().splitlines() if line.lower().startswith("content-length:"))
    await streams[0].readexactly(length)
    return int(head.split()[1])


async def ended(streams: Streams) -> bool:
    """Read to the end; a connection that is cut off counts as ended."""
    with contextlib.suppress(ConnectionError):
        while await streams[0].read(1 << 16):
            pass
    return True


def test_a_flood_of_silent_connections_closes_the_port_for_nobody() -> None:
    async def scene(listener: Listener, answers: Answers, connect: Callable[..., Awaitable[Streams]]) -> None:
        working = await connect(request("/wait"))
        for _ in range(60):
            await connect(source="127.0.0.2")
        assert await status(await connect(request())) == 200
        assert len(listener.open) <= 16 and listener.open.evicted >= 44
        answers.release.set()
        assert await status(working) == 200  # a request that is being answered is never given up

    play(scene, total=16, per_source=8, headers_s=60)


def test_even_one_address_cannot_shut_itself_out() -> None:
    async def scene(listener: Listener, answers: Answers, connect: Callable[..., Awaitable[Streams]]) -> None:
        for _ in range(40):
            await connect()
            await connect(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")  # and bodies that do not come
        assert await status(await connect(request())) == 200

    play(scene, total=8, per_source=8, headers_s=60)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\x16\x03"], ids=["silent", "half", "tls"])
def test_headers_have_a_deadline_that_further_bytes_do_not_move(sent: bytes) -> None:
    async def scene(listener: Listener, answers: Answers, connect: Callable[..., Awaitable[Streams]]) -> None:
        streams = await connect(sent)

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while sent.startswith(b"GET"):
                    streams[1].write(b"a")
                    await streams[1].drain()
                    await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert await ended(streams)
        dripping.cancel()
        assert not len(listener.open)

    play(scene, idle_s=60)


@pytest.mark.slow
def test_between_two_requests_there_is_more_time_until_the_next_begins() -> None:
    async def scene(listener: Listener, answers: Answers, connect: Callable[..., Awaitable[Streams]]) -> None:
        streams = await connect(request())
        assert await status(streams) == 200
        await asyncio.sleep(1.2)  # longer than headers may take
        streams[1].write(request())
        assert await status(streams) == 200
        streams[1].write(b"GET /")
        assert await ended(streams)

    play(scene, idle_s=60)


def test_a_client_that_does_not_read_is_given_up() -> None:
    async def scene(listener: Listener, answers: Answers, connect: Callable[..., Awaitable[Streams]]) -> None:
        streams = await connect(request("/large") * 3)
        streams[1].transport.pause_reading()
        while not len(listener.open):
            await asyncio.sleep(0.01)
        while len(listener.open):
            await asyncio.sleep(0.05)
        streams[1].transport.resume_reading()
        assert await ended(streams)

    play(scene)


def test_a_shutdown_waits_for_requests_but_not_beyond_its_time() -> None:
    async def scene(listener: Listener, answers: Answers, connect: Callable[..., Awaitable[Streams]]) -> None:
        idle, waiting, deaf = (
            await connect(request()),
            await connect(request("/wait")),
            await connect(request("/large")),
        )
        assert await status(idle) == 200
        deaf[1].transport.pause_reading()
        await asyncio.sleep(0.2)
        loop = asyncio.get_running_loop()
        loop.call_later(0.3, answers.release.set)
        await listener.finish(loop.time() + 1.0)  # and not the 60 seconds of the write deadline
        assert await status(waiting) == 200
        deaf[1].transport.resume_reading()
        assert await ended(idle) and await ended(deaf)

    play(scene, write_s=60)


def test_bodies_that_do_not_come_are_408_and_memory_for_them_is_bounded() -> None:
    async def scene(listener: Listener, answers: Answers, connect: Callable[..., Awaitable[Streams]]) -> None:
        head = request("/body", f"Content-Length: {1 << 20}", method="POST")
        slow = [await connect(head + bytes((1 << 20) - 1)) for _ in range(5)]
        whole = await connect(head + bytes(1 << 20))
        assert await status(whole) == 200
        assert answers.incoming.size <= 3 << 20
        found = sorted([await status(streams) for streams in slow])
        assert found.count(408) <= 3 and set(found) == {408, 503}, found
        assert not answers.incoming.size

    play(scene)


@pytest.mark.parametrize(
    "sent", [b"zz\r\n", b"5\r\nhello", b"-1\r\n", b"5;" + b"a" * 9000 + b"\r\n", b"ffffffffffffffffff\r\n"]
)
def test_a_chunked_body_that_is_none_is_refused(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(listener: Listener, answers: Answers, connect: Callable[..., Awaitable[Streams]]) -> None:
        head = request("/body", "Transfer-Encoding: chunked", method="POST")
        assert await status(await connect(head + sent)) in {400, 408, 413, 431}

    play(scene)
    assert "Traceback" not in caplog.text


def test_a_client_that_has_left_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(listener: Listener, answers: Answers, connect: Callable[..., Awaitable[Streams]]) -> None:
        for path in ("/body", "/left"):
            _, writer = await connect(request(path, "Content-Length: 9", method="POST"))
            await asyncio.sleep(0.1)
            writer.transport.abort()
        while len(answers.left) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)

    play(scene)
    assert caplog.records == []


def test_what_is_no_http_gets_an_answer_that_names_no_software() -> None:
    async def scene(listener: Listener, answers: Answers, connect: Callable[..., Awaitable[Streams]]) -> None:
        for sent in (b"\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", request("/", "a" * 9000), request("/" + "a" * 9000)):
            reader, _ = await connect(sent)
            answer = (await reader.read(4096)).decode()
            head, _, body = answer.partition("\r\n\r\n")
            assert head.split()[1] in {"400", "431"} and json.loads(body)["error"]["request_id"]
            assert "Server: kubetune\r\n" in head + "\r\n" and "aiohttp" not in answer and "Python" not in answer

    play(scene)


FILES = """
import resource
from kubetune.serving.gateway.http import allow_files
for hard in (4096, 900):
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    print(allow_files(1000), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_connections_never_take_the_last_open_file() -> None:
    """An accept without a descriptor fails for a second, for probes too."""
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 4096
    done = subprocess.run([sys.executable, "-c", FILES], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1000 1512 4096", "388 900 900"]


def test_a_port_that_is_taken_is_named() -> None:
    from kubetune.errors import ConfigError

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="choose another --host, --port or --probe-port"):
            asyncio.run(listen_on(Answers.__call__, *taken.getsockname()[:2]))  # type: ignore[arg-type]
