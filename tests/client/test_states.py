"""What `kubetune runs` and `show` call the state of a run: by its records, and by what a cluster still does."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from airflow_server import Done, FakeAirflow
from kubetune import layout
from kubetune.config.load import canonical, load_recipe
from kubetune.contract import Verdict
from kubetune.stages import STAGES
from kubetune.storage.base import Store
from kubetune.storage.commit_record import Commit
from kubetune.storage.commits import create_commit
from kubetune.storage.runs import create_run, record_attempt

Kubetune = Callable[..., Done]
STOPPED = {"exit_code": 75, "reason": "asked to stop"}


@pytest.fixture
def run() -> str:
    """A name of its own: the loopback store is one for all tests."""
    return f"toy-{uuid.uuid4().hex[:8]}"


def a_run(store: Store, run: str, until: str, code: int = 0, reason: str = "", **facts: Any) -> None:
    """Records of a run whose last commit is that of `until`, with a verdict."""
    create_run(store, run, canonical(load_recipe("tweets")))
    for stage in STAGES:
        if stage.name == until:
            create_commit(store, Commit(run, stage.name, "k" * 64, verdict=Verdict(code, (reason,) if code else ()),
                facts=facts))  # fmt: skip
            return
        create_commit(store, Commit(run, stage.name, "k" * 64))


def state(kubetune: Kubetune, run: str) -> str:
    (line,) = [line for line in kubetune("runs").out.splitlines() if line.startswith(run)]
    return " ".join(line.split()[2:6])


@pytest.mark.parametrize(
    ("until", "code", "outcome", "word"),
    [
        ("evaluate", 77, None, "refused"),
        ("compare", 99, "undecided", "undecided"),
        ("compare", 99, "keep", "kept back"),
    ],
)
def test_only_a_gate_refuses(
    bucket: Store, run: str, kubetune: Kubetune, until: str, code: int, outcome: str | None, word: str
) -> None:
    a_run(bucket, run, until, code, "the sentence", **({"outcome": outcome} if outcome else {}))
    assert f"{word} at {until}" in state(kubetune, run)
    shown = kubetune("show", run).out
    assert f"{word}: the sentence" in shown
    assert ("refused" in shown) is (word == "refused")


def test_a_decision_that_a_person_overruled_is_no_end(bucket: Store, run: str, kubetune: Kubetune) -> None:
    a_run(bucket, run, "compare", 99, "too few rows", outcome="undecided")
    create_commit(bucket, Commit(run, "package", "k" * 64))
    assert "complete" in state(kubetune, run)


@pytest.mark.slow
def test_a_try_that_another_one_follows_has_not_failed(
    bucket: Store, run: str, kubetune: Kubetune, airflow: FakeAirflow
) -> None:
    a_run(bucket, run, "prepare")
    record_attempt(bucket, run, "train", "1", STOPPED)
    assert "interrupted at train" in state(kubetune, run), "nobody works on it any more"
    airflow.begin(run)
    airflow.add_task(run, "train", "up_for_retry")
    airflow.reasons[run, "train", "retry_at"] = "2026-11-30T14:05:10"
    due = "retry due at 14:05:10"
    assert due in state(kubetune, run) and due in kubetune("show", run).out
    airflow.add_task(run, "train", "deferred", attempt=2)
    assert "running at train" in state(kubetune, run)
    airflow.end(run, "failed")
    assert "interrupted at train" in state(kubetune, run)


def test_a_failed_try_that_nothing_follows_has(bucket: Store, run: str, kubetune: Kubetune) -> None:
    a_run(bucket, run, "prepare")
    record_attempt(bucket, run, "train", "1", {"exit_code": 65, "reason": "no rows"})
    assert "failed at train" in state(kubetune, run)
    assert "train failed with 65: no rows" in kubetune("show", run).out


def test_an_airflow_that_is_away_is_said_and_the_store_alone_is_shown(
    bucket: Store, run: str, kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"URL": "http://127.0.0.1:9", "USER": "ada", "PASSWORD": "pass"}.items():
        monkeypatch.setenv(f"KUBETUNE_AIRFLOW_{name}", value)
    monkeypatch.setattr("kubetune.cli.logs.LISTING_PATIENCE_S", 0.1)
    a_run(bucket, run, "prepare")
    done = kubetune("runs")
    assert done.code == 0 and "open, next train" in done.out
    assert "states are those of the store" in done.err


def test_an_approval_that_is_missing_and_an_effect_that_failed_are_no_completion(
    bucket: Store, run: str, kubetune: Kubetune
) -> None:
    recipe = canonical(load_recipe("tweets", ["promotion.approval=true"]))
    create_run(bucket, run, recipe)
    for stage in STAGES:
        if not stage.effect:
            create_commit(bucket, Commit(run, stage.name, "k" * 64))
    assert "waiting for approval at" in state(kubetune, run)
    record_attempt(bucket, run, "deploy", "1", {"exit_code": 69, "reason": "not ready"})
    record_attempt(bucket, run, "register", "1", {"exit_code": 78, "reason": "not signed"})
    assert "failed at register" in state(kubetune, run)


@pytest.mark.slow
def test_a_try_that_was_killed_left_no_reason_and_is_told_from_one_that_works(
    bucket: Store, run: str, kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run(bucket, run, "prepare")
    bucket.put(layout.telemetry(run, "train", "history-1.jsonl"), b"{}\n")
    assert "running at train" in state(kubetune, run)
    monkeypatch.setattr("kubetune.execution.states.QUIET_S", -1.0)
    assert "interrupted at train" in state(kubetune, run)
    record_attempt(bucket, run, "train", "1", {"exit_code": 137, "reason": "killed"})
    assert "interrupted at train" in state(kubetune, run)
