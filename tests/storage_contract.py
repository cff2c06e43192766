"""What every store must do, as plain checks: the suite runs them on each store, the teeth on planted bugs."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from kubetune.contract import Verdict
from kubetune.errors import ConflictingCommitError, CorruptArtifactError
from kubetune.layout import blob
from kubetune.storage.base import Store
from kubetune.storage.blobs import File, fetch_blob, put_blob
from kubetune.storage.checkpoints import StoredCheckpoints
from kubetune.storage.commits import Commit, create_commit


def at_once(work: Callable[[int], object], count: int = 16) -> list[object]:
    """Run the work in threads that start together; exceptions are results."""
    barrier, results = threading.Barrier(count), [None] * count

    def one(number: int) -> None:
        barrier.wait()
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def a_commit(run: str = "run-1", stage: str = "train", **values: object) -> Commit:
    """A commit with one output file."""
    defaults: dict[str, object] = {
        "key": "a" * 64,
        "outputs": {"model": (File("model.safetensors", 3, "b" * 64),)},
        "metrics": {"accuracy": 0.5},
        "verdict": Verdict(),
        "attempt": uuid4().hex,
    }
    return Commit(run=run, stage=stage, **{**defaults, **values})  # type: ignore[arg-type]


def check_second_create_is_refused(store: Store) -> None:
    key = f"contract/{uuid4().hex}"
    assert store.create(key, b"first") is True
    assert store.create(key, b"second") is False
    found = store.get(key)
    assert found is not None and found.data == b"first"


def check_swap_needs_the_etag(store: Store) -> None:
    key = f"contract/{uuid4().hex}"
    first = store.swap(key, b"first", None)
    assert first is not None
    assert store.swap(key, b"again", None) is None
    second = store.swap(key, b"second", first)
    assert second is not None and second != first
    assert store.swap(key, b"third", first) is None
    assert store.swap(f"contract/{uuid4().hex}", b"no", first) is None
    found = store.get(key)
    assert found is not None and (found.data, found.etag) == (b"second", second)


def check_one_winner(store: Store, rounds: int) -> None:
    """16 writers at once, `rounds` times: exactly one create and exactly one swap wins."""
    for _ in range(rounds):
        key = f"contract/{uuid4().hex}"
        created = at_once(lambda number, key=key: store.create(key, b"%d" % number))
        assert sorted(map(str, created)) == ["False"] * 15 + ["True"]
        found = store.get(key)
        assert found is not None and int(found.data) == created.index(True)
        etag = found.etag
        swapped = at_once(lambda number, key=key, etag=etag: store.swap(key, b"next %d" % number, etag))
        winners = [number for number, result in enumerate(swapped) if isinstance(result, str)]
        assert len(winners) == 1 and swapped.count(None) == 15
        found = store.get(key)
        assert found is not None and found.data == b"next %d" % winners[0]


def check_broken_blob_is_refused(store: Store, target: Path, content: bytes, damage: Callable[[bytes], bytes]) -> None:
    """A damaged blob never reaches the reader, and nothing is left at the target."""
    digest = put_blob(store, content, rewrite=True)
    store.put(blob(digest), damage(content))
    with pytest.raises(CorruptArtifactError) as caught:
        fetch_blob(store, digest, target)
    assert caught.value.digest == digest
    assert not target.exists()


def check_other_result_conflicts(store: Store) -> None:
    run = f"run-{uuid4().hex[:8]}"
    first = create_commit(store, a_commit(run, metrics={"accuracy": 0.5}))
    same = create_commit(store, a_commit(run, metrics={"accuracy": 0.5}, image="sha256:other"))
    assert same.attempt == first.attempt
    try:
        create_commit(store, a_commit(run, metrics={"accuracy": 0.6}))
    except ConflictingCommitError as error:
        assert "metrics" in str(error)
    else:
        raise AssertionError("a different result was taken for the committed one")


def one_file(content: bytes, name: str = "file") -> tuple[File, ...]:
    """The list of a folder with one file."""
    return (File(name, len(content), hashlib.sha256(content).hexdigest()),)


class DiedError(BaseException):
    """Stands for the death of the process."""


class Dying:
    """A store whose process dies before its n-th change."""

    def __init__(self, inner: Store, changes: int) -> None:
        self.inner = inner
        self.left = changes

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name not in {"put", "create", "swap", "delete"}:
            return found

        def change(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise DiedError
            return found(*arguments, **named)

        return change


def check_publish_survives_death_at(
    store: Store, change: int, a_checkpoint: Callable[[Path, int], Path], folder: Path
) -> None:
    """After a death at any change, a new process restores 3 verified checkpoints, or the 4 th one published."""
    for step in (10, 20, 30):
        StoredCheckpoints(store, "k" * 64, folder / "before", print).publish(a_checkpoint(folder, step))
    died = False
    try:
        dying: Any = Dying(store, change)
        StoredCheckpoints(dying, "k" * 64, folder / "dying", print).publish(a_checkpoint(folder, 40))
    except DiedError:
        died = True
    skipped: list[str] = []
    restored = StoredCheckpoints(store, "k" * 64, folder / "after", skipped.append).restore()
    names = [path.name[:12].lstrip("0") for path in restored]
    assert skipped == []
    assert names in (["30", "20", "10"], ["40", "30", "20"])
    if not died:
        assert names[0] == "40"
