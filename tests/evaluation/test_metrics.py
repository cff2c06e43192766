import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss, matthews_corrcoef

from kubetune.evaluation.counts import LABEL_METRICS, measure_counts
from kubetune.evaluation.metrics import Scores, calibration_error, calibration_table, confusion, measure, per_class
from kubetune.tasks.classification import classification_metrics


def answers(predictions: list[int], classes: int) -> np.ndarray:
    return np.eye(classes)[predictions] * 0.7 + 0.3 / classes


def test_metrics_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    predictions = [0, 0, 1, 1, 1, 0]
    found = measure(labels, Scores.from_probabilities(answers(predictions, 3), labels))
    assert found["accuracy"] == pytest.approx(4 / 6)
    # class 0: 2 hits, 3 rows, 3 predictions → 4/6; class 1: 2 hits, 2 rows, 3 predictions → 4/5; class 2: 0
    assert found["macro_f1"] == pytest.approx((4 / 6 + 4 / 5 + 0) / 3)
    assert found["weighted_f1"] == pytest.approx((3 * 4 / 6 + 2 * 4 / 5) / 6)
    # Gorodkin: c=4 hits, s=6, t=(3,2,1), p=(3,3,0): (4·6 - 15) / sqrt((36 - 18)(36 - 14))
    assert found["mcc"] == pytest.approx(9 / np.sqrt(18 * 22))
    assert found["ece"] == pytest.approx(abs(0.8 - 4 / 6))  # every confidence is 0.8, in one bin
    assert found["loss"] == pytest.approx(-(4 * np.log(0.8) + 2 * np.log(0.1)) / 6)


def test_metrics_equal_scikit_learn_and_the_training_loop(simulate) -> None:
    labels, probabilities = simulate(700, 5)
    found = measure(labels, Scores.from_probabilities(probabilities, labels))
    predictions = probabilities.argmax(axis=1)
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predictions, average="macro"))
    assert found["mcc"] == pytest.approx(matthews_corrcoef(labels, predictions))
    assert found["loss"] == pytest.approx(log_loss(labels, probabilities))
    in_training = classification_metrics(labels, np.log(probabilities))
    assert {name: found[name] for name in in_training} == pytest.approx(in_training)


@pytest.mark.parametrize("predictions", [[0, 0, 0, 0], [0, 1, 0, 1], [3, 3, 3, 3], [0, 1, 3, 1]])
def test_counts_and_rows_give_the_same_numbers_whatever_is_missing(predictions: list[int]) -> None:
    labels = np.array([0, 1, 0, 1])  # classes 2 and 3 have no row
    by_row = measure(labels, Scores.from_probabilities(answers(predictions, 4), labels))
    by_count = measure_counts(confusion(labels, np.array(predictions), 4))
    assert {name: float(by_count[name]) for name in LABEL_METRICS} == pytest.approx(
        {name: by_row[name] for name in LABEL_METRICS}
    )


def test_counts_are_measured_over_leading_axes(simulate) -> None:
    tables = [
        confusion(*(part.argmax(axis=1) if part.ndim > 1 else part for part in simulate(90, 4, seed=s)), 4)
        for s in range(3)
    ]
    together = measure_counts(np.stack(tables))
    for number, table in enumerate(tables):
        alone = measure_counts(table)
        assert all(together[name][number] == alone[name] for name in LABEL_METRICS)


def test_zero_division_is_a_number() -> None:
    table = per_class(np.array([0, 0, 1]), np.array([0, 0, 0]), ("a", "b", "c"))
    assert table[1] == {"label": "b", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1, "predicted": 0}
    assert table[2]["support"] == table[2]["predicted"] == 0


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.9, 0.9, 0.9, 0.55, 0.55])
    correct = np.array([True, True, False, False, True])
    expected = 3 / 5 * abs(0.9 - 2 / 3) + 2 / 5 * abs(0.55 - 0.5)
    assert calibration_error(confidence, correct) == pytest.approx(expected)
    table = calibration_table(confidence, correct)
    assert [part["rows"] for part in table] == [2, 3]
    assert table[1]["accuracy"] == pytest.approx(2 / 3)


def test_bins_hold_their_upper_edge() -> None:
    table = calibration_table(np.array([1 / 15, 1.0, 0.999]), np.array([True, True, True]))
    assert [(round(part["from"] * 15), part["rows"]) for part in table] == [(0, 1), (14, 2)]


def test_calibrated_answers_have_a_small_error() -> None:
    chance = np.random.default_rng(0)
    confidence = chance.uniform(0.5, 1, 50_000)
    assert calibration_error(confidence, chance.random(50_000) < confidence) < 0.01


def test_an_impossible_label_has_a_finite_loss() -> None:
    found = Scores.from_probabilities(np.array([[1.0, 0.0]]), np.array([1]))
    assert found.losses[0] == pytest.approx(52 * np.log(2))
