"""One behaviour suite for every store."""

import os
import time
from pathlib import Path

import pytest

import storage_contract as contract
from kubetune.errors import ConfigError, KubetuneError
from kubetune.storage.base import AbsentError, S3Settings, Store, check_key
from kubetune.storage.open import open_store
from s3_server import S3Server


def test_second_create_is_refused(store: Store) -> None:
    contract.check_second_create_is_refused(store)


def test_swap_needs_the_etag(store: Store) -> None:
    contract.check_swap_needs_the_etag(store)


def test_sixteen_writers_have_one_winner(store: Store) -> None:
    contract.check_one_winner(store, rounds=20 if store.url.startswith("file:") else 5)


def test_what_is_put_is_read(store: Store, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * (11 * 4096) + b"end")  # 11 MiB: three parts in a bucket
    for key, source, content in [
        ("a/empty", b"", b""),
        ("a/small", b"small", b"small"),
        ("a/ümläut & space + plus", b"name", b"name"),
        ("a/large", large, large.read_bytes()),
    ]:
        store.put(key, source)
        assert b"".join(store.read(key)) == content
        found, stat = store.get(key), store.stat(key)
        assert found is not None and found.data == content
        assert stat is not None and (stat.key, stat.size) == (key, len(content))
        assert abs(stat.modified - time.time()) < 60


def test_put_replaces(store: Store) -> None:
    store.put("key", b"first")
    store.put("key", b"second")
    found = store.get("key")
    assert found is not None and found.data == b"second"


def test_nothing_lies_where_nothing_was_put(store: Store) -> None:
    assert store.get("no/thing") is None
    assert store.stat("no/thing") is None
    assert list(store.list("no/")) == []
    assert store.delete("no/thing") is False
    with pytest.raises(AbsentError):
        next(store.read("no/thing"))


def test_list_is_by_folder(store: Store) -> None:
    for key in ["one/a", "one/b/c", "one-more/d", "two/e"]:
        store.put(key, key.encode())
    assert sorted(stat.key for stat in store.list("one/")) == ["one/a", "one/b/c"]
    assert {stat.key: stat.size for stat in store.list("two/")} == {"two/e": 5}


def test_list_is_complete_beyond_one_page(moto_server: S3Server) -> None:
    from moto.s3.models import s3_backends

    backend = s3_backends["123456789012"]["aws"]  # the server runs in this process; 1,005 requests would take 8 s
    keys = {f"many/{number:04d}" for number in range(1005)}
    for key in keys:
        backend.put_object(moto_server.bucket, f"listing/{key}", b"")
    assert {stat.key for stat in moto_server.open(prefix="listing").list("many/")} == keys


def test_delete_spares_what_is_newer(store: Store) -> None:
    store.put("key", b"content")
    assert store.delete("key", unless_newer_than=time.time() - 60) is False
    assert store.stat("key") is not None
    assert store.delete("key", unless_newer_than=time.time() + 60) is True
    assert store.stat("key") is None


@pytest.mark.parametrize("key", ["", "/absolute", "a//b", "a/../b", "..", "a/./b", "a/", "a\\b", "a\nb", "a" * 1025])
def test_keys_cannot_lead_out(store: Store, key: str) -> None:
    for call in (store.get, store.stat, store.delete, lambda key: next(store.read(key))):
        with pytest.raises(KubetuneError, match="not allowed in a store"):
            call(key)
    with pytest.raises(KubetuneError, match="not allowed in a store"):
        store.put(key, b"")
    with pytest.raises(KubetuneError, match="not allowed in a store"):
        store.create(key, b"")


def test_a_deep_key_is_fine() -> None:
    assert check_key("runs/a-b/train/COMMIT.json") == "runs/a-b/train/COMMIT.json"


@pytest.mark.parametrize("url", ["ftp://host/x", "s3://", "s3:///x", "file://host/x", "s3://bucket?x=1", "gs://b"])
def test_unknown_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="s3://bucket/prefix"):
        open_store(url, S3Settings("http://127.0.0.1:1", "a", "b"))


def test_a_password_in_the_address_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        open_store("s3://key:hunter2@bucket/x", S3Settings("http://127.0.0.1:1", "a", "b"))
    assert "hunter2" not in str(caught.value)
    settings = S3Settings("http://127.0.0.1:1", "a", "hunter2", "hunter3")
    assert "hunter" not in repr(settings)


def test_s3_needs_settings_and_a_bucket_name() -> None:
    with pytest.raises(ConfigError, match="KUBETUNE_S3_ENDPOINT"):
        open_store("s3://bucket")
    with pytest.raises(ConfigError, match="bucket name"):
        open_store("s3://B/x", S3Settings("http://127.0.0.1:1", "a", "b"))
    with pytest.raises(ConfigError, match="no address"):
        open_store("s3://bucket", S3Settings("127.0.0.1:9000", "a", "b"))


def test_addresses_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("some folder").url == (tmp_path / "some folder").as_uri()
    assert open_store((tmp_path / "some folder").as_uri()).url == (tmp_path / "some folder").as_uri()
    assert not (tmp_path / "some folder").exists()


def test_the_seam_does_not_import_the_client() -> None:
    import subprocess
    import sys

    code = (
        "import sys, kubetune.storage.gc, kubetune.storage.commits; "
        "print([m for m in ('minio', 'urllib3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_real_server_takes_part() -> None:
    if not os.environ.get("KUBETUNE_TEST_S3"):
        pytest.skip("KUBETUNE_TEST_S3=http://key:secret@host:port/bucket names no real S3 server; moto alone was used")
