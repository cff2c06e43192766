"""Endpoint records and uploads."""

from dataclasses import replace
from pathlib import Path

import pytest

import storage_contract as contract
from kubetune import layout
from kubetune.errors import ConfigError, CorruptArtifactError, KubetuneError
from kubetune.storage.base import Store
from kubetune.storage.endpoints import (
    HISTORY,
    Endpoint,
    ServedArchive,
    change_endpoint,
    delete_endpoint,
    list_endpoints,
    read_endpoint,
)
from kubetune.storage.uploads import fetch_upload, put_upload

FIRST = ServedArchive("run-1", contract.one_file(b"first"))
SECOND = ServedArchive("run-2", contract.one_file(b"second"))


def desire(store: Store, target: ServedArchive, epoch: int | None = None, event: str = "deploy") -> Endpoint:
    return change_endpoint(
        store, "tweets", lambda former: replace(former, desired=target), event=event, at="2024-01-01", epoch=epoch
    )


def test_each_change_grows_epoch_and_history(store: Store) -> None:
    assert read_endpoint(store, "tweets") is None
    assert desire(store, FIRST).epoch == 1
    second = desire(store, SECOND, epoch=1)
    assert second == read_endpoint(store, "tweets")
    assert (second.epoch, second.desired, second.observed) == (2, SECOND, None)
    assert [(item["epoch"], item["run"], item["archive"]) for item in second.history] == [
        (1, "run-1", FIRST.digest),
        (2, "run-2", SECOND.digest),
    ]
    assert [endpoint.name for endpoint in list_endpoints(store)] == ["tweets"]
    assert delete_endpoint(store, "tweets") and not delete_endpoint(store, "tweets")
    assert list_endpoints(store) == []


def test_a_zombie_with_an_older_epoch_is_refused(store: Store) -> None:
    desire(store, FIRST)
    desire(store, SECOND)
    with pytest.raises(KubetuneError, match="changed by another process"):
        desire(store, FIRST, epoch=1)
    found = read_endpoint(store, "tweets")
    assert found is not None and found.desired == SECOND


def test_sixteen_writers_lose_no_change(store: Store) -> None:
    results = contract.at_once(lambda number: desire(store, ServedArchive(f"run-{number}", FIRST.files)))
    found = read_endpoint(store, "tweets")
    assert found is not None and found.epoch == 16
    assert sorted(item["run"] for item in found.history) == sorted(f"run-{number}" for number in range(16))
    assert sorted(result.epoch for result in results if isinstance(result, Endpoint)) == list(range(1, 17))


def test_one_of_sixteen_with_the_same_epoch_wins(store: Store) -> None:
    desire(store, FIRST)
    results = contract.at_once(lambda number: desire(store, ServedArchive(f"run-{number}", SECOND.files), epoch=1))
    assert sum(isinstance(result, Endpoint) for result in results) == 1
    assert sum(isinstance(result, KubetuneError) for result in results) == 15


def test_history_is_bounded(local: Store) -> None:
    for _ in range(HISTORY + 5):
        desire(local, FIRST)
    found = read_endpoint(local, "tweets")
    assert found is not None and len(found.history) == HISTORY and found.history[-1]["epoch"] == HISTORY + 5


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_broken_endpoint_record_is_refused_and_stays(local: Store, damage: str) -> None:
    """Taken for none, its epoch began at 1 again and its history was gone."""
    for _ in range(3):
        desire(local, FIRST)
    key = layout.endpoint("tweets")
    whole = local.get(key).data
    broken = {"cut": whole[:-20], "flipped": whole.replace(b'"epoch": 3', b'"epoch": 4'), "empty": b""}[damage]
    local.put(key, broken)
    for ask in (
        lambda: read_endpoint(local, "tweets"),
        lambda: list_endpoints(local),
        lambda: desire(local, FIRST),
        lambda: desire(local, FIRST, epoch=0),
    ):
        with pytest.raises(KubetuneError, match=r"endpoints/tweets\.json .* is broken") as caught:
            ask()
        assert caught.value.exit_code == 70
    assert local.get(key).data == broken
    local.put(key, whole)
    assert desire(local, FIRST).epoch == 4
    with pytest.raises(ConfigError):
        read_endpoint(local, "../run")


def test_an_upload_comes_back_under_its_address(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "my rows.csv"
    path.write_text("text,label\n")
    address = put_upload(store, path)
    assert address == put_upload(store, path)
    assert address.startswith("upload:") and address.endswith("/my rows.csv")
    found = fetch_upload(store, address, tmp_path / "in")
    assert found.name == "my rows.csv" and found.read_bytes() == path.read_bytes()
    digest = address.removeprefix("upload:").partition("/")[0]
    store.put(layout.upload(digest, path.name), b"text,label,\n")
    with pytest.raises(CorruptArtifactError):
        fetch_upload(store, address, tmp_path / "again")


@pytest.mark.parametrize(
    "address", ["upload:", "upload:abc/x", f"upload:{'a' * 64}/../x", f"upload:{'a' * 64}/x", f"{'a' * 64}/x"]
)
def test_unknown_uploads_are_refused(local: Store, tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="Nothing was uploaded"):
        fetch_upload(local, address, tmp_path)


def test_a_folder_is_no_upload(local: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="regular file"):
        put_upload(local, tmp_path)
