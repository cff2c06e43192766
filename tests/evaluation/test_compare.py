import subprocess
import sys

from kubetune.evaluation.compare import ComparedRow, compare_runs, flatten

LEFT = {"name": "a", "training": {"learning_rate": 2e-4, "batch": 32}, "data": {"cleaning": ["urls"]}, "only": None}
RIGHT = {"name": "a", "training": {"learning_rate": 5e-5, "batch": 32}, "data": {"cleaning": ["urls", "html"]}}


def metrics(value: float, loss: float) -> dict[str, float]:
    return {
        "accuracy": value,
        "accuracy_low": value - 0.02,
        "accuracy_high": value + 0.02,
        "loss": loss,
        "loss_low": loss - 0.01,
        "loss_high": loss + 0.01,
        "baseline_tfidf_accuracy": 0.7,
        "test_rows": 100.0,
    }


def test_only_recipe_values_that_differ_are_rows() -> None:
    rows = [row for row in compare_runs(LEFT, RIGHT, {}, {}) if row.kind == "recipe"]
    assert [(row.name, row.left, row.right) for row in rows] == [
        ("training.learning_rate", 2e-4, 5e-5),
        ("data.cleaning", ["urls"], ["urls", "html"]),
        ("only", None, None),  # absent on the right
    ]


def test_metrics_stand_side_by_side_and_interval_ends_are_no_rows() -> None:
    rows = {
        row.name: row for row in compare_runs({}, {}, metrics(0.80, 0.5), metrics(0.90, 0.6)) if row.kind == "metric"
    }
    assert list(rows) == ["accuracy", "loss", "baseline_tfidf_accuracy", "test_rows"]
    assert rows["accuracy"].note == "better"
    assert round(rows["accuracy"].difference, 6) == 0.1
    assert rows["loss"].note == "worse"
    assert rows["baseline_tfidf_accuracy"].note == ""


def test_overlapping_intervals_claim_nothing() -> None:
    assert compare_runs({}, {}, metrics(0.80, 0.5), metrics(0.83, 0.5))[0].note == "intervals overlap"


def test_a_metric_that_one_run_lacks_has_no_difference() -> None:
    assert compare_runs({}, {}, {"mcc": 0.5}, {}) == [ComparedRow("metric", "mcc", 0.5, None)]


def test_flatten() -> None:
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "a.c": {}, "d": [1]}


def test_comparing_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'sklearn', 'matplotlib'} & set(sys.modules)"
    line = f"import sys, kubetune.evaluation.compare; sys.exit(len({heavy}))"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0
