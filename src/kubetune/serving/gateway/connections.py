"""Which connections are open, whose turn it is in each, and which one ends when there are too many."""

import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

Connection = TypeVar("Connection", bound=Hashable)


class Phase(IntEnum):
    """Whose turn it is. The order is that of eviction: whoever has shown least is the first to go."""

    HEADERS = 0
    """The headers of a request are not complete."""
    IDLE = 1
    """Between two requests."""
    BODY = 2
    """The client has to send a body."""
    ANSWER = 3
    """The client has to read its answer."""
    OURS = 4
    """A request is being answered: never evicted, and bounded by the requests in flight."""


@dataclass(frozen=True)
class ConnectionBounds:
    """What connections may take.

    Attributes:
        total: Connections at once.
        per_source: The same from one address.
        headers_s: Seconds from the first byte of a request (or from connecting) to the end of its headers.
        write_s: Seconds that a client may take to read an answer.
        idle_s: Seconds between two requests; longer than a load balancer's 60.
    """

    total: int = 1024
    per_source: int = 512
    headers_s: float = 10.0
    write_s: float = 20.0
    idle_s: float = 75.0


@dataclass
class _Entry:
    source: str
    phase: Phase
    since: float


class Connections(Generic[Connection]):
    """The open connections of one listener.

    Attributes:
        bounds: What they may take.
        evicted: Connections that were ended because there were too many.
    """

    def __init__(self, bounds: ConnectionBounds, clock: Callable[[], float] = time.monotonic) -> None:
        self.bounds, self.evicted = bounds, 0
        self._clock = clock
        self._entries: dict[Connection, _Entry] = {}
        self._sources: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._entries))

    def add(self, connection: Connection, source: str) -> Connection | None:
        """Take a connection up.

        Returns:
            Which connection has to end for it: one of the same source where that has too many, else one of all. The
            new one itself where every other is being answered. None: there is room.
        """
        self._entries[connection] = _Entry(source, Phase.HEADERS, self._clock())
        self._sources[source] += 1
        if self._sources[source] > self.bounds.per_source:
            return self._evict(source, connection)
        return self._evict(None, connection) if len(self._entries) > self.bounds.total else None

    def enter(self, connection: Connection, phase: Phase) -> None:
        """Note whose turn it is now; a connection that has ended stays away."""
        entry = self._entries.get(connection)
        if entry is not None and entry.phase is not phase:
            entry.phase, entry.since = phase, self._clock()

    def phase(self, connection: Connection) -> Phase | None:
        """Return whose turn it is; None: it has ended."""
        entry = self._entries.get(connection)
        return entry.phase if entry else None

    def remove(self, connection: Connection) -> None:
        """Forget a connection that has ended; may be called twice."""
        entry = self._entries.pop(connection, None)
        if entry is None:
            return
        self._sources[entry.source] -= 1
        if not self._sources[entry.source]:
            del self._sources[entry.source]

    def late(self) -> list[Connection]:
        """Connections whose headers did not come in time, or whose answer was not read in time."""
        now = self._clock()
        least = {Phase.HEADERS: now - self.bounds.headers_s, Phase.ANSWER: now - self.bounds.write_s}
        return [one for one, entry in self._entries.items() if entry.since <= least.get(entry.phase, float("-inf"))]

    def busy(self) -> list[Connection]:
        """Connections with a request that is not answered, or whose answer is not read."""
        return [one for one, entry in self._entries.items() if entry.phase >= Phase.BODY]

    def _evict(self, source: str | None, new: Connection) -> Connection:
        """Choose among all or one source's: the first phase, in it the one that has been there longest."""
        found, least = new, (Phase.OURS, 0.0)
        for one, entry in self._entries.items():
            if source in (None, entry.source) and one is not new and (entry.phase, entry.since) < least:
                found, least = one, (entry.phase, entry.since)
        self.evicted += 1
        self.remove(found)
        return found


def source_of(peer: object) -> str:
    """Return what stands for one client: an IPv4 address, or the /64 network of an IPv6 one.

    Args:
        peer: `peername` of a transport.
    """
    host = str(peer[0]) if isinstance(peer, tuple) and peer else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host
