"""Small JSON records that carry their own digest: a record is whole or it is nothing.

A half-written, edited or misplaced record reads as absent, and whoever writes it next may replace it; but one that
nothing can make again (`required`: a run's recipe, an endpoint, a model, its comparisons) is refused.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kubetune.errors import ConfigError, KubetuneError, StoreUnavailableError
from kubetune.storage.base import JITTER, Store

T = TypeVar("T")
Parse = Callable[[Mapping[str, Any]], T]
"""Builds a value from a record; a KeyError, TypeError or ValueError says that the record is garbage."""
ROUNDS = 100
NEWEST_FORMAT = 1
"""The newest `format` of any record that this version reads."""


@dataclass(frozen=True)
class Found(Generic[T]):
    """What lies under a record's key.

    Attributes:
        value: The record; None if nothing or garbage lies there.
        etag: Names what lies there, garbage too; None if nothing does.
    """

    value: T | None
    etag: str | None


def digest_of(value: Any) -> str:
    """SHA-256 (hex) over the canonical JSON of a value.

    Raises:
        KubetuneError: It cannot be written as JSON, for example because a number is not finite.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise KubetuneError(
            f"A record cannot be written: {error}; only finite numbers, text, lists and maps."
        ) from error
    return hashlib.sha256(text.encode()).hexdigest()


def encode(value: Mapping[str, Any]) -> bytes:
    """Return the bytes of a record: JSON with sorted keys and the digest of the rest under `sha256`."""
    digest_of(value)
    plain = json.loads(json.dumps(value))
    return (json.dumps({**plain, "sha256": digest_of(plain)}, sort_keys=True, indent=2) + "\n").encode()


def decode(data: bytes) -> dict[str, Any] | None:
    """Return a record without its digest, or None if the bytes are not a whole record."""
    try:
        value = json.loads(data)
        if not isinstance(value, dict):
            return None
        stated = value.pop("sha256", None)
        return value if stated == digest_of(value) else None
    except (ValueError, RecursionError, KubetuneError):
        return None


def refuse_newer(store: Store, key: str, record: Mapping[str, Any]) -> None:
    """Refuse a whole record of a later version: taken for garbage, it would be written over.

    Raises:
        ConfigError: It has a later format.
    """
    stated = record.get("format")
    if isinstance(stated, int) and stated > NEWEST_FORMAT:
        raise ConfigError(
            f"Record {key} of {store.url} was written by a newer kubetune (format {stated}, this one reads "
            f"{NEWEST_FORMAT}): use that version; nothing was changed."
        )


def find(store: Store, key: str, parse: Parse[T]) -> Found[T]:
    """Read a record. Garbage is read twice, so that a byte flipped on the way does not make a good record absent.

    Raises:
        ConfigError: A newer kubetune wrote it.
    """
    for _ in range(2):
        stored = store.get(key)
        if stored is None:
            return Found(None, None)
        record = decode(stored.data)
        if record is None:
            continue
        refuse_newer(store, key, record)
        try:
            return Found(parse(record), stored.etag)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return Found(None, stored.etag if stored else None)


def find_whole(store: Store, key: str, parse: Parse[T]) -> Found[T]:
    """Read a record that nothing can make again.

    Raises:
        KubetuneError: Garbage lies there: to go on without it would forget it for good.
        ConfigError: A newer kubetune wrote it.
    """
    found = find(store, key, parse)
    if found.value is None and found.etag is not None:
        raise KubetuneError(
            f"Record {key} of {store.url} is broken: restore it from a backup; who removes it forgets what it holds."
        )
    return found


def create_or_get(store: Store, key: str, value: Mapping[str, Any], parse: Parse[T], *, required: bool = False) -> T:
    """Create a record, or return the one that already stands there; garbage is replaced, or refused where `required`.

    Raises:
        StoreUnavailableError: Others keep writing and removing it.
        KubetuneError: Garbage lies there and is refused, see `find_whole`.
    """
    data = encode(value)
    for round_number in range(ROUNDS):
        if store.create(key, data):
            return parse(value)
        found = find_whole(store, key, parse) if required else find(store, key, parse)
        if found.value is not None:
            return found.value
        if found.etag is not None and store.swap(key, data, found.etag) is not None:
            return parse(value)
        pause(round_number)
    raise contended(key)


def update(
    store: Store,
    key: str,
    parse: Parse[T],
    change: Callable[[T | None], Mapping[str, Any] | None],
    *,
    required: bool = False,
) -> T | None:
    """Change a record by compare-and-set, starting again from what another writer left.

    Args:
        store: Store.
        key: Key of the record.
        parse: Builds a value from a record.
        change: Gets what stands (None: nothing or garbage), returns what shall stand (None: leave it). Called once a
            round, so it must have no effect of its own.
        required: Whether garbage is refused instead of replaced, see `find_whole`.

    Returns:
        What stands now.

    Raises:
        StoreUnavailableError: Others kept winning.
    """
    for round_number in range(ROUNDS):
        found = find_whole(store, key, parse) if required else find(store, key, parse)
        wanted = change(found.value)
        if wanted is None:
            return found.value
        if store.swap(key, encode(wanted), found.etag) is not None:
            return parse(wanted)
        pause(round_number)
    raise contended(key)


def pause(round_number: int) -> None:
    """Let the others finish: up to 20 ms at first, up to 0.3 s later."""
    time.sleep(JITTER.uniform(0.0, min(0.02 * (round_number + 1), 0.3)))


def contended(key: str) -> StoreUnavailableError:
    """The error for a record that others keep changing."""
    return StoreUnavailableError(
        f"Record {key} was changed by others {ROUNDS} times while this process tried to: run the same command again."
    )
