"""The command line in this process against a loopback Airflow, store and endpoint."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_server import Done, FakeAirflow, running_airflow
from kubetune.storage.base import Store
from kubetune.storage.open import open_store
from s3_server import S3Server, make_bucket, running_moto


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAirflow]:
    """A loopback Airflow that the settings name."""
    with running_airflow() as (server, url):
        monkeypatch.setenv("KUBETUNE_AIRFLOW_URL", url)
        monkeypatch.setenv("KUBETUNE_AIRFLOW_USER", "admin")
        monkeypatch.setenv("KUBETUNE_AIRFLOW_PASSWORD", "pass")
        monkeypatch.setattr("kubetune.client.airflow.FIRST_PAUSE_S", 0.01)
        monkeypatch.setattr("kubetune.client.watch.POLL_S", 0.01)
        monkeypatch.setattr("kubetune.cli.logs.LATE_S", 0.01)
        yield server


@pytest.fixture
def kubetune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs a command line."""
    from kubetune.cli.app import main

    def run(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["kubetune", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return Done(int(ended.value.code or 0), written.out, written.err)

    return run


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe whose data is on a hub."""
    path = tmp_path / "toy.yaml"
    path.write_text(
        "name: toy\ndata: {source: {kind: hub, name: some/rows}}\nmodel: {source: {kind: hub, name: some/model}}\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store in a bucket that the settings name."""
    with running_moto() as address:
        server = make_bucket(S3Server(address, "moto", "moto-secret", "kubetune", real=False))
        for name, value in {
            "STORE": "s3://kubetune", "S3_ENDPOINT": f"http://{address}", "S3_ACCESS_KEY": "moto",
            "S3_SECRET_KEY": "moto-secret",
        }.items():  # fmt: skip
            monkeypatch.setenv(f"KUBETUNE_{name}", value)
        yield open_store("s3://kubetune", server.settings(), probe=False)
