"""Retry and poison, against a loopback server that answers with TorchServe's very bytes when a worker dies."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from kubetune.serving.gateway import backend as backends
from kubetune.serving.gateway.app import Gateway
from kubetune.serving.gateway.backend import Backend, Health
from kubetune.serving.gateway.http import listen_on
from kubetune.serving.gateway.limits import InFlight, KeyShares, RateLimit
from kubetune.serving.gateway.logtail import LogTail
from kubetune.serving.torchserve.config import MODEL_VERSION
from manifests_toys import manifest

DIED = {"code": 500, "type": "InternalServerException", "message": "Worker died."}
NO_WORKER = {"code": 503, "type": "ServiceUnavailableException", "message": "Model has no worker"}


def counted(gateway: Gateway, name: str, **labels: str) -> float | None:
    """Return what a scrape reads of one series."""
    known = {"model": gateway.endpoint, "version": MODEL_VERSION, "archive": gateway.digest}
    return gateway.metrics.registry.get_sample_value(f"kubetune_gateway_{name}", known | labels)


class Upstream:
    """Answers texts; one that holds `poison` kills the whole batch that is with it, as a shared worker would."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.deaths, self.together = 0, 0
        self.batch: list[asyncio.Future[bool]] = []
        self.status: tuple[int, Any] | None = None

    async def handle(self, request: web.BaseRequest) -> web.Response:
        if request.path.startswith("/models"):
            return web.json_response([{"workers": [{"id": "9000", "pid": 7 + self.deaths, "status": "READY"}]}])
        text = (await request.json())["text"]
        self.asked.append(text)
        if self.status is not None:
            return web.json_response(self.status[1], status=self.status[0])
        if await self.dies(text):
            return web.json_response(DIED, status=500)
        return web.json_response({"predictions": []}, headers={"x-archive-digest": "d"})

    async def dies(self, text: str) -> bool:
        """Gather a batch for a moment; its fate is shared."""
        fate = asyncio.get_running_loop().create_future()
        self.batch.append(fate)
        if len(self.batch) == 1:
            self.poisoned = False
            asyncio.get_running_loop().call_later(0.1, self.close_batch)
        self.poisoned = self.poisoned or "poison" in text
        return await fate

    def close_batch(self) -> None:
        self.deaths += self.poisoned
        for fate in self.batch:
            fate.set_result(self.poisoned)
        self.batch = []


Ask = Callable[[str], Awaitable[tuple[int, Any]]]


def play(monkeypatch: pytest.MonkeyPatch, scene: Callable[[Ask, Upstream, Gateway], Awaitable[None]]) -> None:
    """Run a scene with a gateway before an upstream."""
    monkeypatch.setattr(backends, "WORKER_POLL_S", 0.01)

    async def run() -> None:
        upstream = Upstream()
        behind = await listen_on(upstream.handle, "127.0.0.1", 0)
        at = f"http://127.0.0.1:{behind.address[1]}"
        backend = Backend(at, at, f"{at}/metrics", "toy", 5.0, 10, Health(workers=1))
        gateway = Gateway(
            "toy", "d" * 64, None, InFlight(50), RateLimit(0), KeyShares(50, 0.5), backend, archive=manifest()
        )
        front = await listen_on(gateway.handle, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{front.address[1]}/predictions/toy"
        async with aiohttp.ClientSession() as session:

            async def ask(text: str) -> tuple[int, Any]:
                async with session.post(url, json={"text": text}) as reply:
                    return reply.status, await reply.json()

            await scene(ask, upstream, gateway)
        await front.close()
        await backend.close()
        await behind.close()

    asyncio.run(run())


def test_the_guilty_request_is_blocked_and_its_batch_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(ask: Ask, upstream: Upstream, gateway: Gateway) -> None:
        texts = ["a", "b", "poison", "c", "d"]
        answers = await asyncio.gather(*map(ask, texts))
        assert [status for status, _ in answers] == [200, 200, 422, 200, 200]
        assert "two workers" in answers[2][1]["error"]["reason"]
        assert upstream.deaths == 2 and gateway.quarantine.blocked == 1
        assert counted(gateway, "retries_total") == 5
        asked = len(upstream.asked)
        assert (await ask("poison"))[0] == 422
        assert len(upstream.asked) == asked  # it does not reach a worker again
        assert (await ask("a"))[0] == 200 and (await ask("poison 2"))[0] == 422

    play(monkeypatch, scene)


def test_others_wait_while_a_suspect_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(ask: Ask, upstream: Upstream, gateway: Gateway) -> None:
        first = asyncio.gather(*map(ask, ["a", "poison"]))
        await asyncio.sleep(0.15)
        late = await asyncio.gather(*map(ask, ["c", "d"]))
        assert [status for status, _ in late] == [200, 200]
        assert [status for status, _ in await first] == [200, 422]
        assert not gateway.quarantine.check("nothing")

    play(monkeypatch, scene)


def test_what_torchserve_itself_refuses_is_503_in_our_format(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(ask: Ask, upstream: Upstream, gateway: Gateway) -> None:
        for given in (
            (503, NO_WORKER),
            (500, {"code": 500, "message": "odd"}),
            (404, {"code": 404, "message": "gone"}),
        ):
            upstream.status = given
            status, value = await ask("a")
            assert status == 503 and value["error"]["reason"] == given[1]["message"], json.dumps(value)
        assert counted(gateway, "retries_total") == 0 and counted(gateway, "requests_total", status="503") == 3
        assert "request_id" in value["error"]

    play(monkeypatch, scene)


def test_a_torchserve_that_is_gone_is_503_and_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(ask: Ask, upstream: Upstream, gateway: Gateway) -> None:
        assert gateway.backend is not None
        gateway.backend.inference = "http://127.0.0.1:1"
        status, value = await ask("a")
        assert status == 503 and "not there" in value["error"]["reason"]
        assert not await gateway.backend.lives()

    play(monkeypatch, scene)


def test_a_worker_with_another_process_has_to_prove_itself_again() -> None:
    health = Health(wanted=2)
    health.see({"9000": 1, "9001": 2})
    health.golden = True
    assert health.ready
    health.see({"9000": 1})
    assert not health.ready and health.reason() == "1 of 2 workers are ready"
    health.see({"9000": 1, "9001": 3})
    assert not health.ready and "started again" in health.reason()


def test_every_death_of_a_worker_is_counted_from_the_log(tmp_path: Path, capfdbinary) -> None:
    """One line a death, whether the worker was READY, loading or killed at its import; TorchServe's very words."""
    line = b"2026-01-02T03:04:05,678 INFO  org.pytorch.serve.wlm.WorkerThread - Retry worker: 9000 in 1 seconds.\n"
    log = tmp_path / "server.log"
    tail = LogTail(log)
    tail.pump()
    log.write_bytes(b"INFO MODEL_LOG - text with Retry in it\n" + line)
    tail.pump()
    for cut in (20, len(line) - 10):  # a line that is not complete yet
        with log.open("ab") as file:
            file.write(line[:cut])
            file.flush()
            tail.pump()
            file.write(line[cut:])
        tail.pump()
    assert tail.deaths == 3
    assert capfdbinary.readouterr().err == log.read_bytes()
