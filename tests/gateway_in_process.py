"""A real gateway in this process, before a real predictor that is asked as TorchServe's handler asks it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from kubetune.serving import asking
from kubetune.serving import request as body
from kubetune.serving.gateway.app import Gateway
from kubetune.serving.gateway.backend import Backend, Health
from kubetune.serving.gateway.http import listen_on
from kubetune.serving.gateway.keys import KeyRing
from kubetune.serving.gateway.limits import InFlight, KeyShares, RateLimit
from kubetune.serving.predictor import Answer, Predictor, Refusal

NAME, DIGEST = "toy", "d" * 64


@dataclass
class InProcess:
    """A gateway that answers.

    Attributes:
        url: `http://127.0.0.1:port`.
        gateway: It.
        asked: Bodies that reached the model.
    """

    url: str
    gateway: Gateway
    asked: list[bytes]

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")


def handled(predictor: Predictor, content: bytes, kind: str) -> web.Response:
    """What `TextHandler` answers."""
    archive = predictor.archive
    form = body.request_form(predictor.task, archive.serving.max_items, archive.texts)
    request, tokens = body.parse_request(content, kind, form), 0
    if isinstance(request, Refusal):
        status, text = body.refuse(request)
    else:
        (outcomes,) = asking.ask([request], predictor)
        status, text = body.answer(request, outcomes, predictor.task, archive.labels, archive.serving.top_k)
        tokens = sum(outcome.tokens for outcome in outcomes if isinstance(outcome, Answer))
    headers = {"x-archive-digest": DIGEST, "x-precision": predictor.precision, "x-tokens": str(tokens)}
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)


@contextmanager
def gateway_before(predictor: Predictor, ring: KeyRing | None = None, **more: Any) -> Iterator[InProcess]:
    """Run a gateway in a thread of its own until the block ends."""
    asked: list[bytes] = []
    started, loop, ended = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    found: list[InProcess] = []

    async def upstream(request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            return web.json_response([{"workers": [{"id": "9000", "pid": 7, "status": "READY"}]}])
        content = await request.read()
        asked.append(content)
        return handled(predictor, content, request.headers["Content-Type"])

    async def run() -> None:
        behind = await listen_on(upstream, "127.0.0.1", 0)
        at = f"http://127.0.0.1:{behind.address[1]}"
        backend = Backend(at, at, f"{at}/metrics", NAME, 20.0, 10, Health(workers=1, golden=True))
        bounds = InFlight(16), RateLimit(more.pop("rate", 0.0)), KeyShares(16, 0.5)
        gateway = Gateway(NAME, DIGEST, ring, *bounds, backend, archive=predictor.archive, **more)
        front = await listen_on(gateway.handle, "127.0.0.1", 0)
        found.append(InProcess(f"http://127.0.0.1:{front.address[1]}", gateway, asked))
        started.set()
        await ended.wait()
        await front.close()
        await backend.close()
        await behind.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert started.wait(10)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()
