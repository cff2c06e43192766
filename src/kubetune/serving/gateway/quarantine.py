"""Requests that were on a worker when it died: retried alone, and blocked if they are what kills it.

A batch dies as one, so its innocent requests look like the guilty one. Alone they do not.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kubetune.serving.gateway.refusal import HttpRefusal

BLOCKED_S = 3600.0
MOST = 1024
"""Digests remembered; older ones are forgotten first."""


class PoisonRequests:
    """Digests of requests: suspected after one dead worker, blocked for an hour after one that died under it alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._suspected: dict[str, None] = {}
        self._blocked: dict[str, float] = {}

    @property
    def blocked(self) -> int:
        """So many are blocked."""
        return len(self._blocked)

    def check(self, digest: str) -> bool:
        """Return whether the request has to be sent alone.

        Raises:
            Refusal: 422, it is blocked.
        """
        until = self._blocked.get(digest)
        if until is not None and until > self._clock():
            raise HttpRefusal(422, "this very request made two workers of the model die: it is blocked, change it")
        self._blocked.pop(digest, None)
        return digest in self._suspected

    def died(self, digest: str, *, alone: bool) -> None:
        """A worker died with this request on it."""
        if alone:
            self._suspected.pop(digest, None)
            self._blocked[digest] = self._clock() + BLOCKED_S
        else:
            self._suspected[digest] = None
        for kept in (self._suspected, self._blocked):
            while len(kept) > MOST:
                del kept[next(iter(kept))]

    def answered(self, digest: str) -> None:
        """The request got an answer, so it is innocent."""
        self._suspected.pop(digest, None)


class Bulkhead:
    """Many requests side by side, or a suspected one alone."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._shared, self._waiting, self._alone = 0, 0, False

    @asynccontextmanager
    async def entered(self, *, alone: bool) -> AsyncIterator[None]:
        """Hold a place for the length of a block."""
        await (self._enter_alone() if alone else self._enter())
        try:
            yield
        finally:
            async with self._changed:
                if alone:
                    self._alone = False
                else:
                    self._shared -= 1
                self._changed.notify_all()

    async def _enter(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._alone and not self._waiting)
            self._shared += 1

    async def _enter_alone(self) -> None:
        async with self._changed:
            self._waiting += 1
            try:
                await self._changed.wait_for(lambda: not self._alone and not self._shared)
                self._alone = True
            finally:
                self._waiting -= 1
                self._changed.notify_all()
