"""What disks and dying processes do to a store in a folder."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubetune.errors import ConfigError, StoreUnavailableError
from kubetune.storage.base import AbsentError
from kubetune.storage.blobs import fetch_blob, put_blob
from kubetune.storage.commits import create_commit, read_commit
from kubetune.storage.disk import explained
from kubetune.storage.local import UNFINISHED, LocalStore
from kubetune.storage.open import open_store
from storage_contract import a_commit


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a 1 MiB file system needs the right to mount; the next test forces ENOSPC instead")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_is_said_and_leaves_nothing_half_visible(small_disk: Path, tmp_path: Path) -> None:
    store = open_store(str(small_disk / "store"))
    record = create_commit(store, a_commit())
    digest = put_blob(store, bytes(300_000))
    for call in (
        lambda: put_blob(store, bytes(2_000_000)),
        lambda: store.create("records/big", bytes(2_000_000)),
        lambda: store.swap("records/big", bytes(2_000_000), None),
    ):
        with pytest.raises(
            StoreUnavailableError, match=r"disk that holds .*/disk/store is full.*kubetune gc"
        ) as caught:
            call()
        assert caught.value.exit_code == 75
    assert list((small_disk / "store" / UNFINISHED).iterdir()) == []
    assert len(list(store.list("blobs/"))) == 1 and list(store.list("records/")) == []
    assert read_commit(store, record.run, record.stage) == record
    fetch_blob(store, digest, tmp_path / "file")
    put_blob(store, bytes(400_000))  # there is room for this one: the store goes on


def test_full_scratch_names_the_path_and_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    digest = put_blob(store, bytes(2_000_000))
    with pytest.raises(StoreUnavailableError, match="disk/target is full"):
        fetch_blob(store, digest, small_disk / "target")
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_no_space_at_the_sync_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put("before", b"content")

    def full(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnavailableError, match="is full"):
        store.put("key", b"content")
    with pytest.raises(StoreUnavailableError, match="is full"):
        store.create("key", b"content")
    assert store.get("key") is None
    assert list((tmp_path / "store" / UNFINISHED).iterdir()) == []


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="not a folder") as caught:
        open_store(str(tmp_path / "file"))
    assert caught.value.exit_code == 78
    with pytest.raises(ConfigError, match="not a folder"):
        open_store(str(tmp_path / "file" / "below")).create("key", b"")


def test_a_read_only_file_system_is_refused(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    store = open_store(str(small_disk / "store"))
    with pytest.raises(ConfigError, match="give this user the right") as caught:
        store.create("key", b"")
    assert caught.value.exit_code == 78
    assert store.get("key") is None


@pytest.mark.parametrize(
    ("code", "error"),
    [(errno.EACCES, ConfigError), (errno.EROFS, ConfigError), (errno.EIO, StoreUnavailableError)],
)
def test_each_system_error_has_a_sentence(tmp_path: Path, code: int, error: type[Exception]) -> None:
    found = explained(OSError(code, os.strerror(code)), tmp_path)
    assert type(found) is error
    assert str(tmp_path) in str(found) and os.strerror(code) in str(found)


def test_a_folder_without_read_rights_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything; the read-only file system covers the sentence")
    (tmp_path / "store").mkdir(mode=0o000)
    with pytest.raises(ConfigError, match="give this user the right"):
        open_store(str(tmp_path / "store")).get("key")


@pytest.mark.slow
def test_killed_while_uploading_is_invisible(tmp_path: Path) -> None:
    """Writers that are killed at random moments leave a whole object or none."""
    seed = 20240607
    print(f"seed {seed}")
    draw = random.Random(seed)
    root = tmp_path / "store"
    code = (
        "import sys, pathlib\n"
        "from kubetune.storage.local import LocalStore\n"
        "store = LocalStore(pathlib.Path(sys.argv[1]))\n"
        "print('ready', flush=True)\n"
        "for number in range(10**6):\n"
        "    store.put(f'put/{number % 3}', bytes([number % 251]) * 3_000_000)\n"
        "    store.create(f'create/{number}', bytes([number % 251]) * 100_000)\n"
    )
    left: list[Path] = []
    for number in range(60):
        if number >= 6 and left:
            break
        process = subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE)
        with process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            time.sleep(draw.uniform(0.0, 0.1))
            process.send_signal(signal.SIGKILL)
        store = LocalStore(root)
        for prefix, size in (("put/", 3_000_000), ("create/", 100_000)):
            for stat in store.list(prefix):
                found = store.get(stat.key)
                assert found is not None and len(found.data) == size and len(set(found.data)) == 1
        store.put("put/0", bytes(3_000_000))  # no lock is left behind
        left = list((root / UNFINISHED).iterdir())
    assert left, "no kill hit a write: the test shows nothing"
    assert store.sweep_unfinished(before=time.time() - 60) == 0
    assert store.sweep_unfinished(before=time.time() + 60) == len(left)


def test_stored_files_cannot_be_edited_by_accident(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    store.put("key", b"content")
    assert (tmp_path / "store" / "key").stat().st_mode & 0o222 == 0


def test_processes_exclude_each_other(tmp_path: Path) -> None:
    """Eight processes count in one record by compare-and-set: no count is lost."""
    code = (
        "import sys, pathlib\n"
        "from kubetune.storage.local import LocalStore\n"
        "store = LocalStore(pathlib.Path(sys.argv[1]))\n"
        "done = 0\n"
        "while done < 25:\n"
        "    found = store.get('count')\n"
        "    fresh = b'1' if found is None else str(int(found.data) + 1).encode()\n"
        "    done += store.swap('count', fresh, found.etag if found else None) is not None\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "store")]) for _ in range(8)]
    assert [process.wait(60) for process in processes] == [0] * 8
    found = LocalStore(tmp_path / "store").get("count")
    assert found is not None and found.data == b"200"


def test_a_reader_keeps_what_it_opened(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    store.put("key", b"a" * (3 << 20))
    chunks = store.read("key")
    first = next(chunks)
    store.put("key", b"b" * (3 << 20))
    assert set(first + b"".join(chunks)) == {ord("a")}
    store.delete("key")
    with pytest.raises(AbsentError):
        next(store.read("key"))
