import time

import numpy as np
import pytest

from kubetune.comparison.decision import Comparison
from kubetune.comparison.resampling import Cells, calibration_difference, macro_f1_difference, swap_test
from kubetune.evaluation.counts import measure_counts
from kubetune.evaluation.intervals import Draws, bootstrap
from kubetune.evaluation.metrics import calibration_error, confusion


def cells_of(compared: Comparison) -> Cells:
    answers = (compared.candidate.predictions, compared.champion.predictions)
    return Cells(compared.labels, answers, compared.classes, compared.texts)


def plain_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    return float(measure_counts(confusion(labels, predictions, 3))["macro_f1"])


def turned(compared: Comparison) -> Comparison:
    return Comparison(compared.labels, compared.champion, compared.candidate, compared.classes, compared.groups)


def test_values_are_those_of_the_plain_metrics(compared) -> None:
    found = compared(700, 1)
    cells, labels = cells_of(found), found.labels
    first, second = found.candidate.predictions, found.champion.predictions
    expected = plain_f1(labels, first) - plain_f1(labels, second)
    assert macro_f1_difference(cells, 200, 0).estimate.value == pytest.approx(expected)
    expected = calibration_error(found.candidate.confidence, first == labels)
    expected -= calibration_error(found.champion.confidence, second == labels)
    value = calibration_difference(labels, found.candidate, found.champion, Draws(200, 0)).estimate.value
    assert value == pytest.approx(expected)


def test_swapping_cells_is_swapping_rows(compared) -> None:
    found = compared(300, 2)
    cells, labels = cells_of(found), found.labels
    first, second = found.candidate.predictions, found.champion.predictions
    triples = np.unique(np.column_stack([labels, first, second]), axis=0)[cells.disputed]
    draw = np.random.default_rng(0)
    for _ in range(5):
        swap = (draw.random(300) < 0.5) & (first != second)
        counts = np.array(
            [((labels == a) & (first == b) & (second == c) & swap).sum() for a, b, c in triples], dtype=np.int64
        )
        expected = plain_f1(labels, np.where(swap, second, first)) - plain_f1(labels, np.where(swap, first, second))
        assert cells.swapped_difference(counts[None])[0] == pytest.approx(expected)


def test_samples_scatter_like_those_of_evaluate(compared) -> None:
    """The evaluation's bootstrap resamples rows; this one cells, and for calibration cells of rounded confidence."""
    found = compared(500, 3)
    systems = {"candidate": found.candidate, "champion": found.champion}
    slow = bootstrap(found.labels, systems, 3, Draws(1000, 0)).metrics
    spread = {name: (slow["candidate"][name] - slow["champion"][name]).std() for name in ("macro_f1", "ece")}
    assert macro_f1_difference(cells_of(found), 2000, 0).error == pytest.approx(spread["macro_f1"], rel=0.12)
    fast = calibration_difference(found.labels, found.candidate, found.champion, Draws(2000, 0))
    assert fast.error == pytest.approx(spread["ece"], rel=0.12)


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(compared) -> None:
    found = compared(500, 4)
    cells = cells_of(found)
    first, second, third = (macro_f1_difference(cells, 500, seed) for seed in (0, 0, 1))
    assert first == second != third
    one, two, other = (
        calibration_difference(found.labels, found.candidate, found.champion, Draws(500, seed)) for seed in (0, 0, 1)
    )
    assert one == two != other
    assert swap_test(cells, 0.025, 0) == swap_test(cells, 0.025, 0)


def test_turning_the_models_turns_the_signs(compared) -> None:
    found = compared(800, 5, gain=0.02)
    there, back = (macro_f1_difference(cells_of(each), 2000, 0) for each in (found, turned(found)))
    assert there.estimate.value == pytest.approx(-back.estimate.value)
    assert there.error == pytest.approx(back.error, rel=0.1)
    assert there.above(0) == pytest.approx(back.below(0), abs=0.01)
    tails = swap_test(cells_of(found), 0.025, 0) + swap_test(cells_of(turned(found)), 0.025, 0)
    assert 0.9 <= tails <= 1.4  # the observed value and its ties count on both sides


def test_the_swap_test_of_equal_models_is_level_and_reaches_small_levels(compared) -> None:
    values = [swap_test(cells_of(compared(300, seed)), 0.05, seed) for seed in range(400)]
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(values) <= level) <= level + 2.5 * np.sqrt(level * (1 - level) / 400)
    assert swap_test(cells_of(compared(1500, 0, gain=0.08)), 1e-5, 0) <= 1e-5


def test_equal_answers_are_no_gain_and_no_error(compared) -> None:
    found = compared(300, 6)
    twins = Comparison(found.labels, found.champion, found.champion, 3)
    same = macro_f1_difference(cells_of(twins), 200, 0)
    assert same.estimate.value == same.error == 0
    assert same.above(0) == 1.0
    assert same.below(0.01) == 0.0
    assert swap_test(cells_of(twins), 0.05, 0) == 1.0


def test_ten_thousand_resamples_cost_nothing_that_grows_with_the_rows(compared) -> None:
    found = compared(50_000, 7)
    cells, began = cells_of(found), time.process_time()
    macro_f1_difference(cells, 10_000, 0)
    calibration_difference(found.labels, found.candidate, found.champion, Draws(10_000, 0))
    assert time.process_time() - began < 4
