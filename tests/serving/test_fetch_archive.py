"""The init container's command: by digest, every byte checked, whole or not there, with nothing but reads of blobs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import chain_toys
from kubetune import layout
from kubetune.errors import ConfigError, DataError, TemporaryError
from kubetune.models.delivery import fetch_archive
from kubetune.provenance.trust import revocations_file
from kubetune.serving.archive.manifest import archive_digest, read_archive
from kubetune.storage.base import AbsentError
from kubetune.storage.blobs import list_tree, put_tree
from kubetune.storage.local import LocalStore
from kubetune.storage.statements import update_revocations


class BlobsOnly:
    """A store whose user may GET blobs and nothing else, as the policy of `serve` says."""

    def __init__(self, store: LocalStore) -> None:
        self.store, self.url, self.read_keys = store, store.url, []

    def read(self, key: str) -> Iterator[bytes]:
        assert key.startswith(layout.BLOBS), key
        self.read_keys.append(key)
        return self.store.read(key)

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"a serving pod may not call {name}")


@pytest.fixture
def store(tmp_path: Path, archive: Path) -> LocalStore:
    found = LocalStore(tmp_path / "store")
    put_tree(found, archive)
    return found


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "archive").mkdir()
    return tmp_path / "archive"


def blob(store: LocalStore, digest: str) -> Path:
    return Path(store.url.removeprefix("file://")) / layout.blob(digest)


def test_the_archive_arrives_whole_with_reads_of_blobs_alone(store, archive: Path, into: Path) -> None:
    narrow = BlobsOnly(store)
    placed = fetch_archive(narrow, archive_digest(archive), into)
    assert placed == into / archive_digest(archive)
    assert list_tree(placed) == list_tree(archive)
    assert [path.name for path in into.iterdir()] == [placed.name]
    assert len(narrow.read_keys) == len(list_tree(archive))
    fetch_archive(narrow, archive_digest(archive), into)  # a restarted container fetches nothing again
    assert len(narrow.read_keys) == len(list_tree(archive))


def test_a_flipped_byte_of_any_file_is_refused_and_never_placed(store, archive: Path, into: Path) -> None:
    files = list_tree(archive)
    assert len(files) >= 7
    for file in files:
        path = blob(store, file.sha256)
        good = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(good[: len(good) // 2] + bytes([good[len(good) // 2] ^ 1]) + good[len(good) // 2 + 1 :])
        with pytest.raises(DataError, match="was not placed") as caught:
            fetch_archive(store, archive_digest(archive), into)
        assert caught.value.exit_code == 65
        assert not list(into.iterdir())
        path.write_bytes(good)


@pytest.mark.parametrize("name", ["archive.json", "model.safetensors"])
def test_a_missing_file_is_refused(name: str, store, archive: Path, into: Path) -> None:
    (digest,) = [file.sha256 for file in list_tree(archive) if file.path == name]
    blob(store, digest).unlink()
    with pytest.raises(DataError, match="is missing"):
        fetch_archive(store, archive_digest(archive), into)
    assert not list(into.iterdir())


def test_a_blob_that_is_no_archive_is_refused(store, archive: Path, into: Path) -> None:
    (digest,) = [file.sha256 for file in list_tree(archive) if file.path == "config.json"]
    with pytest.raises(ConfigError, match=r"archive\.json of the archive is not readable"):
        fetch_archive(store, digest, into)
    assert not list(into.iterdir())


def test_what_a_killed_attempt_left_is_replaced(store, archive: Path, into: Path) -> None:
    digest = archive_digest(archive)
    (into / f".{digest[:12]}-aaaa.partial").mkdir()
    shutil.copytree(archive, into / digest)
    (into / digest / "config.json").write_text("{}")
    assert list_tree(fetch_archive(store, digest, into)) == list_tree(archive)
    assert [path.name for path in into.iterdir()] == [digest]


def test_what_cannot_be_done_is_told(store, archive: Path, into: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="64 hex digits"):
        fetch_archive(store, "../etc", into)
    with pytest.raises(ConfigError, match="mount one there"):
        fetch_archive(store, archive_digest(archive), tmp_path / "nowhere")
    if os.geteuid() != 0:
        into.chmod(0o500)
        with pytest.raises(TemporaryError, match="cannot be written"):
            fetch_archive(store, archive_digest(archive), into)


def command(folder: Path, into: Path, digest: str) -> subprocess.CompletedProcess[str]:
    variables = {"KUBETUNE_STORE": str(folder), "KUBETUNE_ARCHIVE": digest}
    return subprocess.run(
        [sys.executable, "-m", "kubetune", "fetch-archive", "--endpoint", "toy", "--into", str(into)],
        env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.slow
def test_the_command(store, archive: Path, into: Path, tmp_path: Path) -> None:
    done = command(tmp_path / "store", into, "")
    assert done.returncode == 0 and "nothing to fetch" in done.stdout and not list(into.iterdir())
    done = command(tmp_path / "store", into, archive_digest(archive))
    assert done.returncode == 0, done.stderr
    assert read_archive(into / archive_digest(archive))
    done = command(tmp_path / "store", into, "0" * 64)
    assert done.returncode == 65 and "Archive 000000000000 was not placed" in done.stderr


@pytest.mark.slow
def test_the_command_takes_no_archive_that_was_signed_as_another_model(
    store, archive: Path, into: Path, tmp_path: Path, monkeypatch
) -> None:
    digest = archive_digest(archive)
    monkeypatch.setenv("KUBETUNE_TRUSTED_KEYS", str(chain_toys.vouch(tmp_path / "keys", archive, into, "another")))
    done = command(tmp_path / "store", into, digest)
    assert done.returncode == 65 and "has no statement as model toy" in done.stderr and not (into / digest).exists()
    chain_toys.vouch(tmp_path / "more", archive, into, "toy")
    listed = json.loads(revocations_file(into).read_text())
    update_revocations(store, lambda standing: listed)  # whoever can ask the store believes no list beside the archive
    monkeypatch.setenv("KUBETUNE_TRUSTED_KEYS", str(tmp_path / "more" / "signing.pub"))
    assert command(tmp_path / "store", into, digest).returncode == 0


def test_the_fake_store_has_teeth(store) -> None:
    with pytest.raises(AssertionError, match="may not call list"):
        BlobsOnly(store).list("blobs/")
    with pytest.raises(AbsentError):
        next(BlobsOnly(store).read(layout.blob("0" * 64)))
