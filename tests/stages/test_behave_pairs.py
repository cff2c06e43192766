"""Stage `behave` for similarities, entailment and several labels: from rows over a trained toy to `cases.parquet`."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import toys
import vector_toys
from behaved_toys import document_of
from kubetune.config.load import parse_recipe
from kubetune.execution.run import open_configured_store
from kubetune.storage.blobs import fetch_tree
from kubetune.storage.commits import read_commit
from pipelines import TOY, run_plan, settings_of

pytestmark = pytest.mark.slow
CLASSES = ("entailment", "neutral", "contradiction")


def scored() -> list[dict[str, Any]]:
    return [{"one": one, "other": other, "score": score} for one, other, score in vector_toys.scored_rows(120)]


def premises() -> list[dict[str, Any]]:
    pairs = vector_toys.pair_rows(150)
    return [{"one": one, "other": other, "label": CLASSES[n % 3]} for n, (one, other) in enumerate(pairs)]


def several() -> list[dict[str, Any]]:
    rows = toys.toy_rows(121)
    texts = [f"{row['text']} {next_row['text']}" for row, next_row in pairwise(rows)]
    return [{"one": text, "labels": sorted({word for word in text.split() if word in toys.POSITIVE})} for text in texts]


PAIR = "data.columns={text: one, text_pair: other, label: %s}"
KINDS: dict[str, tuple[Any, str, list[str]]] = {
    "feature-extraction": (
        scored, "similarity", ["task.problem=scored-pairs", PAIR % "score", "data.score_range=[0, 1]"]
    ),
    "zero-shot-classification": (
        premises, "entailment", [PAIR % "label", f"data.labels=[{', '.join(CLASSES)}]"]
    ),
    "text-classification": (
        several, "several-labels",
        ["task.problem=multi-label", "data.columns={text: one, label: labels}", "data.empty_labels=keep"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_templates_are_cases_of_the_suite(tmp_path: Path, toy_model: Path, kind: str) -> None:
    rows_of, suite, overrides = KINDS[kind]
    rows = toys.write_jsonl(tmp_path / "rows.jsonl", rows_of())
    recipe = parse_recipe(
        TOY.format(data=rows, model=toy_model),
        [f"task.kind={kind}", *overrides, f"behaviour.suite={suite}", "behaviour.most=20", "training.epochs=2"],
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
    document = document_of(out)
    counts = {outcome["test"]: outcome["count"] for outcome in document["outcomes"]}
    assert document["suite"] == suite and document["verdict"]["code"] == 0 and sum(counts.values()) == len(cases)
    assert counts["lower case"] == 0 and counts["final mark dropped"] == 0, "toy texts have neither"
    if suite == "several-labels":
        assert counts["another row behind"] == counts["another row before"] == counts["sentence behind"] == 20
    else:
        assert min(count for test, count in counts.items() if "row" not in test and test in TEMPLATES[suite]) >= 15
        assert counts[FROM_ROWS[suite]] > 0, "rows are drawn by what they are"


TEMPLATES = {
    "similarity": {"negated", "who did it", "another given name", "another place", "difference at the end"},
    "entailment": {"negated hypothesis", "less is said", "who did it", "another place"},
}
FROM_ROWS = {"similarity": "another matter behind", "entailment": "contradiction in the other order"}
