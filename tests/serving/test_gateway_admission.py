"""Who gets a place, and what is said to the others: shares of keys, workers that are away, keys that open nothing."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from kubetune.serving.gateway.app import Gateway
from kubetune.serving.gateway.audit import MOST, WINDOW_S, Audit
from kubetune.serving.gateway.backend import MOST_UNKNOWN, RETRY_AFTER, Backend, Health
from kubetune.serving.gateway.http import listen_on
from kubetune.serving.gateway.keys import KeyRing, new_key
from kubetune.serving.gateway.limits import InFlight, KeyShares, RateLimit
from kubetune.serving.gateway.refusal import HttpRefusal
from manifests_toys import manifest

PLACES = 8
PATH = "/predictions/toy"


class Scene:
    """A gateway with two keys before a server that answers whatever it gets."""

    def __init__(self, folder: Path) -> None:
        (self.alice, first), (self.bob, second) = new_key("alice"), new_key("bob")
        (folder / "keys").write_text(f"{first}\n{second}\n", encoding="utf-8")
        self.asked: list[tuple[str, bytes]] = []
        self.ring = KeyRing(folder / "keys")

    async def upstream(self, request: web.BaseRequest) -> web.Response:
        if request.path.startswith("/models"):
            return web.json_response([{"workers": [{"id": "9000", "pid": 7, "status": "READY"}]}])
        self.asked.append((request.headers["Content-Type"], await request.read()))
        return web.json_response({"predictions": []}, headers={"x-archive-digest": "d"})

    async def post(self, key: str, **more: Any) -> tuple[int, Any, Any]:
        headers = {"x-api-key": key, **more.pop("headers", {})}
        async with self.session.post(self.url, json={"text": "a"}, headers=headers, **more) as reply:
            return reply.status, reply.headers, await reply.json()

    async def slow(self, key: str, size: int = 100) -> asyncio.StreamWriter:
        """Announce a body and send one byte of it."""
        reader, writer = await asyncio.open_connection(*self.address)
        head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nx-api-key: {key}\r\nContent-Length: {size}\r\n\r\n"
        writer.write(head.encode() + b"{")
        self.readers[writer] = reader
        return writer

    async def raw(self, *headers: bytes, body: bytes = b'{"text": "a"}') -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection(*self.address)
        lines = [b"POST " + PATH.encode() + b" HTTP/1.1", b"Host: a", b"Content-Length: %d" % len(body), *headers]
        writer.write(b"\r\n".join([*lines, b"Connection: close", b"", body]))
        answer = await reader.read()
        writer.close()
        return int(answer.split()[1]), answer

    def play(self, scene: Callable[[], Awaitable[None]], *, keys: bool = True, workers: int = 1) -> None:
        """Run a scene."""

        async def run() -> None:
            behind = await listen_on(self.upstream, "127.0.0.1", 0)
            at = f"http://127.0.0.1:{behind.address[1]}"
            self.backend = Backend(at, at, f"{at}/metrics", "toy", 5.0, 10, Health(workers=workers))
            ring = self.ring if keys else None
            bounds = InFlight(PLACES), RateLimit(0), KeyShares(PLACES, 0.5)
            self.gateway = Gateway("toy", "d" * 64, ring, *bounds, self.backend, archive=manifest())
            front = await listen_on(self.gateway.handle, "127.0.0.1", 0)
            self.address, self.url, self.readers = front.address, f"http://127.0.0.1:{front.address[1]}{PATH}", {}
            async with aiohttp.ClientSession() as self.session, asyncio.timeout(30):
                await scene()
            for writer in self.readers:
                writer.close()
            await front.close()
            await self.backend.close()
            await behind.close()

        asyncio.run(run())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_slow_bodies_of_one_key_shut_out_no_other(scene: Scene) -> None:
    async def play() -> None:
        for _ in range(PLACES):
            await scene.slow(scene.alice)
        await asyncio.sleep(0.2)
        assert scene.gateway.in_flight.now == 0  # a body that is on its way holds no place
        assert (await scene.post(scene.bob))[0] == 200
        status, headers, value = await scene.post(scene.alice)
        assert status == 429 and headers["Retry-After"] == "1"
        assert value["error"]["reason"] == "4 requests of this key are open, its share of 8"

    scene.play(play)


def test_a_place_of_a_share_is_free_again(scene: Scene) -> None:
    async def play() -> None:
        for _ in range(3):
            writers = [await scene.slow(scene.alice, 3) for _ in range(PLACES // 2)]
            await asyncio.sleep(0.1)
            assert (await scene.post(scene.alice))[0] == 429
            for number, writer in enumerate(writers):  # two are answered, two leave
                writer.write(b"}}") if number % 2 else writer.close()
            while (await scene.post(scene.alice))[0] == 429:
                await asyncio.sleep(0.02)

    scene.play(play)


def test_a_single_client_has_every_place_and_without_keys_bodies_hold_none(scene: Scene, tmp_path: Path) -> None:
    shares = KeyShares(PLACES, 0.5)
    with ExitStack() as stack:
        for _ in range(PLACES // 2):
            stack.enter_context(shares.entered("alice", 2))
        with pytest.raises(HttpRefusal, match="its share of 8"), shares.entered("alice", 2):
            pass
        for _ in range(PLACES // 2):
            stack.enter_context(shares.entered("alice", 1))
        with pytest.raises(HttpRefusal, match="its share of 8"), shares.entered("alice", 1):
            pass
    (_, first), (_, second), (_, third) = new_key("alice"), new_key("alice"), new_key("bob")
    (tmp_path / "keys").write_text(f"{first}\n{second}\n{third}:other\n", encoding="utf-8")
    ring = KeyRing(tmp_path / "keys")
    assert (ring.openers("toy"), ring.openers("other")) == (1, 2)  # a key that is being replaced is one client's

    async def play() -> None:
        for _ in range(3 * PLACES):
            await scene.slow("")
        await asyncio.sleep(0.1)
        assert (await scene.post(""))[0] == 200

    scene.play(play, keys=False)


def test_without_a_worker_the_answer_comes_at_once(scene: Scene) -> None:
    async def play() -> None:
        status, headers, value = await scene.post(scene.bob)
        assert (status, headers["Retry-After"]) == (503, RETRY_AFTER["Retry-After"])
        assert value["error"]["reason"] == "no worker of the model is ready: the model is loading"
        assert not scene.asked
        scene.gateway.backend.health.see({"9000": 7})  # type: ignore[union-attr]
        assert (await scene.post(scene.bob))[0] == 200

    scene.play(play, workers=0)


def test_one_look_without_an_answer_says_nothing_about_the_workers() -> None:
    health = Health(golden=True)
    health.see({"9000": 1})
    for _ in range(MOST_UNKNOWN - 1):
        health.see(None)
    assert health.ready
    health.see(None)
    assert not health.ready and health.workers == 0
    health.see({"9000": 1})
    assert health.ready and health.deaths == 0


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Type: application/json; charset=\xff\xfe",
        b"Content-Type: application/json; x=\xc3\xa9",
        b"Content-Type: application/json\x00;",
        b"Content-Type: application/\xe2\x98\x83",
        b"Content-Encoding: \xff",
        b"Expect: \xff",
        b"x-request-id: \xff",
        b"X-Forwarded-For: \xff",
        b"Authorization: Bearer \xff",
        b"Accept: \xff",
    ],
)
def test_no_header_is_our_fault(header: bytes, scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        key = f"x-api-key: {scene.alice}".encode()
        status, answer = await scene.raw(header, key)
        assert status in {200, 400, 401, 415}, answer
        assert all(kind == "application/json" for kind, _ in scene.asked)

    scene.play(play)
    assert "Traceback" not in caplog.text and "failed" not in caplog.text


def test_a_wrong_key_is_noted_with_its_sender_and_without_itself(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        caplog.set_level(logging.WARNING, logger="kubetune.serving.gateway.audit")
        caplog.clear()
        for _ in range(50):
            assert (await scene.post("kt_wrong", headers={"X-Forwarded-For": "203.0.113.9"}))[0] == 401
        assert scene.gateway.audit.refused == 50

    scene.play(play)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == MOST
    assert lines[0].startswith("refused a request from 127.0.0.1 (forwarded for 203.0.113.9): its API key is not known")
    assert "kt_wrong" not in caplog.text


def test_lines_that_were_left_out_are_counted_in_the_next(caplog: pytest.LogCaptureFixture) -> None:
    class Request:
        remote = "10.0.0.1"

        def __init__(self, forwarded: str = "") -> None:
            self.headers = {"X-Forwarded-For": forwarded}

    now = [0.0]
    audit = Audit(lambda: now[0])
    for _ in range(MOST + 5):
        audit.note("its API key is not known", Request("1.2.3.4\nforged line"), "id")  # type: ignore[arg-type]
    now[0] += WINDOW_S
    audit.note("it has no API key", Request("2001:db8::1, 10.0.0.2"), "id")  # type: ignore[arg-type]
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == MOST + 1 and "forged" not in caplog.text
    assert lines[-1] == (
        "refused a request from 10.0.0.1 (forwarded for 2001:db8::1, 10.0.0.2): it has no API key (request id); "
        "5 more refusals before it have no line"
    )


def test_the_probes_port_answers_probes_alone(scene: Scene) -> None:
    async def play() -> None:
        probes = await listen_on(scene.gateway.handle_probe, "127.0.0.1", 0)
        at = f"http://127.0.0.1:{probes.address[1]}"
        found = {}
        for path in ("/healthz", "/readyz", "/ping", "/metrics", PATH, "/"):
            async with scene.session.get(at + path) as reply:
                found[path] = reply.status
        assert found == {"/healthz": 503, "/readyz": 503, "/ping": 503, "/metrics": 200, PATH: 404, "/": 404}
        async with scene.session.get(f"{at}/metrics") as reply:
            text = await reply.text()
        assert "kubetune_gateway_unauthorized_total{" in text and 'model="toy"' in text
        assert "kubetune_gateway_connections{" in text
        async with scene.session.get(f"http://127.0.0.1:{scene.address[1]}/metrics") as reply:
            assert reply.status == 401 and json.loads(await reply.text())["error"]["status"] == 401
        await probes.close()

    scene.play(play)
