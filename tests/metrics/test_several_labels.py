"""Metrics of several labels a row are scikit-learn's, and thresholds are where F1 is best."""

from itertools import product

import numpy as np
import pytest
from sklearn import metrics as reference

from class_answers import measure_outcomes
from kubetune.errors import DataError
from kubetune.metrics.multi_label import MultiLabelStatistics, label_marks
from kubetune.tasks.thresholds import chosen_labels, tuned_thresholds

NAMES = ("a", "b", "c", "d")
LABELS = MultiLabelStatistics(NAMES)


def drawn(seed: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    true = draw.random((rows, 4)) < [0.5, 0.2, 0.05, 0.0]
    return true, np.where(draw.random(true.shape) < 0.2, ~true, true) & [True, True, True, seed % 2 == 0]


@pytest.mark.parametrize("seed", range(6))
def test_metrics_are_scikit_learns(seed: int) -> None:
    true, chosen = drawn(seed)
    found = measure_outcomes(LABELS, LABELS.outcomes(true, chosen))
    there = np.flatnonzero(true.any(axis=0) | chosen.any(axis=0))  # scikit-learn counts a label of nobody as 0
    assert found["micro_f1"] == pytest.approx(reference.f1_score(true, chosen, average="micro"))
    assert found["macro_f1"] == pytest.approx(
        reference.f1_score(true[:, there], chosen[:, there], average="macro", zero_division=0)
    )
    assert found["precision"] == pytest.approx(reference.precision_score(true, chosen, average="micro"))
    assert found["recall"] == pytest.approx(reference.recall_score(true, chosen, average="micro"))
    assert found["subset_accuracy"] == pytest.approx(reference.accuracy_score(true, chosen))
    assert found["hamming_loss"] == pytest.approx(reference.hamming_loss(true, chosen))
    table = LABELS.by_label(LABELS.outcomes(true, chosen).total())
    precision, recall, f1, support = reference.precision_recall_fscore_support(true, chosen, zero_division=0)
    assert table["precision"] == pytest.approx(precision)
    assert table["recall"] == pytest.approx(recall)
    assert np.nan_to_num(table["f1"]) == pytest.approx(f1)
    assert table["support"].tolist() == support.tolist()


def test_a_row_scores_the_f1_of_its_labels_and_nothing_right_is_nothing_wrong() -> None:
    true = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=bool)
    chosen = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]], dtype=bool)
    found = LABELS.outcomes(true, chosen)
    assert found.scores.tolist() == pytest.approx([2 / 3, 1.0, 0.0, 1.0])
    assert found.right.tolist() == [False, True, False, True]


def test_what_never_chooses_or_never_differs_has_learnt_nothing() -> None:
    true, chosen = drawn(0)
    assert LABELS.flaws(LABELS.outcomes(true, chosen).total(), NAMES) == []
    never = LABELS.flaws(LABELS.outcomes(true, np.zeros_like(true)).total(), NAMES)
    assert never[0].startswith("never choosing a label, though 0.")
    same = LABELS.flaws(LABELS.outcomes(true, np.zeros_like(true) | [True, False, False, False]).total(), NAMES)
    assert "are given the same labels" in same[0]


def test_a_number_that_is_no_label_is_refused() -> None:
    assert label_marks([[0, 2], []], 3).tolist() == [[True, False, True], [False, False, False]]
    with pytest.raises(DataError, match="label number 3 was found and 3 labels are known"):
        label_marks([[3]], 3)


@pytest.mark.parametrize("seed", range(12))
def test_no_thresholds_give_a_better_micro_f1(seed: int) -> None:
    draw = np.random.default_rng(seed)
    right = draw.random((7, 3)) < 0.4
    scores = np.round(np.clip(draw.normal(0.3 + 0.2 * right, 0.2), 0, 1), 1 if seed % 2 else 6)
    found = _micro_f1(scores >= tuned_thresholds(scores, right), right)
    tried = [np.unique([*column, 0.5, 1.1]) for column in scores.T]
    tried = [bars if there else [0.5] for bars, there in zip(tried, right.any(axis=0), strict=True)]
    assert found == pytest.approx(max(_micro_f1(scores >= np.array(bars), right) for bars in product(*tried)))


def _micro_f1(chosen: np.ndarray, right: np.ndarray) -> float:
    return 2 * (chosen & right).sum() / max(1, chosen.sum() + right.sum())


def test_a_label_of_nobody_keeps_one_half_and_nothing_moves_for_nothing() -> None:
    scores = np.array([[0.9, 0.9], [0.8, 0.2], [0.1, 0.1]])
    right = np.array([[True, False], [True, False], [False, False]])
    assert tuned_thresholds(scores, right) == [0.5, 0.5]
    assert tuned_thresholds(np.array([[0.4], [0.2]]), np.array([[True], [False]])) == pytest.approx([0.3])
    assert chosen_labels(scores, ()).tolist() == [[True, True], [True, False], [False, False]]
    assert chosen_labels(scores, (0.95, 0.15)).tolist() == [[False, True], [False, True], [False, False]]


def test_a_label_that_cannot_be_told_is_not_given_to_all_rows() -> None:
    """The best F1 of each label by itself would do that, and cost more than half of the micro-F1 of new rows."""
    draw = np.random.default_rng(0)
    right = np.stack([draw.random(400) < 0.5, *(draw.random((20, 400)) < 0.05)], axis=1)
    scores = np.stack(
        [np.clip(draw.normal(0.3 + 0.4 * right[:, 0], 0.1), 0, 1), *(0.05 * draw.random((20, 400)))], axis=1
    )
    bars = tuned_thresholds(scores[:200], right[:200])
    assert (scores[200:, 1:] >= bars[1:]).mean() < 0.05
    every = [bars[0], *([0.0] * 20)]
    assert _micro_f1(scores[200:] >= bars, right[200:]) > 2 * _micro_f1(scores[200:] >= every, right[200:])
