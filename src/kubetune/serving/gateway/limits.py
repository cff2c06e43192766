"""Overload is answered early: a bound on requests in flight, and a rate for each key."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kubetune.serving.gateway.refusal import Refusal

BURST_S = 2.0
"""Seconds of its rate that a key may use at once."""


class InFlight:
    """Requests that are being answered.

    Attributes:
        limit: At most so many.
        now: So many.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.now = limit, 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Count one for the length of a block.

        Raises:
            Refusal: 503, the bound is reached.
        """
        if self.now >= self.limit:
            raise Refusal(503, f"{self.limit} requests are in flight, no more are taken", {"Retry-After": "1"})
        self.now += 1
        try:
            yield
        finally:
            self.now -= 1


class RateLimit:
    """A token bucket for each key. Its keys are those of the file, so it cannot grow."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Limit each key to `rate` requests a second (0: no limit)."""
        self.rate, self._clock = rate, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> None:
        """Take one request of a key.

        Raises:
            Refusal: 429, with the seconds after which one is free.
        """
        if not self.rate:
            return
        capacity, now = max(1.0, self.rate * BURST_S), self._clock()
        tokens, then = self._buckets.get(name, (capacity, now))
        tokens = min(capacity, tokens + (now - then) * self.rate)
        if tokens < 1:
            self._buckets[name] = (tokens, now)
            wait = math.ceil((1 - tokens) / self.rate)
            raise Refusal(429, f"more than {self.rate:g} requests a second", {"Retry-After": str(wait)})
        self._buckets[name] = (tokens - 1, now)
