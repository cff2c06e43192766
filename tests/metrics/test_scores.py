"""Errors, R² and correlations are scikit-learn's and SciPy's, also where they are undefined and of resampled rows."""

import json
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from class_answers import measure_outcomes
from kubetune.evaluation.intervals import Draws, bootstrap, estimates, row_weights
from kubetune.metrics.scores import ScoreStatistics, score_outcomes

SCORES = ScoreStatistics()


def drawn(seed: int, rows: int = 80) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    true = np.round(draw.normal(3, 1, rows), seed % 2 + 1)
    return true, np.round(0.6 * true + draw.normal(0, 0.5, rows), 2)


def by_the_libraries(true: np.ndarray, given: np.ndarray) -> dict[str, float]:
    return {
        "mse": reference.mean_squared_error(true, given),
        "mae": reference.mean_absolute_error(true, given),
        "r2": reference.r2_score(true, given),
        "pearson": float(stats.pearsonr(true, given)[0]),
        "spearman": float(stats.spearmanr(true, given)[0]),
    }


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("unit", [1.0, 1e4, 1e-4])
def test_metrics_are_the_libraries(seed: int, unit: float) -> None:
    true, given = (unit * values for values in drawn(seed))
    found = measure_outcomes(SCORES, score_outcomes(true, given, (float(true.min()), float(true.max()))))
    assert found == pytest.approx(by_the_libraries(true, given), rel=1e-9)


def test_intervals_are_of_the_metrics_of_resampled_rows() -> None:
    """Spearman's ranks are those of the drawn rows, not of all."""
    true, given = drawn(3)
    outcomes, draws = score_outcomes(true, given, (0.0, 6.0)), Draws(40, 7)
    for stream, found in (
        (1, bootstrap({"x": outcomes}, SCORES, draws).metrics["x"]),
        (3, None),
    ):
        rows = [np.repeat(np.arange(len(true)), each.astype(int)) for each in row_weights(len(true), draws, stream)]
        wanted = [by_the_libraries(true[each], given[each]) for each in rows]
        for name in SCORES.metrics:
            values = np.array([each[name] for each in wanted])
            if found is not None:
                assert found[name] == pytest.approx(values, rel=1e-9)
            else:
                one = estimates(outcomes, SCORES, [name], draws)[name]
                assert (one.low, one.high) == pytest.approx(np.quantile(values, (0.025, 0.975)), rel=1e-9)


def test_what_is_undefined_reads_0_and_is_said() -> None:
    true = np.array([1.0, 2.0, 4.0, 4.0])
    constant = score_outcomes(true, np.full(4, 0.1 + 0.2), (1.0, 4.0))
    found = measure_outcomes(SCORES, constant)
    assert (found["pearson"], found["spearman"]) == (0.0, 0.0)
    json.dumps(found, allow_nan=False)
    (flaw,) = SCORES.flaws(constant.total(), ())
    assert "one answer for all 4 rows, so that its correlations are undefined and read 0" in flaw
    equal = score_outcomes(np.full(3, 0.3), np.array([0.1, 0.2, 0.4]), (0.0, 1.0))
    assert not SCORES.says("r2", equal.total()) and SCORES.says("mae", equal.total())
    assert measure_outcomes(SCORES, equal)["r2"] == 0.0 == measure_outcomes(SCORES, equal)["spearman"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert measure_outcomes(SCORES, score_outcomes(np.full(3, 0.3), np.full(3, 0.3), (0.3, 0.3)))["r2"] == 1.0


def test_answers_that_the_scores_do_not_follow_are_chance() -> None:
    true, _ = drawn(0)
    (flaw,) = SCORES.flaws(score_outcomes(true, -true, (0.0, 6.0)).total(), ())
    assert flaw.startswith("no better than chance: the correlation with the scores is -1.0000")
    assert SCORES.flaws(score_outcomes(true, true, (0.0, 6.0)).total(), ()) == []


def test_a_row_scores_its_error_in_the_range_of_train() -> None:
    found = score_outcomes(np.array([1.0, 5.0, 3.0]), np.array([1.0, 4.0, 9.0]), (1.0, 5.0))
    assert found.scores.tolist() == [1.0, 0.75, 0.0]
