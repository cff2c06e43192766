"""A store that does not answer: whoever waits at a terminal is told soon, a stage waits as long as it may."""

import socket
from collections.abc import Callable, Iterator

import pytest

from airflow_server import Done, FakeAirflow
from kubetune.config.settings import Settings, load_settings
from kubetune.errors import StoreUnavailableError
from kubetune.execution.platform import open_answering_store

Kubetune = Callable[..., Done]
SILENT = {"STORE": "s3://kubetune", "S3_ACCESS_KEY": "key", "S3_SECRET_KEY": "secret-secret"}
COMMANDS = (
    ["runs"], ["show", "toy-1"], ["why", "toy-1", "train"], ["lineage", "toy-1"], ["compare", "toy-1", "toy-2"],
    ["pull", "toy-1"], ["export", "toy-1", "--mar", "toy.mar"], ["models"], ["gc", "--dry-run"],
    ["delete", "toy-1"], ["promote", "toy-1", "--why", "x"], ["rollback", "toy", "--why", "x"],
    ["tracking", "status"], ["run", "tweets"],
)  # fmt: skip


@pytest.fixture(params=["accepts and is silent", "takes no connection"])
def away(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings name a server that accepts and never answers, or a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        port = server.getsockname()[1]
        if request.param == "takes no connection":
            server.close()
        for name, value in {**SILENT, "S3_ENDPOINT": f"http://127.0.0.1:{port}", "STORE_ANSWER_S": "0.3"}.items():
            monkeypatch.setenv(f"KUBETUNE_{name}", value)
        yield


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_command_says_within_its_bound_that_the_store_is_away(
    away: None, kubetune: Kubetune, words: list[str]
) -> None:
    done = kubetune(*words)
    assert done.code == 75, done
    assert "did not answer inside 0.3 s" in done.last and "run the same command again" in done.last


def test_submit_says_so_too(away: None, airflow: FakeAirflow, kubetune: Kubetune, recipe: object) -> None:
    done = kubetune("submit", str(recipe))
    assert done.code == 75 and "did not answer inside 0.3 s" in done.last
    assert not airflow.runs


def test_the_bound_leaves_ten_seconds_for_all_of_it() -> None:
    assert Settings().store_answer_s < 10


def test_whatever_runs_in_a_pod_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**SILENT, "S3_ENDPOINT": "http://127.0.0.1:9", "STORE_ANSWER_S": "0.01"}.items():
        monkeypatch.setenv(f"KUBETUNE_{name}", value)
    monkeypatch.setenv("KUBETUNE_STORE_DEADLINE_S", "0.5")
    monkeypatch.setenv("KUBETUNE_ATTEMPT", "a-pod-1")
    with pytest.raises(StoreUnavailableError, match=r"inside 0\.5 s"):
        open_answering_store(load_settings())
