"""Signed statements by model and archive, and the list of revoked ones. Who is trusted is not the store's business."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from kubetune import layout
from kubetune.errors import DataError, KubetuneError
from kubetune.storage.base import AbsentError, Store
from kubetune.storage.records import decode, update

FORMAT = 1
DIGEST = re.compile(r"[0-9a-f]{64}")
RULE = "statement"
MOST_BYTES = 2 << 20
MOST_SIGNATURES = 16
READS = 2  # a byte flipped on the way must not make a good statement bad

Envelope = Mapping[str, Any]


def parse_statement(value: Mapping[str, Any]) -> dict[str, Any]:
    """Read the envelope from a record; KeyError, TypeError or ValueError says that it is none."""
    if value["format"] != FORMAT:
        raise ValueError(f"format {value['format']!r:.20} is unknown")
    envelope = value["envelope"]
    if not isinstance(envelope["payload"], str) or not isinstance(envelope["payloadType"], str):
        raise TypeError("payload or its type is no text")
    for signature in envelope["signatures"]:
        if not isinstance(signature["keyid"], str) or not isinstance(signature["sig"], str):
            raise TypeError("a signature is no text")
    return dict(envelope)


def read_statement(store: Store, model: str, digest: str) -> dict[str, Any] | None:
    """Return the envelope of an archive's statement; None if there is none. Only reads, and never more than 2 MiB.

    Args:
        store: Store.
        model: Registered model that it is a version of.
        digest: SHA-256 (hex) of the archive's `archive.json`.

    Raises:
        DataError: What lies there is no whole record.
    """
    return _read(store, _key(model, digest), f"The statement of archive {digest[:12]}", "register the archive again")


def read_revocations(store: Store) -> dict[str, Any] | None:
    """Return the envelope of the list of revoked versions; None if there is none. Only reads, and never much.

    Raises:
        DataError: What lies there is no whole record.
    """
    return _read(store, layout.REVOCATIONS, "The list of revoked versions", "restore its newest whole version")


def update_revocations(store: Store, change: Callable[[Envelope | None], Envelope | None]) -> dict[str, Any] | None:
    """Change the list by compare-and-set and return the envelope that stands now.

    Args:
        store: Store.
        change: Gets what stands, returns what shall stand; None: leave it. May be called more than once.

    Raises:
        KubetuneError: The record is broken: made anew, it would forget what was revoked.
    """

    def step(standing: dict[str, Any] | None) -> dict[str, Any] | None:
        wanted = change(standing)
        return None if wanted is None else {"format": FORMAT, "envelope": dict(wanted)}

    return update(store, layout.REVOCATIONS, parse_statement, step, required=True)


def _read(store: Store, key: str, what: str, remedy: str) -> dict[str, Any] | None:
    """Return the envelope in a record by reads alone, of 2 MiB at most."""
    why = ""
    for _ in range(READS):
        data = bytearray()
        try:
            for chunk in store.read(key):
                data += chunk
                if len(data) > MOST_BYTES:
                    raise DataError(RULE, f"{what} is larger than 2 MiB, so it is none.")
        except AbsentError:
            return None
        record = decode(bytes(data))
        try:
            if record is not None:
                return parse_statement(record)
            why = "its bytes are not whole"
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = str(error)
    raise DataError(RULE, f"{what} cannot be read ({why:.100}): {remedy}.")


def put_statement(
    store: Store, model: str, digest: str, envelope: Envelope, stays: Callable[[Envelope], bool] = lambda _: True
) -> dict[str, Any]:
    """Store an archive's statement; signatures of equal content are joined, the first content stays.

    Args:
        store: Store.
        model: Registered model that it is a version of.
        digest: SHA-256 (hex) of the archive's `archive.json`.
        envelope: DSSE envelope.
        stays: Asked for a standing envelope with another content; False lets ours take its place. May be called more
            than once.

    Returns:
        What stands now.

    Raises:
        StoreUnavailableError: Others kept changing it.
    """
    key = _key(model, digest)
    lying = store.stat(key)
    if lying is not None and lying.size > MOST_BYTES:
        raise DataError(RULE, f"{key} is larger than 2 MiB, so it is no statement: remove it and run this again.")

    def change(standing: dict[str, Any] | None) -> dict[str, Any] | None:
        wanted = dict(envelope)
        if standing is not None:
            if _content(standing) == _content(envelope):
                wanted = {**standing, "signatures": merged_signatures(standing["signatures"], envelope["signatures"])}
            elif stays(standing):
                return None
        return None if wanted == standing else {"format": FORMAT, "envelope": wanted}

    stands = update(store, key, parse_statement, change)
    if stands is None:
        raise KubetuneError(f"{key} was not written: this is a bug.")
    return stands


def _key(model: str, digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise KubetuneError(f"{digest!r:.80} is no digest of an archive: this is a bug.")
    return layout.statement(layout.check_run(model), digest)


def _content(envelope: Envelope) -> tuple[str, str]:
    return envelope["payloadType"], envelope["payload"]


def merged_signatures(standing: list[dict[str, str]], ours: list[dict[str, str]]) -> list[dict[str, str]]:
    """Ours, then those of other keys; a key signs equal content in one way, so another signature by it is wrong."""
    names = {signature["keyid"] for signature in ours}
    others = [signature for signature in standing if signature["keyid"] not in names]
    return sorted([*ours, *others][:MOST_SIGNATURES], key=lambda signature: signature["keyid"])
