"""The same assessment and the same page for a task without classes a row: entities."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kubetune.comparison.decision import Comparison, decide
from kubetune.comparison.report_parts import with_parts
from kubetune.config.evaluation import EvaluationSection
from kubetune.config.promotion import PromotionSection
from kubetune.contract import Verdict
from kubetune.evaluation.assessment import Assessment, EvaluatedRows, assess
from kubetune.evaluation.predictions import hardest, predictions_table
from kubetune.evaluation.predictions import test_rows_digest as rows_digest
from kubetune.evaluation.report import Evidence, render_report
from kubetune.metrics.base import Baseline, Outcomes
from kubetune.metrics.catalogue import ENTITIES
from kubetune.metrics.entities import Entity, EntityStatistics

TYPES = ("person", "place <b>")
STATISTICS = EntityStatistics(TYPES)
ROWS = 240
SPEC = {"architecture": "stock", "head": {"kind": "stock"}, "encoder_dropout": None, "max_length": 64}


def found(seed: int, chance: float) -> tuple[list[list[Entity]], list[list[Entity]]]:
    """Return labelled and answered entities; every fourth text has none."""
    draw = np.random.default_rng(0)
    labelled = [
        [(0, 3, TYPES[int(draw.integers(2))]), (5, 8, TYPES[0])][: (number % 4 + 1) // 2] for number in range(ROWS)
    ]
    luck = np.random.default_rng(seed)
    return labelled, [[entity for entity in spans if luck.random() < chance] for spans in labelled]


def come_to(seed: int, chance: float) -> Outcomes:
    return STATISTICS.outcomes(*found(seed, chance), np.random.default_rng(seed).random(ROWS), np.full(ROWS, 9))


def assessed(**section: Any) -> Assessment:
    labels = np.array([min(len(spans), 1) for spans in found(0, 1)[0]])
    rows = EvaluatedRows(labels, np.arange(ROWS) % 30 + 4, np.zeros(ROWS, bool), ("none", "some"))
    baseline = Baseline("gazetteer", "the gazetteer", "Gazetteer", "Answers phrases.", come_to(1, 0.3))
    settings = EvaluationSection.model_validate({"bootstrap_samples": 100, **section})
    return assess(rows, come_to(2, 0.8), STATISTICS, [baseline], settings)


def spans_of(entities: list[list[Entity]]) -> pa.Array:
    kind = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("label", pa.string())]))
    return pa.array([[dict(zip(("start", "end", "label"), e, strict=True)) for e in each] for each in entities], kind)


def predicted() -> pa.Table:
    labelled, answered = found(2, 0.8)
    rows = pa.table(
        {
            "row_id": [f"row-{number}" for number in range(ROWS)],
            "raw_text": ["Ada in Rome"] * ROWS,
            "label": spans_of(labelled),
            "length": pa.array(np.arange(ROWS) % 30 + 4, pa.int32()),
            "truncated": [False] * ROWS,
        }
    )
    outcomes = come_to(2, 0.8)
    return predictions_table(
        rows, {"prediction": spans_of(answered)}, outcomes.right, outcomes.sums[:, 0], np.arange(ROWS)
    )


def describe(row: Mapping[str, Any]) -> dict[str, Any]:
    words = {name: ", ".join(span["label"] for span in row[name]) or "nothing" for name in ("label", "prediction")}
    return words | {"confidence": None, "given": None}


def test_the_document_has_the_metrics_of_entities_and_nothing_of_classes() -> None:
    document = assessed().document
    json.dumps(document, allow_nan=False)
    assert list(document["metrics"]) == ["precision", "recall", "f1", "macro_f1", "loss"]
    assert document["metrics"]["precision"]["value"] == 1.0
    assert document["metrics"]["f1"]["low"] < document["metrics"]["f1"]["value"] < document["metrics"]["f1"]["high"]
    assert not {"confusion", "calibration"} & set(document)
    assert [row["label"] for row in document["per_class"]] == list(TYPES)
    assert document["baselines"]["gazetteer"]["difference"]["f1"]["low"] > 0
    none, some = document["slices"]["label"]
    assert (none["name"], none["f1"]) == ("none", None)
    assert some["f1"]["value"] == document["metrics"]["f1"]["value"]


def test_a_baseline_without_probabilities_has_no_loss() -> None:
    found = assessed()
    assert "loss" in found.document["metrics"]
    assert list(found.document["baselines"]["gazetteer"]["metrics"]) == ["precision", "recall", "f1", "macro_f1"]
    assert list(found.document["baselines"]["gazetteer"]["difference"]) == ["precision", "recall", "f1", "macro_f1"]
    assert not {name for name in found.flat if name.startswith("baseline_gazetteer_loss")}


def test_texts_without_an_entity_are_no_weak_slice_for_one_false_alarm() -> None:
    labelled, answered = found(2, 0.8)
    answered = [spans or [(0, 3, TYPES[0])] for spans in answered]
    rows = EvaluatedRows(np.array([bool(spans) for spans in labelled]).astype(int), np.arange(ROWS) % 30 + 4,
                         np.zeros(ROWS, bool), ("none", "some"))  # fmt: skip
    settings = EvaluationSection.model_validate({"bootstrap_samples": 100})
    none, some = assess(rows, STATISTICS.outcomes(labelled, answered), STATISTICS, [], settings).document["slices"][
        "label"
    ]
    assert (none["f1"], none["weak"]) == (None, False)
    assert some["f1"]["value"] > 0


def test_thresholds_and_warnings_are_of_entities() -> None:
    bars = [
        {"metric": "f1", "at_least": 0.99, "bound": "interval"},
        {"metric": "recall", "above_baseline": "gazetteer"},
    ]
    found = assessed(thresholds=bars)
    assert [reason.split()[0] for reason in found.verdict.reasons] == ["f1"]
    assert found.document["warnings"] == []
    (warning,) = assessed().document["warnings"]
    assert "{metric: f1, above_baseline: gazetteer}" in warning
    assert "of the gazetteer: a first model is promoted all the same" in warning


def test_the_page_has_types_and_no_section_of_classes() -> None:
    document = {**assessed().document, "task": "token-classification"}
    dataset = {"labels": TYPES, "splits": {"test": ROWS}, "cleaning": [], "max_length": 64}
    page = render_report(document, Evidence(predicted(), ENTITIES, describe, dataset, SPEC))
    assert "Evaluation of a token classification model" in page
    assert '<td data-label="Gazetteer">–</td>' in page
    assert f"2 types, {ROWS} test rows, stock head" in page
    for shown in ('<h2 id="classes">Types</h2>', "Better than the gazetteer: F1 ", "The weakest type is ", "no entity",
                  "answered <b><bdi>", "An answered entity is right where", "place &lt;b&gt;"):  # fmt: skip
        assert shown in page, shown
    for absent in ('id="confusion"', 'id="calibration"', "Accuracy", "Macro F1</th", "None", "nan"):
        assert absent not in page, absent


def test_hardest_mistakes_and_the_digest_are_of_any_truth() -> None:
    table = predicted()
    cases = hardest(table, 5, describe)
    assert len(cases) == 5
    assert all(case["label"] != case["prediction"] and case["confidence"] is None for case in cases)
    assert rows_digest(table, TYPES) == rows_digest(table.take(pa.array(range(ROWS - 1, -1, -1))), TYPES)
    other = table.set_column(table.column_names.index("label"), "label", table["prediction"])
    assert rows_digest(other, TYPES) != rows_digest(table, TYPES)


@pytest.mark.parametrize("margin", [0.02, None])
def test_a_comparison_of_entities_has_no_calibration(margin: float | None) -> None:
    rules = PromotionSection.model_validate({"resamples": 400, "slices": [], "calibration_margin": margin})
    decision = decide(Verdict(), Comparison(come_to(2, 0.8), come_to(3, 0.5), STATISTICS), rules)
    assert decision.outcome == "promote"
    assert decision.document["guards"] == []
    document = {
        "outcome": decision.outcome, "reasons": list(decision.reasons), "champion_scored": "stored",
        "champion": {"name": "names", "version": 1, "run": "r", "archive": "ab"}, "rows_wanted": None,
        "test_digest": "ab" * 32, "rules": rules.model_dump(mode="json"), "document": dict(decision.document),
    }  # fmt: skip
    behaviour = {"suite": None, "outcomes": [], "left_out": [], "capabilities": {}, "scored": 0,
                 "verdict": {"code": 0, "reasons": []}}  # fmt: skip
    page = with_parts("<!-- further contents --><!-- further sections -->", json.loads(json.dumps(document)), behaviour)
    assert ">F1<" in page
    assert "calibration error" not in page
