"""The seam between records and bytes on one side and a folder or a bucket on the other.

A store does eight things. What is *meant* by its bytes (blobs, commits, keys, checkpoints) is in the modules beside
this one, written once for all stores.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import Protocol

from kubetune.errors import KubetuneError

CHUNK = 1 << 20
"""Bytes read at a time."""
GRACE_S = 24 * 3600.0
"""Seconds for which an unreachable blob is safe from `gc`. A writer puts a blob again that is older than half of it,
and so has the other half to commit."""
MOST_SKEW_S = 900.0
"""Seconds by which this machine's clock and the store's may differ; S3 servers refuse signatures beyond the same."""
LONGEST_KEY = 1024
JITTER = SystemRandom()
"""Of pauses. It has no state: Python's own generator belongs to whoever seeded it, and a pause draws in any thread."""


class AbsentError(LookupError):
    """Nothing lies under the key that was to be read."""


@dataclass(frozen=True)
class Stored:
    """A small object.

    Attributes:
        data: Its bytes.
        etag: Names this content for `Store.swap`; opaque.
    """

    data: bytes
    etag: str


@dataclass(frozen=True)
class Stat:
    """What a store knows of an object without reading it.

    Attributes:
        key: Its key.
        size: Bytes.
        modified: Seconds since the epoch, by the store's clock.
    """

    key: str
    size: int
    modified: float


@dataclass(frozen=True)
class S3Settings:
    """How an S3 server is reached.

    Attributes:
        endpoint: `http(s)://host[:port]`.
        access_key: Access key.
        secret_key: Secret key; never shown.
        session_token: Token of short-lived credentials; never shown.
        region: Region that requests are signed for.
        ca_bundle: PEM file of a private certificate authority; None: the system's.
        deadline: Seconds of back-off, counted from a request's first failure, after which the store counts as away.
        connect_timeout: Seconds.
        read_timeout: Seconds without a byte.
        part_size: Bytes of one part of a large upload, at least 5 MiB.
    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str = "us-east-1"
    ca_bundle: Path | None = None
    deadline: float = 60.0
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    part_size: int = 16 << 20


class Store(Protocol):
    """Objects under keys. Every method may raise StoreUnavailableError (75) or ConfigError (78)."""

    @property
    def url(self) -> str:
        """Address of the store, without credentials."""

    def create(self, key: str, data: bytes) -> bool:
        """Write a small object if nothing lies under the key.

        Returns:
            True if these bytes were created by this call (also where the reply was lost on the way); False if
            something else lies there.
        """

    def swap(self, key: str, data: bytes, etag: str | None) -> str | None:
        """Replace a small object if it is still the one that `etag` names (None: if nothing lies there).

        Returns:
            The new etag, or None if it is no longer that one.
        """

    def get(self, key: str) -> Stored | None:
        """Read a small object; None if nothing lies there."""

    def put(self, key: str, source: Path | bytes) -> None:
        """Write an object whatever lies there; visible only when complete, its time of change becomes now."""

    def read(self, key: str) -> Iterator[bytes]:
        """Stream an object in chunks.

        Raises:
            AbsentError: Nothing lies there; raised by the first `next`.
        """

    def stat(self, key: str) -> Stat | None:
        """Size and age of an object; None if nothing lies there."""

    def list(self, prefix: str) -> Iterator[Stat]:
        """All objects whose key starts with `prefix`, which ends in `/`. Never decides what is committed."""

    def delete(self, key: str, unless_newer_than: float | None = None) -> bool:
        """Remove an object.

        Args:
            key: Key; nothing may lie there.
            unless_newer_than: Keep an object that was written after this time (seconds since the epoch).

        Returns:
            Whether something was removed.
        """

    def now(self) -> float:
        """Seconds since the epoch by the clock that gives objects their age, which need not be this machine's.

        Asked of the store each time: a file or an object is written and looked at.
        """

    def sweep_unfinished(self, before: float) -> int:
        """Remove what writers left that died before this time (seconds since the epoch); returns how many files."""


class Clock:
    """The store's time without asking it each time: what it answered once, and how long ago that was.

    Where it and this machine differ by more than `MOST_SKEW_S`, one of the two is wrong and nobody knows which.

    Attributes:
        skew: Seconds by which this machine is ahead, where they differ by more than that; else 0.
    """

    def __init__(self, store: Store) -> None:
        theirs, ours = store.now(), time.time()
        self.skew = ours - theirs if abs(ours - theirs) > MOST_SKEW_S else 0.0
        self._began = theirs - time.monotonic()

    def earliest(self) -> float:
        """Seconds since the epoch, at least: what is old by it is old."""
        return self._began + time.monotonic() + min(self.skew, 0.0)

    def latest(self) -> float:
        """Seconds since the epoch, at most: what is young by it is young."""
        return self._began + time.monotonic() + max(self.skew, 0.0)


def check_key(key: str) -> str:
    """Return `key` if it cannot lead out of the store.

    Raises:
        KubetuneError: It is empty, too long, absolute, or has a part that is empty, `.`, `..` or unprintable.
    """
    parts = key.split("/")
    if len(key.encode()) > LONGEST_KEY or any(not is_plain_name(part) for part in parts):
        raise KubetuneError(f"Key {key!r:.200} is not allowed in a store: use printable relative names without '..'.")
    return key


def is_plain_name(part: str) -> bool:
    """Whether `part` can name one level of a path anywhere: not empty, no dots alone, no separator, printable."""
    return part not in {"", ".", ".."} and part.isprintable() and "/" not in part and "\\" not in part
