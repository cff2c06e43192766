"""What `gc` removes, what it never does, and the races with writers and adopters that it must lose."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

import storage_contract as contract
from kubetune import layout
from kubetune.storage.base import Store
from kubetune.storage.blobs import broken_blobs, put_blob
from kubetune.storage.checkpoints import StoredCheckpoints
from kubetune.storage.commits import Commit, adopt_commit, create_commit, index, lookup, read_commit
from kubetune.storage.endpoints import ServedArchive, change_endpoint
from kubetune.storage.gc import Collected, collect
from kubetune.storage.local import UNFINISHED
from kubetune.storage.runs import delete_run

GRACE = 2.0


def age(store: Store, seconds: float = GRACE + 1.2) -> None:
    """Make everything older: at once in a folder, by waiting in a bucket."""
    if not store.url.startswith("file:"):
        time.sleep(seconds)
        return
    for path in Path(store.url.removeprefix("file://")).rglob("*"):
        if path.is_file():
            found = path.stat().st_mtime
            os.utime(path, (found - seconds, found - seconds))


def finished(store: Store, run: str = "run-1", content: bytes = b"weights", **values: Any) -> Commit:
    """A stored, committed and indexed stage."""
    put_blob(store, content, grace=GRACE)
    record = create_commit(store, contract.a_commit(run, outputs={"model": contract.one_file(content)}, **values))
    index(store, record)
    return record


def blobs_of(store: Store) -> set[str]:
    return {stat.key.rpartition("/")[2] for stat in store.list(layout.BLOBS)}


def test_only_what_nothing_reaches_and_is_old_goes(local: Store) -> None:
    kept = finished(local)
    put_blob(local, b"an old orphan")
    age(local)
    young = put_blob(local, b"a young orphan")
    would = collect(local, grace=GRACE, dry_run=True)
    assert (would.blobs, would.bytes) == (1, len(b"an old orphan"))
    assert len(blobs_of(local)) == 3
    assert collect(local, grace=GRACE) == would
    assert blobs_of(local) == {kept.files[0].sha256, young}
    assert lookup(local, "train", kept.key).commit == kept


def test_a_deleted_run_goes_in_two_steps_keys_first(local: Store) -> None:
    kept = finished(local, "kept", b"shared")
    gone = finished(local, "gone", b"only here", key="e" * 64)
    delete_run(local, "gone")
    age(local)
    first = collect(local, grace=GRACE)
    assert (first.retired, first.keys, first.blobs) == (1, 0, 0)
    assert lookup(local, "train", gone.key).commit is None, "nobody adopts it any more"
    assert gone.files[0].sha256 in blobs_of(local), "who read it before has a grace time to commit"
    age(local)
    second = collect(local, grace=GRACE)
    assert (second.retired, second.keys) == (0, 1)
    third = collect(local, grace=GRACE)
    assert second.blobs + third.blobs == 1
    assert blobs_of(local) == {kept.files[0].sha256}
    assert list(local.list(layout.KEYS)) and lookup(local, "train", kept.key).commit == kept


def test_a_run_that_adopts_just_before_its_source_is_deleted_stays_whole(local: Store) -> None:
    source = finished(local, "source")
    found = lookup(local, "train", source.key).commit
    assert found is not None
    delete_run(local, "source")
    age(local)
    collect(local, grace=GRACE)  # marks the key while the adopter holds what it read
    adopted = adopt_commit(local, found, "adopter", "try-1")
    index(local, adopted)
    for _ in range(3):
        age(local)
        collect(local, grace=GRACE)
    assert broken_blobs(local, adopted.files) == frozenset()
    assert lookup(local, "train", source.key).commit == adopted, "the adopter is the first one now"


def test_a_blob_shared_with_a_deleted_run_stays(local: Store) -> None:
    finished(local, "one", b"base model")
    other = finished(local, "two", b"base model", stage="fetch", key="f" * 64)
    delete_run(local, "one")
    for _ in range(3):
        age(local)
        collect(local, grace=GRACE)
    assert broken_blobs(local, other.files) == frozenset()


def test_what_an_endpoint_serves_stays(local: Store) -> None:
    record = finished(local)
    target = ServedArchive("run-1", record.files)
    change_endpoint(
        local, "tweets", lambda former: type(former)("x", desired=target, observed=target), event="deploy", at="now"
    )
    delete_run(local, "run-1")
    for _ in range(3):
        age(local)
        collect(local, grace=GRACE)
    assert broken_blobs(local, target.files) == frozenset()


class Meddling:
    """A store in which something else happens just before `gc` removes a blob."""

    def __init__(self, inner: Store, meanwhile: Any, heed_age: bool = True) -> None:
        self.inner = inner
        self.meanwhile = meanwhile
        self.heed_age = heed_age

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def delete(self, key: str, unless_newer_than: float | None = None) -> bool:
        if key.startswith(layout.BLOBS):
            self.meanwhile()
        return self.inner.delete(key, unless_newer_than if self.heed_age else None)


def lose_the_race(store: Store, heed_age: bool = True) -> tuple[Collected, Commit]:
    """An old orphan is about to be removed when a writer stores the same bytes and commits them."""
    put_blob(store, b"weights")
    age(store)
    meddling: Any = Meddling(store, lambda: finished(store), heed_age)
    result = collect(meddling, grace=GRACE)
    record = read_commit(store, "run-1", "train")
    assert record is not None
    return result, record


@pytest.mark.slow
def test_a_writer_that_comes_while_gc_runs_loses_nothing(store: Store) -> None:
    result, record = lose_the_race(store)
    assert result.blobs == 0
    assert broken_blobs(store, record.files) == frozenset()


def test_the_race_is_real(local: Store) -> None:
    """Teeth: a deletion that does not look at the age again loses a committed blob."""
    _, record = lose_the_race(local, heed_age=False)
    assert broken_blobs(local, record.files) == {record.files[0].sha256}


def test_the_other_half_of_the_race_is_real(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Teeth: a writer that never puts a blob again loses it to a later collection that began before its commit."""
    put_blob(local, b"weights")
    age(local)
    for grace, lost in ((GRACE, False), (10**9, True)):
        put_blob(local, b"weights", grace=grace)
        assert (collect(local, grace=GRACE).blobs == 1) is lost
        age(local)


def test_writers_and_gc_run_against_each_other(local: Store) -> None:
    """Fifteen writers commit the same few contents while a collector with a short grace runs without pause."""
    stop: list[bool] = []

    def work(number: int) -> list[Commit]:
        if number == 0:
            while not stop:
                collect(local, grace=0.5)
            return []
        made = []
        for round_number in range(12):
            content = b"content %d" % ((number + round_number) % 5)
            put_blob(local, content, grace=0.5)
            record = contract.a_commit(f"run-{number}-{round_number}", outputs={"model": contract.one_file(content)})
            made.append(create_commit(local, record))
            time.sleep(0.03)
            if round_number % 4 == 3:
                delete_run(local, made.pop().run)
        if number == 15:
            stop.append(True)
        return made

    results = contract.at_once(work)
    stop.append(True)
    records = [record for result in results if isinstance(result, list) for record in result]
    assert len(records) == 15 * 9, results
    assert [record.run for record in records if broken_blobs(local, record.files)] == []


def test_an_unreadable_record_stops_the_removal_of_blobs(local: Store) -> None:
    finished(local)
    put_blob(local, b"needed by the record that nobody can read?")
    local.put(layout.commit("run-2", "train"), b"{half")
    age(local)
    result = collect(local, grace=GRACE)
    assert result.unreadable == (layout.commit("run-2", "train"),)
    assert result.blobs == 0 and len(blobs_of(local)) == 2
    delete_run(local, "run-2")
    assert collect(local, grace=GRACE).blobs == 1


def test_remains_of_dead_writers_go(local: Store) -> None:
    finished(local)
    left = Path(local.url.removeprefix("file://")) / UNFINISHED / "abc"
    left.write_bytes(b"half")
    assert collect(local, grace=GRACE).unfinished == 0
    age(local)
    assert collect(local, grace=GRACE, dry_run=True).unfinished == 0 and left.exists()
    assert collect(local, grace=GRACE).unfinished == 1 and not left.exists()


def published(store: Store, key: str, folder: Path) -> StoredCheckpoints:
    checkpoint = folder / f"checkpoint-{key[:4]}"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_bytes(key.encode())
    (checkpoint / "manifest.json").write_text(json.dumps({"step": 10}))
    spool = StoredCheckpoints(store, key, folder / f"restored-{key[:4]}", print)
    spool.publish(checkpoint)
    return spool


def test_checkpoints_of_committed_and_abandoned_trainings_go(local: Store, tmp_path: Path) -> None:
    done = finished(local, key="d" * 64)
    finished_one = published(local, done.key, tmp_path)
    running = published(local, "r" * 64, tmp_path)
    orphan = layout.checkpoint_file("r" * 64, "0" * 64)
    local.put(orphan, b"left by a killed publish")
    assert collect(local, grace=GRACE).checkpoints == 0
    age(local)
    assert collect(local, grace=GRACE).checkpoints == 4  # head and two files of the finished one, and the orphan
    assert finished_one.restore() == [] and len(running.restore()) == 1
    assert local.stat(orphan) is None
    age(local, 60)
    assert collect(local, grace=GRACE, abandoned=50).checkpoints == 3
    assert running.restore() == [] and list(local.list(layout.CHECKPOINTS)) == []


def test_checkpoints_of_a_finished_training_go_before_the_grace_time_of_blobs(local: Store, tmp_path: Path) -> None:
    done = finished(local, key="d" * 64)
    finished_one = published(local, done.key, tmp_path)
    running = published(local, "r" * 64, tmp_path)
    put_blob(local, b"an orphan")
    assert collect(local, grace=1000, finished=GRACE).checkpoints == 0, "it may just be ending"
    age(local)
    found = collect(local, grace=1000, finished=GRACE)
    assert (found.checkpoints, found.blobs) == (3, 0)
    assert finished_one.restore() == [] and len(running.restore()) == 1
