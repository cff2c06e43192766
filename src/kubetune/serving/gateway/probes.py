"""What the kubelet, Prometheus and load balancers ask: whether the process lives, is ready, and what it counts."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from kubetune.serving.gateway.metrics import CONTENT_TYPE
from kubetune.serving.gateway.refusal import HttpRefusal

if TYPE_CHECKING:
    from kubetune.serving.gateway.app import Gateway

Probe = Callable[["Gateway"], Awaitable[web.Response]]


async def healthz(gateway: "Gateway") -> web.Response:
    """Liveness: java answers. A worker that loads, dies or is wrong is no reason to kill the others."""
    if gateway.backend is not None and not await gateway.backend.lives():
        raise HttpRefusal(503, "TorchServe does not answer")
    return web.json_response({"status": "ok"})


async def readyz(gateway: "Gateway") -> web.Response:
    """Readiness: the workers are READY and the golden vectors were reproduced."""
    if reason := gateway.not_ready():
        raise HttpRefusal(503, reason)
    return web.json_response({"status": "ready", "archive": gateway.digest or None})


async def ping(gateway: "Gateway") -> web.Response:
    """TorchServe's health path with an answer that is true."""
    healthy = not gateway.not_ready() and bool(gateway.digest)
    return web.json_response({"status": "Healthy" if healthy else "Unhealthy"}, status=200 if healthy else 503)


async def show_metrics(gateway: "Gateway") -> web.Response:
    """Prometheus text, TorchServe's own after ours."""
    health, connections = gateway.backend.health if gateway.backend else None, gateway.connections
    gauges = {
        "in_flight": ("Requests that are being answered.", float(gateway.in_flight.now)),
        "in_flight_limit": ("Most requests that are answered at once.", float(gateway.in_flight.limit)),
        "ready": ("Whether the pod is ready.", float(not gateway.not_ready())),
        "draining": ("Whether the pod is about to end.", float(gateway.draining)),
        "blocked_requests": ("Requests blocked because workers died under them.", float(gateway.quarantine.blocked)),
        "keys": ("API keys that are valid.", float(len(gateway.ring.keys) if gateway.ring else 0)),
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
        "unauthorized_total": ("Requests without a key that opens the endpoint.", float(gateway.audit.refused)),
    }
    text = gateway.metrics.render(gauges, counters)
    if gateway.backend is not None:
        text += await gateway.backend.own_metrics()
    return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})


async def openly_live(gateway: "Gateway") -> web.Response:
    """Liveness in the words of the Open Inference Protocol."""
    await healthz(gateway)
    return web.json_response({"live": True})


async def openly_ready(gateway: "Gateway") -> web.Response:
    """Readiness in the words of the Open Inference Protocol."""
    await readyz(gateway)
    return web.json_response({"ready": True})


STATES: dict[str, Probe] = {
    "/healthz": healthz,
    "/readyz": readyz,
    "/ping": ping,
    "/v2/health/live": openly_live,
    "/v2/health/ready": openly_ready,
}
"""What the clients' port answers without a key: load balancers, `kubetune check`, TorchServe's and KServe's clients ask
these. They hold no text and no prediction."""
PROBES: dict[str, Probe] = {"/healthz": healthz, "/readyz": readyz, "/ping": ping, "/metrics": show_metrics}
"""What the port of the kubelet and of Prometheus answers, which have no key."""
