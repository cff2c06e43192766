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
from kubetune.serving.gateway import page
from kubetune.serving.gateway.audit import Audit
from kubetune.serving.gateway.backend import RETRY_AFTER, Backend, BackendResponse
from kubetune.serving.gateway.connections import Connections
from kubetune.serving.gateway.http import Connection
from kubetune.serving.gateway.incoming import Incoming, allow, check_head
from kubetune.serving.gateway.keys import KeyRing, admit
from kubetune.serving.gateway.limits import InFlight, KeyShares, RateLimit
from kubetune.serving.gateway.metrics import CONTENT_TYPE, Metrics
from kubetune.serving.gateway.quarantine import Bulkhead, PoisonRequests
from kubetune.serving.gateway.refusal import JSON, HttpRefusal, refused, with_id
from kubetune.serving.torchserve.config import MODEL_VERSION

log = logging.getLogger(__name__)
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
PROBES = ("/healthz", "/readyz", "/ping", "/metrics")
"""The only paths without a key: the kubelet and Prometheus have none. They hold no text and no prediction."""
STATES = ("/healthz", "/readyz", "/ping")
"""Those that the clients' port answers as well: a load balancer, `kubetune check` and TorchServe's clients ask them."""
Route = Callable[[web.BaseRequest, str], Awaitable[web.Response]]


@dataclass(frozen=True)
class Prediction:
    """A request that the model is asked: path, body and media type."""

    path: str
    body: bytes
    kind: str


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
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        """Give every line of the metrics its labels."""
        labels = {"model": self.endpoint, "version": MODEL_VERSION, "archive": self.digest}
        self.metrics = Metrics(labels)

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one request of the port that clients use; never raises."""
        started, page_view = time.monotonic(), request.method in ("GET", "HEAD")
        predicted = request.path.startswith("/predictions") and not page_view
        if predicted:
            self.asked = started
        response = await self.answer(request, self.route)
        if predicted:
            self.metrics.observe(response.status, time.monotonic() - started)
        return response

    async def handle_probe(self, request: web.BaseRequest) -> web.Response:
        """Answer one request of the port that the kubelet and Prometheus use; never raises."""
        return await self.answer(request, self.route_probe)

    async def answer(self, request: web.BaseRequest, route: Route) -> web.Response:
        """Return what a route answers, or the refusal that it raises, with our headers."""
        given = request.headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        try:
            response = await route(request, request_id)
        except HttpRefusal as refusal:
            if refusal.audit:
                self.audit.note(refusal.audit, request, request_id)
            response = refused(refusal, request_id)
        except (ConnectionError, asyncio.CancelledError):
            raise  # the client has left
        except Exception:  # a bug of ours must not end the connection without a word
            log.exception("request %s failed", request_id)
            response = refused(HttpRefusal(500, "the gateway failed, its log says where"), request_id)
        self.stamp(response, request_id)
        return response

    async def route(self, request: web.BaseRequest, request_id: str) -> web.Response:
        """Find what answers a path of the clients' port.

        Raises:
            Refusal: 404 or 405, and whatever that refuses.
        """
        probe = self.probes().get(request.path)
        if probe is not None and request.path in STATES:
            allow(request, ("GET", "HEAD"))
            return await probe()
        name = admit(self.ring, request.headers, self.endpoint)  # whoever has no key learns no path either
        own = f"/predictions/{self.endpoint}"
        if request.path in ("/", own) and request.method in ("GET", "HEAD"):
            if self.archive is None:
                raise HttpRefusal(503, self.nothing_yet(), RETRY_AFTER)
            return page.page_response(request, self.endpoint, self.digest, self.archive, keyed=self.ring is not None)
        if request.path in (own, f"{own}/{MODEL_VERSION}"):
            allow(request, ("POST", "GET", "HEAD") if request.path == own else ("POST",))
            return await self.admitted(request, request_id, name)
        if request.path.startswith("/explanations"):
            raise HttpRefusal(404, "explanations are not served: TorchServe would answer them with a prediction")
        raise HttpRefusal(404, f"this path is not served: predictions are asked for by POST {own}")

    async def route_probe(self, request: web.BaseRequest, request_id: str) -> web.Response:
        """Find what answers a path of the probes' port.

        Raises:
            Refusal: 404 or 405, and whatever that refuses.
        """
        del request_id
        probe = self.probes().get(request.path)
        if probe is None:
            raise HttpRefusal(404, f"this port answers {', '.join(PROBES)}")
        allow(request, ("GET", "HEAD"))
        return await probe()

    def probes(self) -> dict[str, Callable[[], Awaitable[web.Response]]]:
        """Return what answers each path that needs no key."""
        return dict(zip(PROBES, (self.healthz, self.readyz, self.ping, self.show_metrics), strict=True))

    async def admitted(self, request: web.BaseRequest, request_id: str, name: str) -> web.Response:
        """Take a prediction's request of a key: its headers, its body and only then a place.

        A body may take its time; a place is held no longer than the model needs.
        """
        kind = check_head(request)
        backend = self.running()
        self.rate.take(name)
        self.in_flight.check()
        with self.shares.entered(name, self.ring.openers(self.endpoint)) if self.ring else nullcontext():
            body = await self.incoming.read(request)
            with self.in_flight.entered():
                return await self.predict(backend, Prediction(request.path, body, kind), request_id)

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

    async def predict(self, backend: Backend, wanted: Prediction, request_id: str) -> web.Response:
        """Pass a request on, once more if a worker died under it."""
        answer = await self.ask(backend, wanted)
        if answer.status < 400 and answer.by_handler:
            response = web.Response(body=answer.body, content_type=JSON)
        else:
            status = answer.status if answer.by_handler or answer.status in (413, 503) else 503
            response = web.Response(status=status, body=with_id(answer.body, status, request_id), content_type=JSON)
            if status == 503:
                response.headers.update(RETRY_AFTER)
                log.warning("request %s: TorchServe answered %d", request_id, answer.status)
        if answer.precision:
            response.headers["x-precision"] = answer.precision
        return response

    async def ask(self, backend: Backend, wanted: Prediction) -> BackendResponse:
        """Ask; a prediction changes nothing, so it may be asked for twice."""
        digest = hashlib.sha256(wanted.kind.encode() + b"\0" + wanted.body).hexdigest()
        alone = self.quarantine.check(digest)
        async with self.bulkhead.entered(alone=alone):
            answer = await backend.predict(wanted.path, wanted.body, wanted.kind)
        if answer.died:
            self.quarantine.died(digest, alone=alone)
            log.error("a worker died under a request of %d bytes, sha256 %s", len(wanted.body), digest[:12])
            if not alone and not answer.slow:
                self.metrics.retries.inc()
                await backend.wait_worker()
                return await self.ask(backend, wanted)
            self.quarantine.check(digest)  # answers 422 where it is blocked now
        self.quarantine.answered(digest) if not answer.died else None
        return answer

    async def healthz(self) -> web.Response:
        """Liveness: java answers. A worker that loads, dies or is wrong is no reason to kill the others."""
        if self.backend is not None and not await self.backend.lives():
            raise HttpRefusal(503, "TorchServe does not answer")
        return web.json_response({"status": "ok"})

    async def readyz(self) -> web.Response:
        """Readiness: the workers are READY and the golden vectors were reproduced."""
        if reason := self.not_ready():
            raise HttpRefusal(503, reason)
        return web.json_response({"status": "ready", "archive": self.digest or None})

    async def ping(self) -> web.Response:
        """TorchServe's health path with an answer that is true."""
        healthy = not self.not_ready() and bool(self.digest)
        return web.json_response({"status": "Healthy" if healthy else "Unhealthy"}, status=200 if healthy else 503)

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

    async def show_metrics(self) -> web.Response:
        """Prometheus text, TorchServe's own after ours."""
        health, connections = self.backend.health if self.backend else None, self.connections
        gauges = {
            "in_flight": ("Requests that are being answered.", float(self.in_flight.now)),
            "in_flight_limit": ("Most requests that are answered at once.", float(self.in_flight.limit)),
            "ready": ("Whether the pod is ready.", float(not self.not_ready())),
            "draining": ("Whether the pod is about to end.", float(self.draining)),
            "blocked_requests": ("Requests blocked because workers died under them.", float(self.quarantine.blocked)),
            "keys": ("API keys that are valid.", float(len(self.ring.keys) if self.ring else 0)),
            "connections": (
                "Connections of clients that are open.",
                float(0 if connections is None else len(connections)),
            ),
            "workers_ready": ("Workers that are READY.", float(health.workers if health else 0)),
            "golden_check_age_seconds": (
                "Seconds since the golden vectors were reproduced; NaN: never.",
                health.age() if health else float("nan"),
            ),
        }
        counters = {
            "worker_restarts_total": (
                "Workers that died and were started again.",
                float(health.deaths if health else 0),
            ),
            "connections_evicted_total": (
                "Connections of clients that were ended because there were too many.",
                float(0 if connections is None else connections.evicted),
            ),
            "unauthorized_total": ("Requests without a key that opens the endpoint.", float(self.audit.refused)),
        }
        text = self.metrics.render(gauges, counters)
        if self.backend is not None:
            text += await self.backend.own_metrics()
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    def stamp(self, response: web.Response, request_id: str) -> None:
        """Say on every answer which model gave it, and end connections while the pod drains."""
        response.headers["x-request-id"] = request_id
        response.headers["x-model-name"] = self.endpoint
        response.headers["x-model-version"] = MODEL_VERSION
        if self.digest:
            response.headers["x-archive-digest"] = self.digest
        if self.draining:
            response.force_close()
