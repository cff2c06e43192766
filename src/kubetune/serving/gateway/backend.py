"""The TorchServe behind the gateway, as asynchronous calls over loopback."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp

from kubetune.serving.client import socket_of
from kubetune.serving.gateway.refusal import HttpRefusal

PROBE_S = 2.0
SLACK_S = 5.0
"""Seconds beyond TorchServe's own response timeout, which counts from when a worker takes the request."""
WORKER_POLL_S = 0.3
RETRY_WAIT_S = 25.0
"""Seconds that a retried request waits for a worker: one is back in 3 to 20."""
MOST_UNKNOWN = 3
"""After so many looks without an answer nothing is known of the workers any more."""
DIED = "Worker died."
RETRY_AFTER = {"Retry-After": "2"}


@dataclass(frozen=True)
class BackendResponse:
    """What came back.

    Attributes:
        status: HTTP status.
        body: Bytes.
        by_handler: Whether our handler wrote it, and not TorchServe itself.
        died: Whether a worker died with the request on it.
        slow: Whether it took so long that a second try would only hold up others.
        precision: `fp32` or `bf16`; empty where unknown.
        tokens: That the model read; 0 where unknown.
    """

    status: int
    body: bytes
    by_handler: bool
    died: bool = False
    slow: bool = False
    precision: str = ""
    tokens: int = 0


@dataclass
class Health:
    """What is known of the model now; the supervisor writes it, the gateway reads it.

    Attributes:
        wanted: Workers that the archive asks for.
        golden: Whether the golden vectors were reproduced by the workers that run now.
        checked: Time (monotonic seconds) of the last reproduction; None: never.
        deaths: Workers that died since the start; the log says so, since one that dies while it loads was never READY.
        problem: Why it is not ready, one sentence.
        processes: Process number of each worker when it was last READY.
        workers: Workers that are READY.
        unknown: Times in a row that TorchServe did not say which are.
    """

    wanted: int = 1
    golden: bool = False
    checked: float | None = None
    deaths: int = 0
    problem: str = "the model is loading"
    processes: dict[str, int] = field(default_factory=dict)
    workers: int = 0
    unknown: int = 0

    @property
    def ready(self) -> bool:
        """Whether predictions can be asked for."""
        return self.golden and self.workers >= self.wanted

    def reason(self) -> str:
        """Why it is not ready."""
        if self.golden and self.workers < self.wanted:
            return f"{self.workers} of {self.wanted} workers are ready"
        return self.problem

    def see(self, ready: Mapping[str, int] | None) -> None:
        """Take up which workers are READY; one with another process number died and has to prove itself again.

        Args:
            ready: Process numbers by worker; None: TorchServe did not answer, which a busy one does not now and then.
        """
        self.unknown = 0 if ready is not None else self.unknown + 1
        if ready is None:
            if self.unknown >= MOST_UNKNOWN:
                self.workers = 0
            return
        for worker, process in ready.items():
            if self.processes.get(worker, process) != process:
                self.golden, self.problem = False, "a worker was started again and is not checked yet"
        self.processes |= ready
        self.workers = len(ready)

    def age(self) -> float:
        """Seconds since the golden vectors were reproduced; not a number: never."""
        return float("nan") if self.checked is None else time.monotonic() - self.checked


@dataclass
class Backend:
    """One running server.

    Attributes:
        inference: `http://127.0.0.1:port` of predictions.
        management: Address of its management API, also `http+unix://…`.
        metrics: Where its own metrics are.
        model: Model name.
        timeout_s: Its response timeout.
        limit: Connections at once.
        health: What is known of it.
    """

    inference: str
    management: str
    metrics: str
    model: str
    timeout_s: float
    limit: int
    health: Health = field(default_factory=Health)
    clock: Callable[[], float] = time.monotonic
    _session: aiohttp.ClientSession | None = None
    _managing: aiohttp.ClientSession | None = None

    def session(self) -> aiohttp.ClientSession:
        """Return the connections; made in the running loop, proxies of the environment are not used."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self.limit + 8, keepalive_timeout=30)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=False)
        return self._session

    def managing(self) -> aiohttp.ClientSession:
        """Return the connections to the management API, where it has a socket."""
        path = socket_of(self.management)
        if path is None:
            return self.session()
        if self._managing is None:
            self._managing = aiohttp.ClientSession(connector=aiohttp.UnixConnector(path), trust_env=False)
        return self._managing

    async def close(self) -> None:
        """Close the connections."""
        for session in (self._session, self._managing):
            if session is not None:
                await session.close()

    async def predict(self, path: str, body: bytes, content_type: str) -> BackendResponse:
        """Ask once.

        Raises:
            Refusal: 503, nothing listens, or no worker came back; 504, no answer in time.
        """
        total = self.timeout_s + SLACK_S + RETRY_WAIT_S  # a request may queue until a worker is back
        started = self.clock()
        try:
            async with self.session().post(
                self.inference + path,
                data=body,
                headers={"Content-Type": content_type},
                timeout=aiohttp.ClientTimeout(total=total),
            ) as reply:
                content = await reply.read()
                by_handler = "x-archive-digest" in reply.headers
                died = not by_handler and reply.status >= 500 and message(content) == DIED
                slow = self.clock() - started >= self.timeout_s
                precision, tokens = reply.headers.get("x-precision", ""), int(reply.headers.get("x-tokens", "0"))
                return BackendResponse(reply.status, content, by_handler, died, slow, precision, tokens)
        except TimeoutError:
            if not self.health.workers:
                raise HttpRefusal(
                    503, f"no worker of the model is ready: {self.health.reason()}", RETRY_AFTER
                ) from None
            raise HttpRefusal(504, f"the model gave no answer in {total:g} s") from None
        except aiohttp.ClientError:
            raise HttpRefusal(503, "the model server is not there, try again", RETRY_AFTER) from None

    async def wait_worker(self) -> None:
        """Return when a worker is READY again.

        Raises:
            Refusal: 503, none is after `RETRY_WAIT_S`.
        """
        deadline = self.clock() + RETRY_WAIT_S
        while self.clock() < deadline:
            await asyncio.sleep(WORKER_POLL_S)
            if await self.workers():
                return
        raise HttpRefusal(503, "a worker of the model died and none came back yet", RETRY_AFTER)

    async def workers(self) -> dict[str, int] | None:
        """Process numbers of the workers that TorchServe calls READY now, by their ids; None: it does not answer."""
        at = "http://localhost" if socket_of(self.management) else self.management
        found = await self._get(f"{at}/models/{self.model}", self.managing())
        if found is None:
            return None
        try:
            described = [worker for model in json.loads(found) for worker in model["workers"]]
            return {str(worker["id"]): int(worker["pid"]) for worker in described if worker["status"] == "READY"}
        except (ValueError, KeyError, TypeError):
            return None

    async def lives(self) -> bool:
        """Whether java answers; `/ping` would condemn a server whose workers are only loading."""
        return await self._get(f"{self.inference}/api-description") is not None

    async def own_metrics(self) -> str:
        """TorchServe's metrics as Prometheus text; empty while it does not answer."""
        found = await self._get(self.metrics)
        return "" if found is None else found.decode("utf-8", "replace")

    async def _get(self, url: str, session: aiohttp.ClientSession | None = None) -> bytes | None:
        try:
            async with (session or self.session()).get(url, timeout=aiohttp.ClientTimeout(total=PROBE_S)) as reply:
                return await reply.read() if reply.status == 200 else None
        except (TimeoutError, aiohttp.ClientError):
            return None


def message(content: bytes) -> str:
    """Return the message of TorchServe's own error body."""
    try:
        value = json.loads(content)
    except ValueError:
        return ""
    return str(value.get("message", "")) if isinstance(value, Mapping) else ""
