"""A look at the data before a model: what `kubetune data` shows, and a wrong column before anything is downloaded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import toys
from kubetune.errors import DataError
from kubetune.execution.preview import preview
from pipelines import Silent, settings_of, toy_recipe


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    odd = [{"text": "<b>the</b>\u202e day", "label": "odd"}, {"text": "nothing", "label": "nan"}]
    return toys.write_jsonl(tmp_path / "rows.jsonl", [*toys.toy_rows(200), *odd])


def test_all_but_tokens_is_told_without_a_model(tmp_path: Path, rows: Path) -> None:
    recipe = toy_recipe(rows, tmp_path / "no-model", ["data.cleaning=[html, whitespace]"])
    report = preview(recipe, settings_of(tmp_path), Silent())
    assert report["line"] == (
        "202 rows read; 1 rejected (missing-label 1); removed from train 0 duplicates and 0 with conflicting labels; "
        "train 101, validation 40, test 60; 3 classes; fewer than 10 rows in train odd (1); "
        "absent from validation odd; absent from test odd"
    )
    assert report["columns"] == {"all": ["text", "label"]}
    assert report["said"] == ["1 rows have no label ('nan' 1)."]
    assert {"label": "odd", "text": "<b>the</b> day", "cleaned": "the day"} in report["preview"]
    assert [row["label"] for row in report["preview"]].count("positive") == 2
    assert "tokenizer" in report["left_out"]
    assert "truncation" not in report
    assert json.loads(json.dumps(report)) == report
    assert not list(tmp_path.glob("store*"))


def test_a_wrong_column_is_found_there(tmp_path: Path, rows: Path) -> None:
    recipe = toy_recipe(rows, tmp_path / "no-model", ["data.columns.label=labl"])
    with pytest.raises(DataError, match=r"no column 'labl', which data\.columns\.label names: did you mean 'label'"):
        preview(recipe, settings_of(tmp_path), Silent())


def kubetune(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KUBETUNE_STORE": str(place / "store"), "KUBETUNE_STATE_DIR": str(place / "state")}
    return subprocess.run(
        [sys.executable, "-m", "kubetune", *words, "--store", str(place / "store")],
        cwd=place, capture_output=True, text=True, check=False, timeout=300, env=environment,
    )  # fmt: skip


RECIPE = """
name: toy
data: {source: {kind: files, paths: {all: rows.jsonl}}, columns: {text: body}}
model: {source: {kind: path, path: no-model}}
"""


@pytest.mark.slow
def test_a_run_stops_before_the_model_and_its_sentence_is_kept(tmp_path: Path, rows: Path) -> None:
    (tmp_path / "toy.yaml").write_text(RECIPE, encoding="utf-8")
    sentence = "Split all has no column 'body', which data.columns.text names: it has text, label."
    done = kubetune(tmp_path, "run", "toy.yaml")
    assert done.returncode == 65, done.stderr
    assert sentence in done.stderr.strip().splitlines()[-1]
    assert "no-model" not in done.stderr
    shown = kubetune(tmp_path, "show", "toy-1")
    assert f"failed with 65: {sentence}" in shown.stdout


@pytest.mark.slow
def test_the_command_shows_it_for_people_and_programs(tmp_path: Path, rows: Path) -> None:
    (tmp_path / "toy.yaml").write_text(RECIPE, encoding="utf-8")
    done = kubetune(tmp_path, "data", "toy.yaml", "data.columns.text=text")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("data      202 rows read; 1 rejected (missing-label 1)")
    assert "first rows of train" in done.stdout
    assert "\u202e" not in done.stdout
    as_json = kubetune(tmp_path, "data", "toy.yaml", "data.columns.text=text", "--json")
    assert json.loads(as_json.stdout)["rows"]["total"] == 202
    wrong = kubetune(tmp_path, "data", "toy.yaml")
    assert wrong.returncode == 65
    assert "no column 'body'" in wrong.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "store").exists()
