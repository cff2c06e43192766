"""The only place that deletes: index entries of deleted runs first, then blobs that nothing reaches and that are old.

Ages are by the store's clock, for writers too. Why a writer that works meanwhile loses nothing: it puts a blob again
that is older than half the grace time, and has the other half to commit; a blob's age is looked at once more when it is
deleted; and an index entry of a deleted run is first only marked, so that whoever read it before has a whole grace time
to commit what it names.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from kubetune import layout
from kubetune.errors import KubetuneError
from kubetune.storage.base import GRACE_S, Clock, Stat, Store
from kubetune.storage.blobs import in_parallel
from kubetune.storage.checkpoints import digests, parse_head
from kubetune.storage.commits import Commit, IndexEntry, parse_commit, parse_entry
from kubetune.storage.endpoints import parse_endpoint
from kubetune.storage.records import find, update
from kubetune.storage.registry import parse_model
from kubetune.storage.versions import files_of, read_document


@dataclass(frozen=True)
class Usage:
    """Bytes of a store.

    Attributes:
        results: Of artifacts, each content once.
        checkpoints: Of trainings, finished or not; `gc` removes those that nothing needs.
    """

    results: int
    checkpoints: int


def usage(store: Store) -> Usage:
    """Add up a store's objects; records, which are small, are left out."""
    return Usage(*(sum(stat.size for stat in store.list(prefix)) for prefix in (layout.BLOBS, layout.CHECKPOINTS)))


ABANDONED_S = 30 * 24 * 3600.0


@dataclass
class Collected:
    """What `gc` did, or would do in a dry run.

    Attributes:
        retired: Index entries that were marked because their run is gone.
        keys: Index entries that were removed a grace time after that.
        blobs: Unreachable blobs that were removed.
        checkpoints: Checkpoint objects that were removed.
        unfinished: Remains of writers that died.
        bytes: Bytes of the blobs and checkpoints.
        skew: Seconds by which this machine's clock is ahead of the store's, where that is more than `MOST_SKEW_S`: then
            ages were taken by the earlier of the two. Else 0.
        unreadable: Records that cannot be read. While there are any, no blob is removed, since they may need it.
    """

    retired: int = 0
    keys: int = 0
    blobs: int = 0
    checkpoints: int = 0
    unfinished: int = 0
    bytes: int = 0
    skew: int = 0
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """One collection: what is old and whether anything is touched."""

    store: Store
    before: float
    dry_run: bool

    def remove(self, entry: Stat, before: float | None = None) -> bool:
        """Remove an object that is still old; `before`: what is older than this, instead of the sweep's own time."""
        before = self.before if before is None else before
        if entry.modified > before:
            return False
        return self.dry_run or self.store.delete(entry.key, unless_newer_than=before)


def collect(
    store: Store,
    *,
    grace: float = GRACE_S,
    abandoned: float = ABANDONED_S,
    finished: float | None = None,
    dry_run: bool = False,
) -> Collected:
    """Remove what no run, endpoint or index entry needs.

    Args:
        store: Store.
        grace: Seconds for which anything new is left alone. Less than the default is safe only while nothing runs.
        abandoned: Seconds after which checkpoints of a training that never ended are given up.
        finished: Seconds after which checkpoints of a training that is committed go: nothing resumes it. None: `grace`.
        dry_run: Only count.
    """
    clock = Clock(store)
    now = clock.earliest()
    sweep = Sweep(store, now - grace, dry_run)
    result = Collected(skew=round(clock.skew))
    # Entries are read before commits: an entry is written after its commit, so a commit that is missing then was
    # deleted. What an adopter commits while we look is reached through the entry that it read.
    entries = read_entries(store, result)
    commits = read_commits(store, result)
    reached = reached_by_endpoints(store, result) | reached_by_models(store, result)
    for commit in [*commits.values(), *(entry.commit for _, entry in entries)]:
        reached |= {file.sha256 for file in commit.files} if commit is not None else set()
    sweep_keys(sweep, entries, commits, result)
    if not result.unreadable:
        for blob in store.list(layout.BLOBS):
            if blob.key.rpartition("/")[2] not in reached and sweep.remove(blob):
                result.blobs += 1
                result.bytes += blob.size
    done = {stat.key.rpartition("/")[2].removesuffix(".json") for stat, entry in entries if entry.commit is not None}
    sweep_checkpoints(sweep, done, Ages(now - abandoned, now - (grace if finished is None else finished)), result)
    result.unfinished = 0 if dry_run else store.sweep_unfinished(sweep.before)
    return result


def read_entries(store: Store, result: Collected) -> list[tuple[Stat, IndexEntry]]:
    """All index entries."""
    stats = list(store.list(layout.KEYS))
    found = in_parallel(lambda stat: find(store, stat.key, parse_entry), stats)
    note_unreadable(
        result, (stat.key for stat, item in zip(stats, found, strict=True) if item.value is None and item.etag)
    )
    return [(stat, item.value) for stat, item in zip(stats, found, strict=True) if item.value is not None]


def read_commits(store: Store, result: Collected) -> dict[tuple[str, str], Commit]:
    """All commits by (run, stage)."""
    keys = [stat.key for stat in store.list(layout.RUNS) if stat.key.endswith("/COMMIT.json")]
    found = in_parallel(lambda key: find(store, key, parse_commit), keys)
    note_unreadable(result, (key for key, item in zip(keys, found, strict=True) if item.value is None and item.etag))
    return {(item.value.run, item.value.stage): item.value for item in found if item.value is not None}


def reached_by_endpoints(store: Store, result: Collected) -> set[str]:
    """Digests that an endpoint serves or should serve."""
    reached: set[str] = set()
    for stat in store.list(layout.ENDPOINTS):
        found = find(store, stat.key, parse_endpoint)
        note_unreadable(result, [stat.key] if found.value is None and found.etag else [])
        targets = (found.value.desired, found.value.observed) if found.value is not None else ()
        reached |= {file.sha256 for target in targets if target is not None for file in target.files}
    return reached


def reached_by_models(store: Store, result: Collected) -> set[str]:
    """Digests of the documents of all versions, and of the files that they name."""
    reached: set[str] = set()
    for stat in store.list(layout.MODELS):
        found = find(store, stat.key, parse_model)
        note_unreadable(result, [stat.key] if found.value is None and found.etag else [])
        for version in found.value.versions if found.value is not None else ():
            reached.add(version.document)
            try:
                document = read_document(store, version)
                reached |= {file.sha256 for name in document["files"] for file in files_of(document, name)}
            except KubetuneError:
                note_unreadable(result, [layout.blob(version.document)])
    return reached


def sweep_keys(
    sweep: Sweep, entries: list[tuple[Stat, IndexEntry]], commits: dict[tuple[str, str], Commit], result: Collected
) -> None:
    """Mark entries whose run is gone; remove those that were marked a grace time ago."""
    for stat, entry in entries:
        if entry.retired:
            result.keys += sweep.remove(stat)
        elif entry.commit is not None and (entry.commit.run, entry.commit.stage) not in commits:
            result.retired += sweep.dry_run or retire(sweep.store, stat.key, entry.commit)


def retire(store: Store, key: str, commit: Commit) -> bool:
    """Mark an index entry, if it still names that commit."""

    def change(standing: IndexEntry | None) -> dict[str, object] | None:
        if standing is None or standing.commit != commit:
            return None
        return replace(standing, retired=True, reason=f"run {commit.run} was deleted").to_json()

    found = update(store, key, parse_entry, change)
    return found is not None and found.retired


@dataclass(frozen=True)
class Ages:
    """Times (seconds since the epoch) before which checkpoints are old.

    Attributes:
        abandoned: Of a training that never ended.
        finished: Of one whose result is committed.
    """

    abandoned: float
    finished: float


def sweep_checkpoints(sweep: Sweep, done: set[str], ages: Ages, result: Collected) -> None:
    """Remove checkpoints of trainings that are committed or given up, and files that no head names."""
    by_key: dict[str, list[Stat]] = {}
    for stat in sweep.store.list(layout.CHECKPOINTS):
        by_key.setdefault(stat.key.split("/")[1], []).append(stat)
    for key, stats in by_key.items():
        before = ages.finished if key in done else sweep.before
        for stat in removable(sweep, key, stats, ages.finished if key in done else ages.abandoned):
            if sweep.remove(stat, before):
                result.checkpoints += 1
                result.bytes += stat.size


def removable(sweep: Sweep, key: str, stats: list[Stat], old: float) -> Iterator[Stat]:
    """What may go of one train key, the head before the files that it names; `old`: when its head was changed last."""
    head_key = layout.checkpoint_head(key)
    head = next((stat for stat in stats if stat.key == head_key), None)
    files = [stat for stat in stats if stat.key != head_key]
    if head is not None and head.modified <= old:
        yield head
        yield from files
        return
    found = find(sweep.store, head_key, parse_head)
    named = {layout.checkpoint_file(key, digest) for digest in digests(found.value or ())}
    if found.value is not None or found.etag is None:
        yield from (stat for stat in files if stat.key not in named)


def note_unreadable(result: Collected, keys: Iterable[str]) -> None:
    """Remember records that cannot be read."""
    result.unreadable = (*result.unreadable, *keys)
