"""What a request brings: its method, its headers, its body inside size, time and memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from kubetune.serving.gateway.http import clients_turn
from kubetune.serving.gateway.refusal import HttpRefusal
from kubetune.serving.protocols.base import WireProtocol

MAX_BODY = 1 << 20
BODY_TIMEOUT_S = 15.0
MOST_BYTES = 64 << 20
"""Bytes of all bodies that are not complete yet. Beyond it the one that has been coming for longest is given up."""


def allow(request: web.BaseRequest, methods: tuple[str, ...]) -> None:
    """Refuse other methods: bare TorchServe answers PUT and DELETE with a prediction."""
    if request.method not in methods:
        raise HttpRefusal(405, f"use {methods[0]}", {"Allow": ", ".join(methods)})


def check_head(request: web.BaseRequest, wires: Sequence[WireProtocol]) -> tuple[WireProtocol, str]:
    """Return the protocol and the media type of a prediction; refuse what its headers and address show already.

    Only the name of the type goes on to the model server: parameters may hold any byte, and it needs none.
    """
    if request.query_string:
        raise HttpRefusal(400, "a prediction takes no query: put everything into the body")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise HttpRefusal(415, "send the body without compression")
    kind = request.headers.get("Content-Type", wires[0].KINDS[0]).partition(";")[0].strip().lower()
    found = next((wire for wire in wires if kind in wire.KINDS), None)
    if found is None:
        raise HttpRefusal(415, f"send {' or '.join(wires[0].KINDS)}")
    if (request.content_length or 0) > MAX_BODY:
        raise HttpRefusal(413, f"the body has {request.content_length} bytes: at most {MAX_BODY} are allowed")
    return found, kind


@dataclass(eq=False)
class _Body:
    """One that is on its way."""

    limit: asyncio.Timeout
    size: int = 0
    given_up: bool = False


class Incoming:
    """The bodies that are on their way.

    Attributes:
        size: Bytes of them that are here.
    """

    def __init__(self, most: int = MOST_BYTES, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self.size, self._most, self._timeout_s = 0, most, timeout_s
        self._bodies: dict[_Body, None] = {}

    async def read(self, request: web.BaseRequest) -> bytes:
        """Read a body.

        Raises:
            Refusal: 400, 408 or 413; 503 where memory is short and the others came later.
            ConnectionError: The client has left.
        """
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        if request.content.is_eof():
            return whole_body(request)
        content, limit = bytearray(), asyncio.timeout(self._timeout_s)
        body = _Body(limit)
        self._bodies[body] = None
        try:
            with clients_turn(request):
                async with limit:
                    async for chunk in request.content.iter_any():
                        content += chunk
                        bound(len(content))
                        self._grow(body, len(chunk))
        except TimeoutError:
            if body.given_up:
                raise HttpRefusal(503, "too many bodies are on their way", {"Retry-After": "1"}) from None
            raise HttpRefusal(408, f"the body did not come in {self._timeout_s:g} s") from None
        except (web.PayloadAccessError, web.RequestPayloadError) as error:
            raise HttpRefusal(400, "the body cannot be read") from error
        except RuntimeError as error:  # so says aiohttp where the client left before its body was asked for
            if request.transport is not None:
                raise
            raise ConnectionResetError("the client has left") from error
        finally:
            self._forget(body)
        return bytes(content)

    def _grow(self, body: _Body, size: int) -> None:
        """Count bytes; a body that was given up for others is not counted again."""
        if body in self._bodies:
            body.size += size
            self.size += size
        while self.size > self._most:
            oldest = next(one for one in self._bodies if one.size)
            self._forget(oldest)
            oldest.given_up = True
            oldest.limit.reschedule(0.0)

    def _forget(self, body: _Body) -> None:
        if body in self._bodies:
            del self._bodies[body]
            self.size -= body.size


def bound(size: int) -> None:
    """Refuse a body of more than `MAX_BODY` bytes."""
    if size > MAX_BODY:
        raise HttpRefusal(413, f"the body has more than {MAX_BODY} bytes")


def whole_body(request: web.BaseRequest) -> bytes:
    """Return a body that came with its headers, as most do: nothing to wait for, so no timer."""
    try:
        content = request.content.read_nowait()
    except (web.PayloadAccessError, web.RequestPayloadError) as error:
        raise HttpRefusal(400, "the body cannot be read") from error
    bound(len(content))
    return content
