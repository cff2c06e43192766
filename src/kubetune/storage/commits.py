"""Commits make artifacts exist: written last, never changed. The index leads from a stage key to the first of them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kubetune import layout
from kubetune.errors import ConflictingCommitError
from kubetune.storage.base import Store
from kubetune.storage.blobs import missing_blobs
from kubetune.storage.commit_record import FORMAT, Commit, differences, parse_commit
from kubetune.storage.records import create_or_get, encode, find, update

__all__ = [
    "Commit",
    "IndexEntry",
    "Indexed",
    "adopt_commit",
    "committed",
    "create_commit",
    "find_result",
    "index",
    "lookup",
    "parse_commit",
    "parse_entry",
    "quarantine",
    "read_commit",
]


def read_commit(store: Store, run: str, stage: str) -> Commit | None:
    """Return the commit of a stage, or None: nothing, garbage or the record of another stage lies there."""

    def parse(value: Mapping[str, Any]) -> Commit:
        found = parse_commit(value)
        if (found.run, found.stage) != (run, stage):
            raise ValueError("it is the commit of another run or stage")
        return found

    return find(store, layout.commit(run, stage), parse).value


def create_commit(store: Store, record: Commit) -> Commit:
    """Make a result exist: create the record unless one stands there. The last thing that a stage writes.

    Returns:
        The record that stands: ours, or an equal one that another attempt (or this one, its reply lost) wrote first.

    Raises:
        ConflictingCommitError: A different result stands there. It stays; ours is kept beside it for a person.
    """

    def parse(value: Mapping[str, Any]) -> Commit:
        found = parse_commit(value)
        if (found.run, found.stage) != (record.run, record.stage):
            raise ValueError("it is the commit of another run or stage")
        return found

    standing = create_or_get(store, layout.commit(record.run, record.stage), record.to_json(), parse)
    if standing.result != record.result:
        beside = layout.attempt(record.run, record.stage, f"conflict-{record.result[:12]}")
        store.put(beside, encode(record.to_json()))
        raise ConflictingCommitError(
            f"Stage {record.stage} of run {record.run} is already committed with a different result "
            f"({differences(standing, record)}); the first stands and ours is kept in {beside}: use a new run name."
        )
    return standing


def adopt_commit(store: Store, found: Commit, run: str, attempt: str) -> Commit:
    """Commit an earlier result in another run; its provenance stays that of the execution that made it."""
    return create_commit(store, replace(found, run=run, attempt=f"adopted:{found.run}:{attempt}"))


def committed(store: Store, run: str, stages: Iterable[str]) -> dict[str, Commit]:
    """Return the commits of those stages of a run that have one."""
    found = {stage: read_commit(store, run, stage) for stage in stages}
    return {stage: record for stage, record in found.items() if record is not None}


@dataclass(frozen=True)
class IndexEntry:
    """What the index says of a stage key.

    Attributes:
        commit: The commit that first produced it; None where that one was proven broken.
        broken: Digests of blobs that were found broken under this key; the producer must send them again.
        retired: The run that made it was deleted. `gc` marked the entry; nobody adopts it any more.
        reason: Why it is broken or retired; empty otherwise.
    """

    commit: Commit | None = None
    broken: frozenset[str] = frozenset()
    retired: bool = False
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it stands in the store."""
        return {
            "format": FORMAT,
            "commit": self.commit.to_json() if self.commit else None,
            "broken": sorted(self.broken),
            "retired": self.retired,
            "reason": self.reason,
        }


def parse_entry(value: Mapping[str, Any]) -> IndexEntry:
    """Read an index entry from a record; KeyError, TypeError or ValueError says that it is none."""
    return IndexEntry(
        commit=parse_commit(value["commit"]) if value["commit"] is not None else None,
        broken=frozenset(value["broken"]),
        retired=bool(value["retired"]),
        reason=str(value["reason"]),
    )


def lookup(store: Store, stage: str, key: str) -> IndexEntry:
    """Ask the index for a stage key. The result can be adopted where `commit` is set.

    The blobs of a commit that is returned are there with their size; only `--audit` and readers see their bytes. Where
    blobs are missing, `commit` is None and `broken` names them.
    """

    def parse(value: Mapping[str, Any]) -> IndexEntry:
        entry = parse_entry(value)
        if entry.commit is not None and (entry.commit.stage, entry.commit.key) != (stage, key):
            raise ValueError("it is the entry of another key")
        return entry

    entry = find(store, layout.stage_key(stage, key), parse).value or IndexEntry()
    if entry.commit is None or entry.retired:
        return IndexEntry(broken=entry.broken, reason=entry.reason)
    missing = missing_blobs(store, entry.commit.files)
    if missing:
        return IndexEntry(broken=missing, reason=f"{len(missing)} of its blobs are missing")
    return entry


def find_result(store: Store, stage: str, key: str, own: Commit | None = None) -> IndexEntry:
    """Find what stands in for running a stage: the index's commit, else the run's own one that never was indexed.

    Args:
        store: Store.
        stage: Stage name.
        key: Its key.
        own: The run's commit of the stage, if it has one.

    Returns:
        An entry; run the stage where its `commit` is None, and send its `broken` blobs again then.
    """
    entry = lookup(store, stage, key)
    if entry.commit is not None or entry.broken:
        return entry
    if own is None or own.key != key:
        return entry
    missing = missing_blobs(store, own.files)
    return IndexEntry(broken=missing, reason="blobs are missing") if missing else IndexEntry(own)


@dataclass(frozen=True)
class Indexed:
    """Outcome of `index`.

    Attributes:
        first: The commit that the index names.
        same: Whether ours has the same result. False is non-determinism: equal keys gave different bytes.
        differ: What differs, for the report; empty if `same`.
    """

    first: Commit
    same: bool
    differ: str = ""


def index(store: Store, ours: Commit) -> Indexed:
    """Enter a commit in the index, unless a sound one is there for its key; that one stays.

    An entry is replaced only where it is garbage, retired, quarantined, or its blobs are gone.
    """

    def change(entry: IndexEntry | None) -> dict[str, Any] | None:
        if entry is None or entry.commit is None or entry.retired:
            return IndexEntry(ours).to_json()
        first = entry.commit
        same_key = (first.stage, first.key) == (ours.stage, ours.key)
        stands = same_key and (first.result == ours.result or not missing_blobs(store, first.files))
        return None if stands else IndexEntry(ours).to_json()

    entry = update(store, layout.stage_key(ours.stage, ours.key), parse_entry, change)
    first = entry.commit if entry is not None and entry.commit is not None else ours
    same = first.result == ours.result
    return Indexed(first, same, "" if same else differences(first, ours))


def quarantine(store: Store, stage: str, key: str, broken: Collection[str], reason: str) -> None:
    """Take a key out of use because blobs of its commit were proven broken, so that its producer runs again.

    Args:
        store: Store.
        stage: Stage that produced the blobs.
        key: Its key.
        broken: Digests of the broken blobs; at least one of them must belong to the commit that the index names,
            else the entry is left alone (the producer may have repaired it meanwhile under other bytes).
        reason: One sentence for a person.
    """

    def change(entry: IndexEntry | None) -> dict[str, Any] | None:
        known = entry.broken if entry is not None else frozenset()
        if entry is not None and entry.commit is not None:
            if not {file.sha256 for file in entry.commit.files} & set(broken):
                return None
        elif set(broken) <= known:
            return None
        return IndexEntry(broken=known | frozenset(broken), reason=reason).to_json()

    update(store, layout.stage_key(stage, key), parse_entry, change)
