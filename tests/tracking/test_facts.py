"""What records mean as an MLflow run, and the curve out of telemetry."""

import json
from dataclasses import replace
from typing import Any

import pytest

import chain_toys
from kubetune.contract import Verdict
from kubetune.tracking.facts import FailedAttempt, Records, mirrored, plain_name, recipe_params, status_of
from kubetune.tracking.source import training_points

COMMITS = chain_toys.commits("toy-1")


def records(*stages: str, **more: Any) -> Records:
    commits = {stage: COMMITS[stage] for stage in stages}
    values: dict[str, Any] = {"run": "toy-1", "recipe": {"name": "toy"}, "begun": 1000, "ended": 2000, **more}
    return Records(**{"commits": commits, "committed": dict.fromkeys(commits, 1500), **values})


def refused(stage: str, code: int) -> dict[str, Any]:
    commits = {stage: replace(COMMITS[stage], verdict=Verdict(code, ("why",)))}
    return {"commits": commits, "committed": {stage: 1500}}


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (records("ingest"), "RUNNING"),
        (records(*COMMITS), "FINISHED"),
        (records(**refused("evaluate", 77)), "FAILED"),
        (records(**refused("compare", 99)), "FINISHED"),
        (records("ingest", failure=FailedAttempt("prepare", 65, "DataError")), "FAILED"),
        (records("train", sweep="s", winner="other"), "FINISHED"),
        (records("prepare", sweep="s", winner="other"), "FAILED"),
        (records("train", sweep="s", winner="toy-1"), "RUNNING"),
        (records(winner="s-1"), "FINISHED"),
    ],
)
def test_the_status_follows_from_commits_and_attempts(found: Records, status: str) -> None:
    assert status_of(found) == status
    assert (mirrored(found, "file:///s", "b").ended is None) == (status == "RUNNING")


def test_metrics_have_the_name_of_their_stage_and_tags_say_what_was_made() -> None:
    found = mirrored(records(*COMMITS), "file:///s", "b")
    assert ("evaluate/macro_f1", 0, 0.9204, 1500) in [(p.name, p.step, p.value, p.at) for p in found.points]
    assert found.tags["kubetune.stage.train.key"] == COMMITS["train"].key
    assert found.tags["kubetune.stage.train.verdict"] == "passed"
    assert len(found.tags["kubetune.artifact.model"]) == 64
    assert not found.files, "made-up files are none that people read"


def test_the_reason_of_a_failure_stays_in_the_store_since_it_may_quote_a_row() -> None:
    failed = mirrored(records(failure=FailedAttempt("ingest", 65, "DataError")), "file:///s", "b")
    assert failed.tags["kubetune.failure"] == "ingest ended with 65 (DataError)"


def test_too_long_and_odd_parameters_are_cut_visibly() -> None:
    recipe = {"a": {"b" * 300: "x" * 7000}, "odd name{}": [1, 2], "none": None, "empty": {}, "text": "é"}
    found = dict(recipe_params(recipe))
    (long,) = [name for name in found if name.startswith("a.")]
    assert len(long) == 250
    assert long.endswith(" ... cut")
    assert len(found[long]) == 6000
    assert found[long].endswith("… (cut, 7000 characters)")
    rest = {"odd name__": "[1, 2]", "none": "null", "empty": "{}", "text": "é"}
    assert {name: found[name] for name in rest} == rest
    assert plain_name("é/x@3") == "_/x_3"


def lines(*events: dict[str, Any]) -> bytes:
    return "".join(json.dumps(event) + "\n" for event in events).encode()


def step(number: int, loss: float, at: float = 5.0) -> dict[str, Any]:
    return {"event": "step", "at": at, "step": number, "loss": loss, "rate": 0.1, "norm": 1.0}


def test_a_curve_survives_cut_lines_resumes_and_numbers_that_are_none() -> None:
    first = lines({"event": "started", "at": 1.0}, step(1, 0.9), step(2, 0.8)) + b'{"event": "step", "at": 6.0, "st'
    second = lines({"event": "started", "at": 9.0}, step(2, 0.8, at=10.0), step(3, float("nan"), at=11.0))
    assert training_points([first, second]) == training_points([second, first])
    losses = [(p.step, p.value, p.at) for p in training_points([second, first]) if p.name == "training/loss"]
    assert losses == [(1, 0.9, 5000), (2, 0.8, 5000)]


def test_what_is_kept_of_a_long_training_only_grows() -> None:
    history = [step(number, 1.0) for number in range(1, 30_001)]
    early, late = (training_points([lines(*history[:count])]) for count in (9_999, 30_000))
    assert set(early) <= set(late)
    assert len([p for p in late if p.name == "training/loss"]) == 1000 + 900 + 200


def test_where_the_logs_are_read_is_a_tag() -> None:
    url = "https://airflow.example.com/dags/finetune/runs/toy-1"
    assert mirrored(replace(records(*COMMITS), log=url), "file:///s", "b").tags["kubetune.log"] == url
    assert "kubetune.log" not in mirrored(records(*COMMITS), "file:///s", "b").tags
