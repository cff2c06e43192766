"""Checkpoints: durable once published, verified before use, the next one where one is broken, nothing deleted early."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

import storage_contract as contract
from kubetune import layout
from kubetune.contract import CheckpointSpool
from kubetune.errors import KubetuneError, StoreUnavailableError
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


def test_a_straggler_does_not_push_out_what_is_further_on(spool: Spool, store: Store, tmp_path: Path) -> None:
    zombie, living = spool(), spool()
    for step in (10, 20, 30):
        living.publish(a_checkpoint(tmp_path, step))
    zombie.publish(a_checkpoint(tmp_path, 5))
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
