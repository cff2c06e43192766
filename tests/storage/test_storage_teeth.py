"""Planted bugs: each must turn a check of the suite red, or the check proves nothing."""

import io
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import storage_contract as contract
from kubetune.errors import ConfigError
from kubetune.storage import blobs, checkpoints
from kubetune.storage.base import Store, Stored
from kubetune.storage.checkpoints import StoredCheckpoints
from kubetune.storage.commits import Commit
from kubetune.storage.local import LocalStore
from s3_server import S3Server

RED = (AssertionError, pytest.fail.Exception)


def test_condition_sent_as_metadata(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """`put_object(metadata={"If-None-Match": "*"})` writes whatever lies there, silently."""
    from kubetune.storage.s3 import S3Store

    store: Any = server.open()
    contract.check_second_create_is_refused(store)

    def as_metadata(self: S3Store, key: str, data: bytes, condition: Mapping[str, str]) -> str:
        written = self._client.put_object(
            self.bucket, self._name(key), io.BytesIO(data), len(data), metadata=dict(condition)
        )
        return str(written.etag)

    monkeypatch.setattr(S3Store, "_put_if", as_metadata)
    with pytest.raises(RED):
        contract.check_second_create_is_refused(store)
    with pytest.raises(RED):
        contract.check_swap_needs_the_etag(store)
    with pytest.raises(RED):
        contract.check_one_winner(store, rounds=1)
    with pytest.raises(ConfigError, match="ignores conditional writes"):
        store.probe()


def test_no_condition_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    monkeypatch.setattr(LocalStore, "create", lambda self, key, data: self.put(key, data) is None)
    with pytest.raises(RED):
        contract.check_second_create_is_refused(store)
    with pytest.raises(RED):
        contract.check_one_winner(store, rounds=1)


def test_look_before_write_instead_of_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second create is refused when they come one after the other; only the crowd shows the bug."""

    def look_then_write(self: LocalStore, key: str, data: bytes) -> bool:
        if self.stat(key) is not None:
            return False
        time.sleep(0.005)
        self.put(key, data)
        return True

    store = LocalStore(tmp_path)
    monkeypatch.setattr(LocalStore, "create", look_then_write)
    contract.check_second_create_is_refused(store)
    with pytest.raises(RED):
        contract.check_one_winner(store, rounds=3)


def test_swap_without_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def unlocked(self: LocalStore, key: str) -> Iterator[None]:
        yield

    def slow(self: LocalStore, key: str) -> Stored | None:
        found = original(self, key)
        time.sleep(0.005)
        return found

    original = LocalStore.get
    store = LocalStore(tmp_path)
    monkeypatch.setattr(LocalStore, "get", slow)
    contract.check_one_winner(store, rounds=1)
    monkeypatch.setattr(LocalStore, "_locked", unlocked)
    contract.check_swap_needs_the_etag(store)
    with pytest.raises(RED):
        contract.check_one_winner(store, rounds=3)


def test_no_digest_check(local: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damage(data: bytes) -> bytes:
        return data[:-1] + b"?"

    contract.check_broken_blob_is_refused(local, tmp_path / "before", b"content", damage)

    original = blobs.copy_out

    def believing(store: Store, key: str, target: Path) -> str:
        original(store, key, target)
        return key.rpartition("/")[2]

    monkeypatch.setattr(blobs, "copy_out", believing)
    with pytest.raises(RED):
        contract.check_broken_blob_is_refused(local, tmp_path / "after", b"content", damage)


def test_a_standing_record_taken_for_success(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """412 read as success without comparing the digest."""
    contract.check_other_result_conflicts(local)
    monkeypatch.setattr(Commit, "result", property(lambda self: "equal"))
    with pytest.raises(RED):
        contract.check_other_result_conflicts(local)


def test_attempt_inside_the_compared_digest(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a second attempt could never adopt the first one's result."""
    monkeypatch.setattr(Commit, "result", property(lambda self: self.attempt))
    with pytest.raises(Exception, match="already committed with a different result"):
        contract.check_other_result_conflicts(local)


def checkpoint(folder: Path, step: int) -> Path:
    target = folder / f"step-{step}"
    target.mkdir(parents=True)
    (target / "model.safetensors").write_bytes(b"%d" % step * 100)
    (target / "manifest.json").write_text(json.dumps({"step": step}))
    return target


def deaths(tmp_path: Path) -> None:
    for change in range(8):
        folder = tmp_path / f"{change}"
        contract.check_publish_survives_death_at(LocalStore(folder / "store"), change, checkpoint, folder)


def test_head_before_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The marker before the data: a death between them leaves a head that names nothing."""
    deaths(tmp_path / "right")
    original, postponed = checkpoints.update, list[Any]()

    def put_later(self: StoredCheckpoints, folder: Path, file: Any) -> None:
        if postponed and postponed[0][0] is not self:
            postponed.clear()  # those of a process that died
        postponed.append((self, folder, file))

    def head_first(*arguments: Any) -> Any:
        head = original(*arguments)
        while postponed:
            put(*postponed.pop())
        return head

    put = StoredCheckpoints._put
    monkeypatch.setattr(StoredCheckpoints, "_put", put_later)
    monkeypatch.setattr(checkpoints, "update", head_first)
    with pytest.raises(RED):
        deaths(tmp_path / "wrong")


def test_older_bytes_deleted_before_the_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = StoredCheckpoints.publish

    def impatient(self: StoredCheckpoints, folder: Path) -> None:
        for stat in [*self.store.list(f"checkpoints/{self.key}/files/")][:1] if "40" in folder.name else []:
            self.store.delete(stat.key)
        original(self, folder)

    monkeypatch.setattr(StoredCheckpoints, "publish", impatient)
    with pytest.raises(RED):
        deaths(tmp_path)
