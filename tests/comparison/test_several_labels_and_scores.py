"""Two models of several labels a text, or of a number, on the same rows: by their own metric, and with guards."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import served_toys
from compared_toys import PAGE, World
from kubetune.comparison.decision import Comparison, decide
from kubetune.comparison.graded import Grades
from kubetune.comparison.rows import test_digest_of, truths_of
from kubetune.config.promotion import PromotionSection
from kubetune.contract import Verdict
from kubetune.errors import DataError
from kubetune.metrics.answers import AnswerStatistics, answer_outcomes
from kubetune.metrics.multi_label import MultiLabelStatistics
from kubetune.metrics.scores import ScoreStatistics, score_outcomes
from kubetune.serving.archive.manifest import Archive, ServingSettings
from kubetune.stages import compare
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.spec import save_spec

LABELS, SCORE = "text-classification-multi-label", "pair-classification-regression"
NAMES = ("a", "b", "c")
ROWS = 900


def answered(kind: str, error: float, seed: int, names: tuple[str, ...] = NAMES) -> tuple[list[Any], list[Any]]:
    """Return truths and answers; labels by their place in `names`."""
    truth, draw = np.random.default_rng(0), np.random.default_rng(seed)
    if kind == SCORE:
        true = truth.integers(1, 6, ROWS).astype(float)
        return true.tolist(), (true + error * draw.normal(0, 2, ROWS)).tolist()
    hot = truth.random((ROWS, 3)) < 0.4
    said = np.where(draw.random(hot.shape) < error, ~hot, hot)
    order = [names.index(name) for name in NAMES]
    true, given = ([sorted(order[n] for n in np.flatnonzero(row)) for row in each] for each in (hot, said))
    return true, given


def write_report(folder: Path, kind: str, error: float, seed: int, names: tuple[str, ...] = NAMES) -> Path:
    folder.mkdir(parents=True)
    true, said = answered(kind, error, seed, names)
    columns: dict[str, Any] = {"row_id": [f"row-{number}" for number in range(ROWS)], "length": [5, 9, 7] * 300}
    for name in ("text", "text_pair")[: 1 + (kind == SCORE)]:
        columns |= {f"raw_{name}": [f"text {number}" for number in range(ROWS)]}
    lists = pa.list_(pa.int32()) if kind == LABELS else pa.float64()
    columns |= {"text_group": pa.array(np.arange(ROWS), pa.int32()), "confidence": [0.5] * ROWS}
    columns |= {"label": pa.array(true, lists), "prediction": pa.array(said, lists)}
    pq.write_table(pa.table(columns), folder / "predictions.parquet")
    document = {"labels": list(names) if kind == LABELS else [], "rows": ROWS, "verdict": {"code": 0, "reasons": []}}
    (folder / "metrics.json").write_text(json.dumps(document))
    (folder / "report.html").write_text(PAGE)
    return folder


@pytest.fixture
def decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Compare two reports; the champion's archive is not opened beyond its task and labels."""

    def run(kind: str, errors: tuple[float, float], names: tuple[str, ...] = NAMES, **rules: Any) -> dict[str, Any]:
        labels = names if kind == LABELS else ()
        archive = Archive(kind, labels, (), 16, ServingSettings(), {})
        monkeypatch.setattr(compare, "read_archive", lambda *_, **__: archive)
        world = World(tmp_path, tmp_path)
        world.champion(None)
        write_report(tmp_path / "champion" / "report", kind, errors[1], 2, names)
        world.inputs["report"] = write_report(tmp_path / "report", kind, errors[0], 1)
        world.inputs["behaviour"] = served_toys.write_behaviour(tmp_path / "behaviour")
        fitted = {"least": (1.0,), "most": (5.0,)} if kind == SCORE else {}
        (tmp_path / "model").mkdir()
        save_spec(ModelSpec(kind, NAMES if kind == LABELS else (), "stock", fitted=fitted), tmp_path / "model")
        world.inputs["model"] = tmp_path / "model"
        return world.run(kind=kind, **rules)[1]

    return run


def test_several_labels_are_compared_by_micro_f1_whatever_their_order(decided: Any) -> None:
    found = decided(LABELS, (0.05, 0.2), ("c", "a", "b"))
    assert (found["outcome"], found["champion_scored"]) == ("promote", "stored")
    assert found["document"]["metric"]["metric"] == "micro_f1"
    statistics = MultiLabelStatistics(NAMES)
    marks = [np.isin(np.arange(3), each) for rows in answered(LABELS, 0.2, 2) for each in rows]
    champion = statistics.outcomes(np.array(marks[:ROWS]), np.array(marks[ROWS:]))
    assert found["document"]["metric"]["champion"] == pytest.approx(
        float(statistics.measure(champion.total(), ["micro_f1"])["micro_f1"])
    )
    guards = [judged["guard"]["name"] for judged in found["document"]["guards"]]
    assert guards == [f"slice label “{name}”" for name in ("no label", "1 label", "2 labels", "3 labels or more")]


def test_a_share_of_wholly_right_rows_has_the_exact_test(decided: Any) -> None:
    found = decided(LABELS, (0.05, 0.2), metric="subset_accuracy", slices=[])["document"]
    assert found["metric"]["p"] == pytest.approx(found["mcnemar"]["p"] / 2, rel=1e-6)
    assert found["mcnemar"]["gained"] > 5 * found["mcnemar"]["lost"]


@pytest.mark.parametrize(("errors", "outcome"), [((0.2, 0.6), "promote"), ((0.6, 0.2), "keep")])
def test_scores_are_compared_by_the_variance_explained(decided: Any, errors: Any, outcome: str) -> None:
    found = decided(SCORE, errors, margin=0.01)
    assert (found["outcome"], found["document"]["metric"]["metric"]) == (outcome, "r2")
    guards = [judged["guard"] for judged in found["document"]["guards"]]
    assert len(guards) >= 3 and all(guard["name"].startswith("slice label “") for guard in guards)
    assert all((guard["difference"] > 0.05) == (outcome == "promote") for guard in guards)
    assert not any("alone is right" in reason for reason in found["reasons"])  # hardly an answer is wholly right


def test_a_slice_that_loses_keeps_out_a_model_that_gains_on_the_whole() -> None:
    """No answer is wholly right, so a guard of right and wrong would never see it."""
    draw = np.random.default_rng(0)
    true = draw.normal(0, 1, 2000)
    rare = np.arange(2000) < 200
    candidate = true + draw.normal(0, np.where(rare, 1.5, 0.1))
    champion = true + draw.normal(0, np.where(rare, 0.3, 0.6))
    both = [score_outcomes(true, given, (-3.0, 3.0)) for given in (candidate, champion)]
    groups = {"label": [("rare", rare), ("other", ~rare)]}
    comparison = Comparison(*both, ScoreStatistics(), groups=groups)
    rules = PromotionSection.model_validate({"metric": "mae", "resamples": 200})
    found = decide(Verdict(), comparison, rules)
    states = {judged["guard"]["name"]: judged["state"] for judged in found.document["guards"]}
    assert (found.outcome, states) == ("keep", {"slice label “rare”": "lost", "slice label “other”": "holds"})


def test_the_guard_of_grades_keeps_its_level() -> None:
    """Equal models, and models that lose just the margin, each text three times: 5 % of 600 are 30, give or take 5."""
    wrong = lost = 0
    for seed in range(600):
        draw = np.random.default_rng(seed)
        texts = np.repeat(np.arange(60), 3)
        first, second = (np.clip(draw.normal(0.7, 0.1, 60), 0, 1)[texts] for _ in range(2))
        lost += Grades.of(first, second, texts).below(0.0) <= 0.05
        wrong += Grades.of(first - 0.02, second, texts).above(-0.02) <= 0.05
    assert 15 <= lost <= 45
    assert 15 <= wrong <= 45
    assert Grades.of(first[:0], second[:0], texts[:0]).interval == (-1.0, 1.0)


def test_answers_in_a_context_are_exchanged_too() -> None:
    """Whose F1 is a sum over the rows: one number of rows for all draws."""
    given = [["a b"], ["c"], []] * 100
    both = [answer_outcomes(given, ["a b", word, ""] * 100) for word in ("c", "d")]
    rules = PromotionSection.model_validate({"metric": "f1", "resamples": 200, "slices": [], "minimum_rows": 10})
    assert decide(Verdict(), Comparison(*both, AnswerStatistics()), rules).outcome == "promote"


def test_a_label_number_without_a_name_is_refused(tmp_path: Path) -> None:
    report = write_report(tmp_path / "report", LABELS, 0.1, 1)
    table = pq.read_table(report / "predictions.parquet")
    assert truths_of(table.slice(0, 2), NAMES) == [[NAMES[n] for n in row] for row in table["label"][:2].to_pylist()]
    with pytest.raises(DataError, match="holds class number 2 and the report names 2 classes"):
        truths_of(table, NAMES[:2])
    other = write_report(tmp_path / "other", LABELS, 0.3, 5, ("b", "c", "a"))
    assert test_digest_of(report) == test_digest_of(other)
