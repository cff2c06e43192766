"""The command line in this process against a loopback Airflow, store and endpoint."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_server import Done, FakeAirflow, running_airflow


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAirflow]:
    """A loopback Airflow that the settings name."""
    with running_airflow() as (server, url):
        monkeypatch.setenv("KUBETUNE_AIRFLOW_URL", url)
        monkeypatch.setenv("KUBETUNE_AIRFLOW_USER", "admin")
        monkeypatch.setenv("KUBETUNE_AIRFLOW_PASSWORD", "pass")
        monkeypatch.setattr("kubetune.remote.airflow.FIRST_PAUSE_S", 0.01)
        monkeypatch.setattr("kubetune.remote.watch.POLL_S", 0.01)
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
