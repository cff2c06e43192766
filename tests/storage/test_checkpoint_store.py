"""Checkpoints: durable once published, verified before use, the next one where one is broken, nothing deleted early."""

import json
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import storage_contract as contract
from kubetune import layout
from kubetune.contract import CheckpointSpool
from kubetune.errors import KubetuneError, StoreUnavailableError
from kubetune.storage import checkpoints
from kubetune.storage.base import Store
from kubetune.storage.checkpoints import StoredCheckpoints

KEY = "c" * 64


def a_checkpoint(folder: Path, step: int, seed: int = 0) -> Path:
    """A complete checkpoint folder whose bytes follow from the step."""
    target = folder / f"step-{step}-{seed}"
    (target / "rank-0").mkdir(parents=True)
    draw = random.Random(f"{step}{seed}")
    (target / "model.safetensors").write_bytes(draw.randbytes(5000))
    (target / "rank-0" / "random.json").write_text(json.dumps(draw.random()))
    (target / "manifest.json").write_text(json.dumps({"step": step}))
    return target


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def steps(folders: list[Path]) -> list[int]:
    return [json.loads((folder / "manifest.json").read_text())["step"] for folder in folders]


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def spool(store: Store, tmp_path: Path, notes: list[str]) -> Callable[[], StoredCheckpoints]:
    """A new process's view of the checkpoints."""
    count = iter(range(10**6))
    return lambda: StoredCheckpoints(store, KEY, tmp_path / f"scratch-{next(count)}", notes.append)


def file_keys(store: Store) -> list[str]:
    return [stat.key for stat in store.list(layout.checkpoint_files(KEY))]


Spool = Callable[[], StoredCheckpoints]


def test_a_first_attempt_finds_nothing(spool: Spool, notes: list[str]) -> None:
    first: CheckpointSpool = spool()
    assert first.restore() == [] and notes == []


def test_the_newest_three_come_back_newest_first(spool: Spool, store: Store, tmp_path: Path, notes: list[str]) -> None:
    first = spool()
    made = {step: a_checkpoint(tmp_path, step) for step in (10, 20, 30, 40, 50)}
    for folder in made.values():
        first.publish(folder)
    restored = spool().restore()
    assert steps(restored) == [50, 40, 30] and notes == []
    assert [content(folder) for folder in restored] == [content(made[step]) for step in (50, 40, 30)]
    time.sleep(1.5 * checkpoints.CLOCK_STEP_S)  # what is younger than a step of the store's clock goes the next time
    first.publish(a_checkpoint(tmp_path, 60))
    assert steps(spool().restore()) == [60, 50, 40]
    assert len(file_keys(store)) == 9, "bytes of older ones are gone"


def test_publish_returns_only_when_it_is_durable(spool: Spool, tmp_path: Path) -> None:
    first = spool()
    folder = a_checkpoint(tmp_path, 10)
    first.publish(folder)
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()
    assert steps(spool().restore()) == [10]


@pytest.mark.parametrize("kind", ["flip", "truncate", "delete"])
def test_a_broken_checkpoint_gives_way_to_the_one_before(
    spool: Spool, store: Store, tmp_path: Path, notes: list[str], kind: str
) -> None:
    first = spool()
    for step in (10, 20, 30):
        first.publish(a_checkpoint(tmp_path, step))
    bad = next(key for key in file_keys(store) if (found := store.get(key)) and found.data == _model(tmp_path, 30))
    if kind == "delete":
        store.delete(bad)
    else:
        data = _model(tmp_path, 30)
        store.put(bad, data[:100] + b"?" + data[101:] if kind == "flip" else data[:-1])
    second = spool()
    assert steps(second.restore()) == [20, 10]
    assert len(notes) == 1 and "step 30" in notes[0] and "skipped" in notes[0]
    assert not list(second.scratch.glob("restored/*30-*")), "nothing half-fetched is left"
    second.publish(a_checkpoint(tmp_path, 25, seed=1))
    assert steps(spool().restore()) == [25, 20, 10], "the broken one no longer takes a place"


def _model(folder: Path, step: int) -> bytes:
    return (folder / f"step-{step}-0" / "model.safetensors").read_bytes()


def test_every_single_bit_flip_is_caught(local: Store, tmp_path: Path) -> None:
    notes: list[str] = []
    StoredCheckpoints(local, KEY, tmp_path / "a", notes.append).publish(a_checkpoint(tmp_path, 10))
    draw = random.Random(5)
    for number in range(60):
        key = draw.choice(file_keys(local))
        found = local.get(key)
        assert found is not None
        place = draw.randrange(len(found.data))
        local.put(
            key, found.data[:place] + bytes([found.data[place] ^ (1 << draw.randrange(8))]) + found.data[place + 1 :]
        )
        assert StoredCheckpoints(local, KEY, tmp_path / f"b{number}", notes.append).restore() == []
        local.put(key, found.data)
    assert len(notes) == 60
    assert steps(StoredCheckpoints(local, KEY, tmp_path / "c", notes.append).restore()) == [10]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format": 1, "checkpoints": []}'])
def test_a_garbage_head_is_absent_and_replaceable(
    spool: Spool, store: Store, tmp_path: Path, notes: list[str], data: bytes
) -> None:
    store.put(layout.checkpoint_head(KEY), data)
    first = spool()
    assert first.restore() == []
    assert "garbage" in notes[0] and "step 0" in notes[0]
    first.publish(a_checkpoint(tmp_path, 10))
    assert steps(spool().restore()) == [10]


def test_a_straggler_does_not_push_out_what_is_further_on(
    spool: Spool, store: Store, tmp_path: Path, notes: list[str]
) -> None:
    zombie, living = spool(), spool()
    for step in (10, 20, 30):
        living.publish(a_checkpoint(tmp_path, step))
    zombie.publish(a_checkpoint(tmp_path, 5))
    assert notes == ["Another execution of this training is further on: step 5 is not kept."]
    assert steps(spool().restore()) == [30, 20, 10]
    assert len(file_keys(store)) == 9, "the straggler's bytes do not stay"


def test_two_attempts_publish_at_once(store: Store, tmp_path: Path) -> None:
    spools = [StoredCheckpoints(store, KEY, tmp_path / f"s{number}", print) for number in range(4)]
    folders = [a_checkpoint(tmp_path, 10 * (number + 1)) for number in range(4)]
    assert contract.at_once(lambda number: spools[number].publish(folders[number]), 4) == [None] * 4
    assert steps(StoredCheckpoints(store, KEY, tmp_path / "after", print).restore()) == [40, 30, 20]


def test_the_same_step_again_takes_the_place(spool: Spool, tmp_path: Path) -> None:
    first = spool()
    same = a_checkpoint(tmp_path, 10)
    first.publish(same)
    first.publish(same)
    assert content(spool().restore()[0]) == content(same)
    other = a_checkpoint(tmp_path, 10, seed=1)
    first.publish(other)
    (restored,) = spool().restore()
    assert content(restored) == content(other)


def test_an_incomplete_folder_is_not_published(spool: Spool, store: Store, tmp_path: Path) -> None:
    folder = a_checkpoint(tmp_path, 10)
    (folder / "manifest.json").unlink()
    with pytest.raises(KubetuneError, match="no complete checkpoint"):
        spool().publish(folder)
    assert file_keys(store) == []


def test_keys_do_not_mix(spool: Spool, store: Store, tmp_path: Path) -> None:
    spool().publish(a_checkpoint(tmp_path, 10))
    assert StoredCheckpoints(store, "d" * 64, tmp_path / "other", print).restore() == []


class Lossy:
    """A store that keeps other bytes than it was given."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def put(self, key: str, source: Path | bytes) -> None:
        assert isinstance(source, Path)
        self.inner.put(key, source.read_bytes()[:-1])


def test_a_store_that_gives_other_bytes_back_is_not_believed(local: Store, tmp_path: Path) -> None:
    good = StoredCheckpoints(local, KEY, tmp_path / "good", print)
    good.publish(a_checkpoint(tmp_path, 10))
    bad = StoredCheckpoints(Lossy(local), KEY, tmp_path / "bad", print)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailableError, match="not what was sent"):
        bad.publish(a_checkpoint(tmp_path, 20))
    assert steps(good.restore()) == [10]


@pytest.mark.parametrize("order", range(10))
def test_dying_at_any_moment_of_a_publish_loses_nothing(local: Store, tmp_path: Path, order: int) -> None:
    contract.check_publish_survives_death_at(local, order, a_checkpoint, tmp_path)


class Turns:
    """Two writers, of which one operation at a time is let through, in an order that is drawn before."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._changed = threading.Condition()
        self._running = {"a", "b"}
        self._next = self._draw.choice("ab")
        self._busy = False

    def take(self, side: str, operation: Callable[[], object]) -> object:
        with self._changed:
            self._changed.wait_for(lambda: not self._busy and (self._next == side or len(self._running) == 1))
            self._busy = True
        try:
            return operation()
        finally:
            with self._changed:
                self._busy, self._next = False, self._draw.choice("ab")
                self._changed.notify_all()

    def done(self, side: str) -> None:
        with self._changed:
            self._running.discard(side)
            self._changed.notify_all()


class Taking:
    """A store of which each operation waits for its writer's turn."""

    def __init__(self, inner: Store, turns: Turns, side: str) -> None:
        self.inner, self.turns, self.side = inner, turns, side
        self.url = inner.url

    def __getattr__(self, name: str) -> object:
        real = getattr(self.inner, name)

        def operation(*args: object, **more: object) -> object:
            done = self.turns.take(self.side, lambda: list(real(*args)) if name == "read" else real(*args, **more))
            return iter(done) if name == "read" else done  # type: ignore[call-overload]

        return operation


def with_best(folder: Path, step: int, best: int) -> Path:
    """A checkpoint with the best weights so far, which several steps share."""
    target = a_checkpoint(folder, step)
    (target / "best.safetensors").write_bytes(random.Random(best).randbytes(3000))
    return target


TELLING = (0, 40, 82, 121, 160, 200)
"""Seeds whose orders break a checkpoint where files are deleted without a look at when they were put."""


@pytest.mark.parametrize(
    "seeds", [TELLING, *(pytest.param(range(n, n + 40), marks=pytest.mark.slow) for n in range(0, 240, 40))]
)
def test_two_writers_never_break_a_checkpoint(local: Store, tmp_path: Path, seeds: Sequence[int]) -> None:
    """What one writer drops from the head is what the other is about to name, in drawn orders of their operations."""
    for seed in seeds:
        key, folder = f"{seed:064x}", tmp_path / str(seed)
        for step in (10, 20, 30):
            StoredCheckpoints(local, key, folder / "before", print).publish(with_best(folder, step, best=step))
        for path in (tmp_path / "store" / layout.checkpoint_files(key)).iterdir():
            os.utime(path, (time.time() - 60,) * 2)  # as after some steps: what is too young stays
        turns = Turns(seed)
        work = {"a": [(40, 40), (50, 50)], "b": [(41, 10), (51, 20)]}
        raised: list[BaseException] = []

        def publish(side: str) -> None:
            notes: list[str] = []
            spool = StoredCheckpoints(Taking(local, turns, side), key, folder / side, notes.append)  # type: ignore[arg-type]  # noqa: B023
            try:
                for step, best in work[side]:  # noqa: B023
                    spool.publish(with_best(folder / side, step, best))  # noqa: B023
            except BaseException as error:
                raised.append(error)  # noqa: B023
            finally:
                turns.done(side)  # noqa: B023

        threads = [threading.Thread(target=publish, args=(side,)) for side in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert raised == [], seed
        notes: list[str] = []
        after = StoredCheckpoints(local, key, folder / "after", notes.append)
        assert steps(after.restore())[:2] == [51, 50], (seed, notes)
        assert notes == [], seed
