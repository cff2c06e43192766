"""The HTTP server: strict about headers, idle connections and what is no HTTP, in the gateway's error format."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from kubetune.errors import ConfigError
from kubetune.serving.gateway.app import refused
from kubetune.serving.gateway.refusal import Refusal

log = logging.getLogger(__name__)
IDLE_S = 75.0
"""Seconds for the first headers of a connection, and between two requests; longer than a load balancer's 60."""
SHUTDOWN_S = 32.0
MOST_CONNECTIONS = 1024
LIMITS: dict[str, Any] = {
    "keepalive_timeout": IDLE_S,
    "lingering_time": 2.0,
    "max_line_size": 4096,
    "max_field_size": 8190,
    "max_headers": 64,
    "auto_decompress": False,
    "access_log": None,
}


class Protocol(RequestHandler):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection unless there are too many."""
        super().connection_made(transport)
        if self._manager is not None and len(self._manager.connections) > MOST_CONNECTIONS:
            transport.abort()  # type: ignore[attr-defined]

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
        response = refused(Refusal(status, reason if status < 500 else "the gateway failed"), uuid.uuid4().hex)
        if status >= 500:
            log.error("a connection failed (%s)", type(exc).__name__)
        response.force_close()
        return response


class Server(web.Server):
    """Makes our connections."""

    def __call__(self) -> Any:
        """Return a new connection."""
        return Protocol(self, loop=self._loop, **self._kwargs)


async def listen(
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], host: str, port: int
) -> tuple[web.ServerRunner, web.TCPSite]:
    """Listen; the only socket of the pod that is not on loopback.

    Raises:
        ConfigError: The port is in use or not ours.
    """
    runner = web.ServerRunner(Server(handle, **LIMITS), shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=256)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(
            f"Nothing can listen on {host}:{port} ({error.strerror}): choose another --host or --port."
        ) from error
    return runner, site
