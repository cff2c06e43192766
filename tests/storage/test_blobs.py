"""Content by digest and folders as lists: what is stored once, what is refused, what is caught."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import storage_contract as contract
from kubetune.errors import CorruptArtifactError, KubetuneError
from kubetune.layout import blob
from kubetune.storage import blobs
from kubetune.storage.base import Stat, Store
from kubetune.storage.blobs import (
    File,
    broken_blobs,
    fetch_tree,
    in_parallel,
    list_tree,
    missing_blobs,
    parse_files,
    put_blob,
    put_tree,
    tree_digest,
)

SEED = 4096


def damages(draw: random.Random) -> dict[str, Callable[[bytes], bytes]]:
    """Ways to break content, each at a random place."""

    def flip(data: bytes) -> bytes:
        place = draw.randrange(len(data))
        return data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :]

    def swap(data: bytes) -> bytes:
        return draw.randbytes(len(data))

    return {"flip": flip, "truncate": lambda data: data[: draw.randrange(len(data))], "swap": swap}


@pytest.mark.parametrize("kind", ["flip", "truncate", "swap"])
def test_every_damaged_blob_is_refused(store: Store, tmp_path: Path, kind: str) -> None:
    print(f"seed {SEED}")
    draw = random.Random(f"{SEED}{kind}")
    rounds = 70 if store.url.startswith("file:") else 12
    for number in range(rounds):
        content = draw.randbytes(draw.randint(1, 4000))
        contract.check_broken_blob_is_refused(store, tmp_path / f"{number}", content, damages(draw)[kind])


def test_deleted_blobs_are_refused(store: Store, tmp_path: Path) -> None:
    digest = put_blob(store, b"content")
    store.delete(blob(digest))
    with pytest.raises(CorruptArtifactError, match="is missing; the stage that made it has to run again"):
        blobs.fetch_blob(store, digest, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_two_exchanged_blobs_are_both_refused(store: Store, tmp_path: Path) -> None:
    first, second = put_blob(store, b"first!"), put_blob(store, b"second")
    store.put(blob(first), b"second")
    store.put(blob(second), b"first!")
    for digest in (first, second):
        with pytest.raises(CorruptArtifactError):
            blobs.fetch_blob(store, digest, tmp_path / digest)


def a_folder(folder: Path) -> Path:
    """A folder with levels, an empty file and 9 MiB."""
    (folder / "tokenizer" / "deep").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(os.urandom(9 << 20))
    (folder / "empty").write_bytes(b"")
    for number in range(20):
        (folder / "tokenizer" / f"{number}.json").write_text(str(number))
    (folder / "tokenizer" / "deep" / "ü.txt").write_text("ü")
    return folder


def test_a_folder_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "out")
    files = put_tree(store, folder)
    assert files == list_tree(folder) and len(files) == 23
    fetch_tree(store, files, tmp_path / "in")
    assert list_tree(tmp_path / "in") == files
    assert missing_blobs(store, files) == broken_blobs(store, files) == frozenset()


def test_a_broken_file_names_itself_and_its_digest(store: Store, tmp_path: Path) -> None:
    files = put_tree(store, a_folder(tmp_path / "out"))
    bad = next(file for file in files if file.path == "tokenizer/7.json")
    store.put(blob(bad.sha256), b"8")
    with pytest.raises(CorruptArtifactError, match=r"7\.json") as caught:
        fetch_tree(store, files, tmp_path / "in")
    assert caught.value.digest == bad.sha256
    assert broken_blobs(store, files) == {bad.sha256}
    assert missing_blobs(store, files) == frozenset(), "a size does not show it: that is what readers are for"
    store.put(blob(bad.sha256), b"88")
    assert missing_blobs(store, files) == {bad.sha256}
    store.delete(blob(bad.sha256))
    assert missing_blobs(store, files) == broken_blobs(store, files) == {bad.sha256}


def test_rewriting_repairs_and_putting_does_not(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "file").write_bytes(b"content")
    (file,) = put_tree(store, folder)
    store.put(blob(file.sha256), b"CONTENT")
    put_tree(store, folder)
    assert broken_blobs(store, [file]) == {file.sha256}
    put_tree(store, folder, rewrite=broken_blobs(store, [file]))
    assert broken_blobs(store, [file]) == frozenset()


class Counting:
    """A store that counts what is sent."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.puts: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def put(self, key: str, source: Path | bytes) -> None:
        self.puts.append(key)
        self.inner.put(key, source)


def test_a_shared_base_model_is_stored_and_sent_once(store: Store, tmp_path: Path) -> None:
    counting = Counting(store)
    base = os.urandom(300_000)
    for run in range(3):
        folder = tmp_path / f"run-{run}"
        folder.mkdir()
        (folder / "base.safetensors").write_bytes(base)
        (folder / "config.json").write_text(f"run {run}")
        put_tree(counting, folder)  # type: ignore[arg-type]
    assert len(counting.puts) == len(list(store.list("blobs/"))) == 4


def test_a_blob_is_sent_again_when_half_of_its_grace_is_over(local: Store) -> None:
    counting = Counting(local)
    digest = put_blob(counting, b"content", grace=100.0)  # type: ignore[arg-type]
    path = Path(local.url.removeprefix("file://")) / blob(digest)

    def age_by(seconds: float) -> None:
        found = path.stat().st_mtime
        os.utime(path, (found - seconds, found - seconds))

    age_by(40)
    put_blob(counting, b"content", grace=100.0)  # type: ignore[arg-type]
    assert len(counting.puts) == 1
    age_by(20)
    put_blob(counting, b"content", grace=100.0)  # type: ignore[arg-type]
    assert len(counting.puts) == 2
    stat = local.stat(blob(digest))
    assert isinstance(stat, Stat) and abs(stat.modified - path.stat().st_mtime) < 1


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../b", "", "a//b", "a\\..\\b", "a/./b", "x\0y"])
def test_a_list_cannot_lead_out_of_its_folder(local: Store, tmp_path: Path, path: str) -> None:
    digest = put_blob(local, b"evil")
    with pytest.raises(ValueError, match="leads out"):
        parse_files([{"path": path, "size": 4, "sha256": digest}])
    with pytest.raises(KubetuneError, match="leads out"):
        fetch_tree(local, [File(path, 4, digest)], tmp_path / "in")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "value",
    [
        {"path": "a", "size": -1, "sha256": "a" * 64},
        {"path": "a", "size": "1", "sha256": "a" * 64},
        {"path": "a", "size": 1, "sha256": "A" * 64},
        {"path": "a", "size": 1, "sha256": "../../../etc/passwd"},
    ],
)
def test_a_list_with_strange_values_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="size or digest"):
        parse_files([value])


def test_a_path_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        parse_files([File("a", 1, "a" * 64).to_json(), File("a", 1, "b" * 64).to_json()])


def test_links_in_the_target_are_not_followed(local: Store, tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "in"
    outside.mkdir()
    target.mkdir()
    (target / "folder").symlink_to(outside)
    (target / "file").symlink_to(outside / "file")
    for path in ("folder/evil", "folder/deep/evil", "file"):
        with pytest.raises(KubetuneError, match="through a link"):
            fetch_tree(local, [File(path, 4, put_blob(local, b"evil"))], target)
    assert list(outside.iterdir()) == []


def test_links_and_devices_are_not_stored(local: Store, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "link").symlink_to("/etc/hostname")
    with pytest.raises(KubetuneError, match="is a link"):
        put_tree(local, folder)
    (folder / "link").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(KubetuneError, match="neither file nor folder"):
        list_tree(folder)
    (folder / "pipe").unlink()
    (folder / "new\nline").write_text("x")
    with pytest.raises(KubetuneError, match="printable name"):
        put_tree(local, folder)
    assert list(local.list("blobs/")) == []


def test_a_file_that_changes_while_it_is_stored_is_refused(local: Store, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    class Slow(Counting):
        def put(self, key: str, source: Path | bytes) -> None:
            super().put(key, source)
            path.write_bytes(b"behind")

    with pytest.raises(KubetuneError, match="changed while it was stored"):
        put_blob(Slow(local), path)  # type: ignore[arg-type]


def test_the_digest_of_a_folder_is_pinned() -> None:
    files = [File("b", 1, "b" * 64), File("a", 1, "a" * 64)]
    assert tree_digest(files) == tree_digest(reversed(files))
    assert tree_digest(files) == "0ff4dd44de48f60589420f5923545105ae1357ced5770a1cd76eafffe2d02c9c"


def test_a_failure_stops_what_has_not_begun() -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 0:
            raise KubetuneError("first")
        time.sleep(0.01)
        return number

    with pytest.raises(KubetuneError, match="first"):
        in_parallel(work, list(range(500)))
    assert len(begun) < 100
    assert in_parallel(lambda number: -number, list(range(50))) == [-number for number in range(50)]
