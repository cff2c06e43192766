"""The HTTP server: strict about headers, time, the number of connections, and what is no HTTP."""

import asyncio
import contextlib
import logging
import resource
import socket
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from kubetune.errors import ConfigError
from kubetune.serving.gateway.connections import ConnectionBounds, Connections, Phase, source_of
from kubetune.serving.gateway.refusal import HttpRefusal, refused

log = logging.getLogger(__name__)
Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
SERVER = "kubetune"
"""The `Server` header of every answer: no versions."""
BACKLOG = 256
"""Connections that the kernel holds until they are accepted; asyncio accepts as many at once."""
SPARE_FILES = 256
"""Descriptors that the process itself needs: TorchServe's connections, logs, the archive, libraries."""
SWEEP_S = 0.5
CLOSE_S = 0.1
"""Seconds, twice at most, for tasks whose connections are gone: whatever is busy by then was given its time before."""
LIMITS: dict[str, Any] = {
    "lingering_time": 2.0,
    "max_line_size": 4096,
    "max_field_size": 8190,
    "max_headers": 64,
    "auto_decompress": False,
    "access_log": None,
}


class Connection(RequestHandler):
    """One connection; every wait for its client has an end."""

    def __init__(self, server: "HttpServer", **settings: Any) -> None:
        super().__init__(server, **settings)
        self._open = server.open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection; where there are too many, one of them ends."""
        super().connection_made(transport)
        # An answer counts as read when the kernel has all of it: else the last 64 KiB would wait without a deadline.
        transport.set_write_buffer_limits(high=0)  # type: ignore[attr-defined]
        evicted = self._open.add(self, source_of(transport.get_extra_info("peername")))
        if evicted is not None:
            evicted.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget it."""
        self._open.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """From the first byte of a request on, its headers have a deadline."""
        if data and self._open.phase(self) is Phase.IDLE:
            self.enter(Phase.HEADERS)
        super().data_received(data)

    def enter(self, phase: Phase) -> None:
        """Note whose turn it is."""
        self._open.enter(self, phase)

    def abort(self) -> None:
        """End it now, whatever is not written yet."""
        self._open.remove(self)
        if self.transport is not None:
            self.transport.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer; a client that does not read it in time is swept away."""
        resp.headers["Server"] = SERVER
        self.enter(Phase.ANSWER)
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self.enter(Phase.IDLE)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be parsed; the reason names no byte of it."""
        del message
        large = "TooLong" in type(exc).__name__
        reason = "the request line or a header is too long" if large else "the request is not HTTP/1.1 that can be read"
        status = 431 if large else status
        response = refused(HttpRefusal(status, reason if status < 500 else "the gateway failed"), uuid.uuid4().hex)
        if status >= 500 and not isinstance(exc, ConnectionError):  # the client has left, which is no fault
            log.error("a connection failed (%s)", type(exc).__name__)
        response.force_close()
        return response


class HttpServer(web.Server):
    """Makes our connections.

    Attributes:
        open: Those that are open.
    """

    def __init__(self, handle: Handle, bounds: ConnectionBounds) -> None:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            request.protocol.enter(Phase.OURS)  # type: ignore[attr-defined]
            return await handle(request)

        super().__init__(answer, keepalive_timeout=bounds.idle_s, **LIMITS)
        self.open: Connections[Connection] = Connections(bounds)

    def __call__(self) -> Connection:
        """Return a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)


@contextmanager
def clients_turn(request: web.BaseRequest) -> Iterator[None]:
    """For the length of a block, the client has to send something."""
    connection: Connection = request.protocol  # type: ignore[assignment]
    connection.enter(Phase.BODY)
    try:
        yield
    finally:
        connection.enter(Phase.OURS)


class Listener:
    """A port with its connections.

    Attributes:
        open: The open connections.
    """

    def __init__(self, handle: Handle, bounds: ConnectionBounds) -> None:
        self._server = HttpServer(handle, bounds)
        self.open = self._server.open
        self._runner = web.ServerRunner(self._server, shutdown_timeout=CLOSE_S)
        self._site: web.BaseSite | None = None
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._runner.addresses[0][:2]
        return str(host), int(port)

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            ConfigError: The port is in use or not ours.
        """
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, host, port, backlog=BACKLOG)
        try:
            await self._site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"Nothing can listen on {host}:{port} ({error.strerror}): choose another --host, --port or "
                "--probe-port."
            ) from error
        self._sweeper = asyncio.create_task(self._sweep())

    async def start_on(self, listening: socket.socket) -> None:
        """Take connections of a socket that listens already."""
        await self._runner.setup()
        self._site = web.SockSite(self._runner, listening, backlog=BACKLOG)
        await self._site.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def finish(self, until: float) -> None:
        """Take no more connections, and wait for those with a request under way; end what is left of them.

        Args:
            until: Time of the loop's clock.
        """
        if self._site is not None and self._site in self._runner.sites:
            await self._site.stop()
        self._server.pre_shutdown()
        clock = asyncio.get_running_loop().time
        while self.open.busy() and clock() < until:
            await asyncio.sleep(min(0.05, max(0.0, until - clock())))
        if left := self.open.busy():
            log.warning("%d connections had a request under way and are ended", len(left))
        await self.close()

    async def close(self) -> None:
        """End the port and every connection at once."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in self.open:
            connection.abort()
        await self._runner.cleanup()

    async def _sweep(self) -> None:
        """End connections whose client is late; one timer for all costs less than one for each request."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for connection in self.open.late():
                connection.abort()


async def listen_on(handle: Handle, host: str, port: int, bounds: ConnectionBounds | None = None) -> Listener:
    """Listen on a port.

    Raises:
        ConfigError: The port is in use or not ours.
    """
    listener = Listener(handle, bounds or ConnectionBounds())
    await listener.start(host, port)
    return listener


def allow_files(connections: int) -> int:
    """Raise the process's bound on open files as far as so many connections need it and the system lets it.

    Returns:
        Connections for which there are descriptors: a process without any left accepts none, not even a probe's.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + BACKLOG + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    return max(1, soft - BACKLOG - SPARE_FILES)
