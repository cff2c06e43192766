"""A store through which one run is executed: what never changes there is read once a process."""

from collections.abc import Iterator
from pathlib import Path

from kubetune import layout
from kubetune.storage.base import Stat, Store, Stored
from kubetune.storage.records import decode

OURS = "created by this process"
"""Stands for the etag of a record that this process created. No store gives it, so a swap by it is answered here."""


def cached_run(store: Store, run: str) -> "CachedRun":
    """Return the store with a cache of a run's final records; the same store where it has that cache already."""
    return store if isinstance(store, CachedRun) and store.run == run else CachedRun(store, run)


class CachedRun:
    """A store that keeps what it read or created of one run's final records: the recipe, and the commit of each stage.

    Both are created if absent and never changed, so that a second look can say nothing new. All else is asked for each
    time: what is absent or broken, since another process may write it; index entries, since a reader that finds broken
    bytes or `gc` takes a key out of use; sizes and ages of blobs, since `gc` removes them; records that are changed by
    compare-and-set. A run that is deleted while it is executed is found out by who calls `forget` at the end.

    Args:
        store: Where the run lives.
        run: Run id.
    """

    def __init__(self, store: Store, run: str) -> None:
        self.store, self.run = store, run
        self._prefix = layout.run_prefix(run)
        self._final: dict[str, Stored] = {}

    @property
    def url(self) -> str:
        """See `Store.url`."""
        return self.store.url

    def create(self, key: str, data: bytes) -> bool:
        """See `Store.create`."""
        if key in self._final:
            return False
        created = self.store.create(key, data)
        if created:
            self._keep(key, Stored(data, OURS))
        return created

    def swap(self, key: str, data: bytes, etag: str | None) -> str | None:
        """See `Store.swap`."""
        self.forget(key)
        return None if etag == OURS else self.store.swap(key, data, etag)

    def get(self, key: str) -> Stored | None:
        """See `Store.get`."""
        if key in self._final:
            return self._final[key]
        found = self.store.get(key)
        if found is not None:
            self._keep(key, found)
        return found

    def put(self, key: str, source: Path | bytes) -> None:
        """See `Store.put`."""
        self.forget(key)
        self.store.put(key, source)

    def read(self, key: str) -> Iterator[bytes]:
        """See `Store.read`."""
        return self.store.read(key)

    def stat(self, key: str) -> Stat | None:
        """See `Store.stat`."""
        return self.store.stat(key)

    def list(self, prefix: str) -> Iterator[Stat]:
        """See `Store.list`."""
        return self.store.list(prefix)

    def delete(self, key: str, unless_newer_than: float | None = None) -> bool:
        """See `Store.delete`."""
        self.forget(key)
        return self.store.delete(key, unless_newer_than)

    def now(self) -> float:
        """See `Store.now`."""
        return self.store.now()

    def sweep_unfinished(self, before: float) -> int:
        """See `Store.sweep_unfinished`."""
        return self.store.sweep_unfinished(before)

    def forget(self, key: str) -> None:
        """Ask the store again for what lies under a key."""
        self._final.pop(key, None)

    def forget_all(self) -> None:
        """Ask the store again for everything."""
        self._final.clear()

    def _keep(self, key: str, found: Stored) -> None:
        """Keep a record that is final and whole; a broken one may be put right by who reads it."""
        stage = key.removeprefix(self._prefix).partition("/")[0]
        if key in {layout.run_record(self.run), layout.commit(self.run, stage)} and decode(found.data) is not None:
            self._final[key] = found
