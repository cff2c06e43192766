"""Overload is answered early: a bound on requests in flight, and a rate for each key."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kubetune.serving.gateway.refusal import HttpRefusal

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

    def check(self) -> None:
        """Refuse early what would be refused once its body is here.

        Raises:
            Refusal: 503, the bound is reached.
        """
        if self.now >= self.limit:
            raise HttpRefusal(503, f"{self.limit} requests are in flight, no more are taken", {"Retry-After": "1"})

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Count one for the length of a block.

        Raises:
            Refusal: 503, the bound is reached.
        """
        self.check()
        self.now += 1
        try:
            yield
        finally:
            self.now -= 1


class KeyShares:
    """A bulkhead: one key cannot take every place. Its keys are those of the file, so it cannot grow.

    A request counts from its headers on, also while its body comes: a slow body holds a place of its own key alone.
    """

    def __init__(self, limit: int, share: float) -> None:
        """Give each of several keys at most `share` (0 to 1) of `limit` places, and one place at least."""
        self.limit, self.each = limit, max(1, int(limit * share))
        self._now: Counter[str] = Counter()

    @contextmanager
    def entered(self, name: str, keys: int) -> Iterator[None]:
        """Count a request of a key for the length of a block.

        Args:
            name: The key's.
            keys: Keys that are valid now. A single one shuts nobody out, so it has every place.

        Raises:
            Refusal: 429, the key has its share already.
        """
        most = self.limit if keys == 1 else self.each
        if self._now[name] >= most:
            raise HttpRefusal(
                429, f"{most} requests of this key are open, its share of {self.limit}", {"Retry-After": "1"}
            )
        self._now[name] += 1
        try:
            yield
        finally:
            self._now[name] -= 1


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
            raise HttpRefusal(429, f"more than {self.rate:g} requests a second", {"Retry-After": str(wait)})
        self._buckets[name] = (tokens - 1, now)
