"""Rows of several labels or of scores through the whole plan, from a file to a package; and rows that are none."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import toys
from kubetune import layout
from kubetune.errors import DataError
from kubetune.execution.run import open_configured_store
from kubetune.storage.base import Store
from kubetune.storage.commits import read_commit
from pipelines import run_plan, settings_of, toy_recipe


def several_rows(count: int) -> list[dict[str, Any]]:
    """Texts with one feeling, with two, and with none, which their labels name and their score counts."""
    rows = []
    for number, row in enumerate(toys.toy_rows(count)):
        words = row["text"].split(" ")
        found = [row["label"]]
        if number % 3 == 0:
            words = [word for word in words if word in toys.NEUTRAL]
            found = []
        if number % 3 == 1:
            other = 1 - toys.LABELS.index(row["label"])
            words.append((toys.NEGATIVE, toys.POSITIVE)[other][number % 6])
            found.append(toys.LABELS[other])
        score = 70.0 + 10 * found.count("positive") - 5 * found.count("negative")
        rows.append({"text": " ".join(words), "text_pair": "the day", "labels": ";".join(found), "score": score})
    return rows


def run(folder: Path, rows: list[dict[str, Any]], *overrides: str, until: str = "package") -> Store:
    data = toys.write_jsonl(folder / "rows.jsonl", rows)
    recipe = toy_recipe(data, toys.write_toy_model(folder / "toy"), overrides)
    settings = settings_of(folder)
    store = open_configured_store(settings)
    run_plan(recipe, "toy-1", store, settings, until)
    return store


def artifact(store: Store, folder: Path, stage: str, name: str) -> dict[str, Path]:
    """Return file → where its bytes lie."""
    found = read_commit(store, "toy-1", stage)
    assert found is not None
    return {file.path: folder / "store" / layout.blob(file.sha256) for file in found.outputs[name]}


@pytest.mark.parametrize(
    ("rows", "overrides", "sentence"),
    [
        ([{"text": "a film", "labels": ""}] * 20, ["task.problem=multi-label"], "missing-label"),
        ([{"text": "a film", "labels": []}] * 20, ["task.problem=multi-label"], "data.empty_labels=keep takes rows"),
        ([{"text": "a film", "score": "good"}] * 20, ["task.problem=regression"], "score-malformed"),
        ([{"text": "a film", "score": "nan"}] * 20, ["task.problem=regression"], "missing-label"),
        ([{"text": "a film", "score": "inf"}] * 20, ["task.problem=regression"], "score-not-finite"),
        (
            [{"text": "a film", "score": 7}] * 20,
            ["task.problem=regression", "data.score_range=[1, 5]"],
            "7 is not from 1 to 5",
        ),
        ([{"text": "a film", "label": "x"}] * 20, ["task.problem=multi-label"], "labels"),
        ([{"text": "a film", "label": 3}] * 20, ["task.problem=regression"], "score"),
    ],
)
def test_rows_that_are_none_are_refused_in_a_sentence(
    tmp_path: Path, rows: list[dict[str, Any]], overrides: list[str], sentence: str
) -> None:
    with pytest.raises(DataError) as refusal:
        run(tmp_path, rows, *overrides, until="prepare")
    assert sentence in str(refusal.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["task.problem=multi-label", "data.label_separator=';'", "data.empty_labels=keep"],
        ["task.problem=regression", "task.kind=pair-classification"],
    ],
    ids=["labels", "score"],
)
def test_the_whole_plan_runs_and_says_what_was_decided(tmp_path: Path, overrides: list[str]) -> None:
    head = ["model.head.kind=own", "model.head.pooling=mean", "training.epochs=10", "training.learning_rate=8e-3"]
    store = run(tmp_path, several_rows(400), "evaluation.slices=[length, label]", *overrides, *head)
    report = artifact(store, tmp_path, "evaluate", "report")
    metrics = json.loads(report["metrics.json"].read_text())
    page = report["report.html"].read_text()
    table = pq.read_table(report["predictions.parquet"])
    if overrides[0].endswith("multi-label"):
        assert metrics["metrics"]["micro_f1"]["value"] > metrics["baselines"]["frequent"]["metrics"]["micro_f1"]["high"]
        assert {part["name"] for part in metrics["slices"]["label"]} == {"no label", "1 label", "2 labels"}
        assert "Chosen from a probability of" in page and "by the best micro F1 on" in page
        assert [row["label"] for row in metrics["per_class"]] == list(toys.LABELS)
    else:
        assert metrics["metrics"]["r2"]["value"] > metrics["baselines"]["mean"]["metrics"]["r2"]["high"]
        assert metrics["per_class"] == [] and metrics["labels"] == []
        assert set(metrics["metrics"]) == {"mse", "mae", "r2", "pearson", "spearman"}
        assert "Spearman" in page
        assert table["prediction"].to_numpy().min() > 40
    assert table.num_rows == metrics["rows"]
