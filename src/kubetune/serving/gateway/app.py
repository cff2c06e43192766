"""The gateway's answers: who may ask what, how much, and what the model says to it."""

import asyncio
import hashlib
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

from aiohttp import web

from kubetune.serving.archive.manifest import Archive
from kubetune.serving.gateway.audit import Audit
from kubetune.serving.gateway.backend import RETRY_AFTER, Backend, BackendResponse, message
from kubetune.serving.gateway.connections import Connections
from kubetune.serving.gateway.http import Connection
from kubetune.serving.gateway.incoming import Incoming, allow, check_head
from kubetune.serving.gateway.keys import KeyRing, admit
from kubetune.serving.gateway.limits import InFlight, KeyShares, RateLimit
from kubetune.serving.gateway.metrics import Metrics
from kubetune.serving.gateway.probes import PROBES, STATES
from kubetune.serving.gateway.quarantine import Bulkhead, PoisonRequests
from kubetune.serving.gateway.refusal import HttpRefusal
from kubetune.serving.gateway.routes import READS, Route, is_page, not_served, predictions_path, routes_of, wire_of
from kubetune.serving.protocols import web_form
from kubetune.serving.protocols.base import Answered, EndpointModel, Question, Received, WireProtocol, Written
from kubetune.serving.torchserve.config import MODEL_VERSION

log = logging.getLogger(__name__)
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
ASKED = ("/predictions", "/v1/", "/v2/")
"""Beginnings of the paths whose requests count as predictions; those of the form at `/` do as well."""
Answer = Callable[[web.BaseRequest, str], Awaitable[web.Response]]


@dataclass
class Gateway:
    """One endpoint.

    Attributes:
        endpoint: Its name.
        digest: SHA-256 of the archive it serves; empty: nothing was deployed yet.
        ring: API keys; None: none are asked for.
        in_flight: Bound on requests.
        rate: Bound for each key.
        shares: Bound on the places of one key.
        backend: TorchServe; None before the first deploy.
        draining: Whether the pod is about to end.
        asked: Time (monotonic seconds) of the last request for a prediction.
        quarantine: Requests under which a worker died.
        bulkhead: Keeps them apart from the others.
        incoming: Bodies on their way.
        audit: Refused keys.
        connections: Those of the clients' port; None: it does not listen yet.
        archive: What it serves; None: nothing yet.
        form_open: Whether its page has a form to try a text with.
    """

    endpoint: str
    digest: str
    ring: KeyRing | None
    in_flight: InFlight
    rate: RateLimit
    shares: KeyShares
    backend: Backend | None = None
    draining: bool = False
    asked: float = 0.0
    quarantine: PoisonRequests = field(default_factory=PoisonRequests)
    bulkhead: Bulkhead = field(default_factory=Bulkhead)
    incoming: Incoming = field(default_factory=Incoming)
    audit: Audit = field(default_factory=Audit)
    connections: Connections[Connection] | None = None
    archive: Archive | None = None
    form_open: bool = True
    metrics: Metrics = field(init=False)
    _served: EndpointModel | None = field(init=False, default=None)
    _routes: dict[str, Route] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Give every line of the metrics its labels."""
        labels = {"model": self.endpoint, "version": MODEL_VERSION, "archive": self.digest}
        self.metrics = Metrics(labels)

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request of the port that clients use; never raises."""
        started = time.monotonic()
        predicted = request.method not in READS and (request.path == "/" or request.path.startswith(ASKED))
        if predicted:
            self.asked = started
        response = await self.answer(request, self.route)
        if predicted:
            self.metrics.observe(response.status, time.monotonic() - started)
        return response

    async def handle_probe(self, request: web.BaseRequest) -> web.Response:
        """Answer one request of the port that the kubelet and Prometheus use; never raises."""
        return await self.answer(request, self.route_probe)

    async def answer(self, request: web.BaseRequest, route: Answer) -> web.Response:
        """Return what a route answers, or the refusal that it raises in the path's protocol, with our headers."""
        given = request.headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        try:
            response = await route(request, request_id)
        except HttpRefusal as refusal:
            if refusal.audit:
                self.audit.note(refusal.audit, request, request_id)
            response = self.refused(request, refusal, request_id)
        except (ConnectionError, asyncio.CancelledError):
            raise  # the client has left
        except Exception:  # a bug of ours must not end the connection without a word
            log.exception("request %s failed", request_id)
            response = self.refused(request, HttpRefusal(500, "the gateway failed, its log says where"), request_id)
        self.stamp(response, request_id)
        return response

    def refused(self, request: web.BaseRequest, refusal: HttpRefusal, request_id: str) -> web.Response:
        """Return a refusal in the request's protocol; a form's is a page, unless the browser has to ask for a key."""
        form = request.method == "POST" and is_page(request, self.endpoint) and self.form_open
        wire: WireProtocol = web_form if form and refusal.status != 401 else wire_of(request.path)
        return rendered(wire.write_refusal(refusal, request_id))

    async def route(self, request: web.BaseRequest, request_id: str) -> web.Response:
        """Find what answers a path of the clients' port.

        Raises:
            Refusal: 404 or 405, and whatever that refuses.
        """
        if probe := STATES.get(request.path):
            allow(request, READS)
            return await probe(self)
        # Whoever has no key learns no path either. A browser can show a key as Basic alone, so the page takes that.
        browser = self.form_open and is_page(request, self.endpoint)
        name = admit(self.ring, request.headers, self.endpoint, basic=browser)
        served = self.served()
        route = self._routes.get(request.path)
        if route is None:
            raise HttpRefusal(404, not_served(request.path, served))
        allow(request, route.methods)
        if request.method == "POST" or route.show is None:
            return await self.admitted(request, request_id, name, route)
        return rendered(await route.show(self, request, served))

    async def route_probe(self, request: web.BaseRequest, request_id: str) -> web.Response:
        """Find what answers a path of the probes' port.

        Raises:
            Refusal: 404 or 405, and whatever that refuses.
        """
        del request_id
        probe = PROBES.get(request.path)
        if probe is None:
            raise HttpRefusal(404, f"this port answers {', '.join(PROBES)}")
        allow(request, READS)
        return await probe(self)

    def served(self) -> EndpointModel:
        """Return what is served.

        Raises:
            Refusal: 503, nothing yet.
        """
        if self.archive is None:
            raise HttpRefusal(503, self.nothing_yet() if not self.digest else "the model is loading", RETRY_AFTER)
        if self._served is None or self._served.archive is not self.archive:
            keyed = self.ring is not None
            self._served = EndpointModel(self.endpoint, self.digest, self.archive, keyed, self.form_open)
            self._routes = routes_of(self._served)
        return self._served

    async def admitted(self, request: web.BaseRequest, request_id: str, name: str, route: Route) -> web.Response:
        """Take a prediction's request of a key, in any protocol: its headers, its body and only then a place.

        A body may take its time; a place is held no longer than the model needs.
        """
        wire, kind = check_head(request, route.wires)
        backend, served = self.running(), self.served()
        self.rate.take(name)
        self.in_flight.check()
        with self.shares.entered(name, self.ring.openers(self.endpoint)) if self.ring else nullcontext():
            body = await self.incoming.read(request)
            with self.in_flight.entered():
                question = wire.read_request(Received(body, kind, request.headers, request_id), served)
                answer = await self.predict(backend, question, request_id)
                response = rendered(
                    wire.write_answer(Answered(answer.status, answer.body, answer.tokens), question, served)
                )
        if answer.precision:
            response.headers["x-precision"] = answer.precision
        return response

    def running(self) -> Backend:
        """Return the model server.

        Raises:
            Refusal: 503, there is none, or it has no worker: TorchServe would queue the request for a minute.
        """
        if self.backend is None:
            raise HttpRefusal(503, self.nothing_yet() if not self.digest else "the model is loading", RETRY_AFTER)
        if not self.backend.health.workers:
            raise HttpRefusal(503, f"no worker of the model is ready: {self.backend.health.reason()}", RETRY_AFTER)
        return self.backend

    async def predict(self, backend: Backend, question: Question, request_id: str) -> BackendResponse:
        """Return what our handler says.

        Raises:
            Refusal: TorchServe itself refused the request, or answered for a worker that is away.
        """
        answer = await self.ask(backend, question)
        if answer.by_handler:
            return answer
        status = answer.status if answer.status == 413 else 503
        if status == 503:
            log.warning("request %s: TorchServe answered %d", request_id, answer.status)
        reason = message(answer.body)[:200] or "the model server gave no reason"
        raise HttpRefusal(status, reason, RETRY_AFTER if status == 503 else {})

    async def ask(self, backend: Backend, question: Question) -> BackendResponse:
        """Ask; a prediction changes nothing, so it may be asked for twice, once more if a worker died under it."""
        digest = hashlib.sha256(question.kind.encode() + b"\0" + question.body).hexdigest()
        alone = self.quarantine.check(digest)
        async with self.bulkhead.entered(alone=alone):
            answer = await backend.predict(predictions_path(self.endpoint), question.body, question.kind)
        if answer.died:
            self.quarantine.died(digest, alone=alone)
            log.error("a worker died under a request of %d bytes, sha256 %s", len(question.body), digest[:12])
            if not alone and not answer.slow:
                self.metrics.retries.inc()
                await backend.wait_worker()
                return await self.ask(backend, question)
            self.quarantine.check(digest)  # answers 422 where it is blocked now
        self.quarantine.answered(digest) if not answer.died else None
        return answer

    def not_ready(self) -> str:
        """Why the pod should get no requests; empty: it should."""
        if self.draining:
            return "the pod is about to end"
        if not self.digest:
            return ""  # so that an endpoint can be installed before there is a model
        if self.backend is None:
            return "the model is loading"
        return "" if self.backend.health.ready else self.backend.health.reason()

    def nothing_yet(self) -> str:
        """What to do before the first deploy."""
        return (
            f"endpoint {self.endpoint} serves no model yet: run a recipe to its stage `deploy`, for example "
            f"`kubetune submit RECIPE.yaml --endpoint {self.endpoint}`"
        )

    def stamp(self, response: web.Response, request_id: str) -> None:
        """Say on every answer which model gave it, and end connections while the pod drains."""
        response.headers["x-request-id"] = request_id
        response.headers["x-model-name"] = self.endpoint
        response.headers["x-model-version"] = MODEL_VERSION
        if self.digest:
            response.headers["x-archive-digest"] = self.digest
        if self.draining:
            response.force_close()


def rendered(written: Written) -> web.Response:
    """Return what a protocol wrote as an answer."""
    return web.Response(
        body=written.body, status=written.status, content_type=written.kind, headers=dict(written.headers)
    )
