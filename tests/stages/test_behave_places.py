"""Stage `behave` for tasks whose answers point at characters: from rows over a trained toy to `cases.parquet`."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import toys
from entity_toys import TYPES, spans_in
from kubetune.config.load import parse_recipe
from kubetune.execution.run import open_configured_store
from kubetune.storage.blobs import fetch_tree
from kubetune.storage.commits import read_commit
from pipelines import TOY, run_plan, settings_of

pytestmark = pytest.mark.slow


def entity_row(text: str) -> dict[str, Any]:
    return {"text": text, "truth": [span | {"label": TYPES[span["label"]]} for span in spans_in(text)]}


def question_row(text: str) -> dict[str, Any]:
    found = spans_in(text)
    answers = [{"text": text[found[0]["start"] : found[0]["end"]], "answer_start": found[0]["start"]}] if found else []
    return {"question": "what was it", "text": text, "truth": answers}


KINDS: dict[str, tuple[Any, str, list[str]]] = {
    "token-classification": (entity_row, "entities", ["data.columns.text=text"]),
    "question-answering": (question_row, "answers", ["data.columns.text=question", "data.columns.text_pair=text"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_is_a_case_of_the_suite(tmp_path: Path, toy_model: Path, kind: str) -> None:
    row_of, suite, columns = KINDS[kind]
    rows = toys.write_jsonl(tmp_path / "rows.jsonl", [row_of(row["text"]) for row in toys.toy_rows(160)])
    recipe = parse_recipe(
        TOY.format(data=rows, model=toy_model),
        [f"task.kind={kind}", *columns, "data.columns.label=truth", f"behaviour.suite={suite}", "training.epochs=6"],
    )
    settings = settings_of(tmp_path)
    store = open_configured_store(settings)
    assert run_plan(recipe, "toy", store, settings, until="behave")["behave"] == "ran"
    commit = read_commit(store, "toy", "behave")
    assert commit is not None
    out = tmp_path / "behaviour"
    out.mkdir()
    fetch_tree(store, commit.outputs["behaviour"], out)
    cases = pq.read_table(out / "cases.parquet").to_pylist()
    counts = {test: sum(case["test"] == test for case in cases) for test in {case["test"] for case in cases}}
    assert counts["sentence behind"] == counts["sentence before"] > 30
    if suite == "entities":
        assert counts["another of its type"] > 20
        assert {case["passed"] for case in cases} == {True, False}, "a toy that learnt its rows fails somewhere"
