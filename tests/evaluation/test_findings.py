import pytest

from kubetune.evaluation.findings import compared, findings
from kubetune.metrics.catalogue import CLASSES, Metric


def texts(document: dict, kind: str) -> list[str]:
    return [finding.text for finding in findings(document, CLASSES) if finding.kind == kind]


@pytest.mark.parametrize(
    ("low", "high", "kind", "start"),
    [
        (
            0.01,
            0.05,
            "good",
            "Better than tf-idf: macro F1 0.830 against 0.800, difference +0.030, 95 % interval +0.010",
        ),
        (-0.01, 0.05, "bad", "Not better than tf-idf: "),
        (0.0, 0.05, "bad", "Not better than tf-idf: "),
        (-0.05, -0.01, "bad", "Worse than tf-idf: "),
    ],
)
def test_a_useless_model_is_called_one(low: float, high: float, kind: str, start: str) -> None:
    found = compared(CLASSES.metrics["macro_f1"], "tf-idf", 0.83, 0.80, {"value": 0.03, "low": low, "high": high})
    assert found.kind == kind
    assert found.text.startswith(start)


def test_a_random_model_is_not_better_than_the_majority_class(assessed) -> None:
    document = assessed(strength=0.0)[0].document
    assert any(text.startswith("The model is no better than chance") for text in texts(document, "bad"))


def test_weakest_class_and_commonest_mistake(assessed) -> None:
    document = assessed()[0].document
    notes = texts(document, "note")
    worst = min(document["per_class"], key=lambda row: row["f1"]["value"])
    assert any(note.startswith(f"The weakest class is “{worst['label']}”") for note in notes)
    assert any("taken for" in note for note in notes)


def test_few_rows_and_truncation_are_said(assessed) -> None:
    document = assessed(rows=100)[0].document
    assert "There are only 100 test rows" in " ".join(texts(document, "note"))
    assert "cut at the maximum length" in " ".join(texts(document | {"truncated": 20}, "note"))


def test_a_recipe_without_thresholds_is_warned_of_in_the_report(assessed) -> None:
    assert "no thresholds" in findings(assessed()[0].document, CLASSES)[0].text
    bars = [{"metric": "macro_f1", "above_baseline": "majority"}]
    judged = findings(assessed(thresholds=bars)[0].document, CLASSES)
    assert not [found for found in judged if "thresholds" in found.text]


def test_where_less_is_better_a_lower_number_is_praised() -> None:
    error = Metric("Mean error", "stars; less is better", lower_is_better=True)
    found = compared(error, "the mean", 0.4, 0.9, {"value": -0.5, "low": -0.6, "high": -0.4})
    assert (found.kind, found.text[:39]) == ("good", "Better than the mean: mean error 0.400 ")
    assert compared(error, "the mean", 0.9, 0.4, {"value": 0.5, "low": 0.4, "high": 0.6}).kind == "bad"
