"""Metrics of a number a row: errors, R² and correlations; the tests hold them against scikit-learn's and SciPy's.

R² and correlations are undefined where nothing varies: they read 0 there, but R² of scores that are all equal and all
met, which is 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from kubetune.metrics.base import CatalogueStatistics, Floats, Outcomes, Totals
from kubetune.metrics.catalogue import SCORES, Catalogue
from kubetune.metrics.moments import mean, pearson, variance
from kubetune.metrics.ranks import drawn_spearman

TRUE, TRUE_SQUARE, GIVEN, GIVEN_SQUARE, PRODUCT, ERROR, SQUARE = range(7)
"""Sums: scores and answers are counted from the middle of the train rows' scores, so that squares lose no digits."""
NOTHING = 1e-9
"""Share of the scores' variance below which answers do not vary."""
CHANCE = 0.02
"""A correlation up to this is no better than chance."""


@dataclass(frozen=True)
class ScoreStatistics(CatalogueStatistics):
    """Implements `Statistics` for numbers; there are no counts.

    Attributes:
        labels: None: a number has no class.
    """

    labels: tuple[str, ...] = ()

    @property
    def catalogue(self) -> Catalogue:
        """See `Statistics.catalogue`."""
        return SCORES

    @property
    def measures(self) -> Mapping[str, Callable[[Totals], Floats]]:
        """See `CatalogueStatistics.measures`."""
        return MEASURES

    def says(self, metric: str, totals: Totals) -> bool:
        """See `Statistics.says`: of equal scores there is no correlation."""
        return metric in ("mse", "mae") or bool(variance(totals, TRUE) > 0)

    def flaws(self, totals: Totals, names: Sequence[str]) -> list[str]:
        """See `Statistics.flaws`: one answer to all rows, or answers that the scores do not follow."""
        del names
        spread, varied = float(variance(totals, TRUE)), float(variance(totals, GIVEN))
        if not spread > 0:
            return []
        if varied <= NOTHING * spread:
            return [
                f"collapsed to one answer for all {int(totals.rows):,} rows, so that its correlations are undefined "
                "and read 0; try a higher learning rate, more epochs or another seed."
            ]
        found = float(MEASURES["pearson"](totals))
        if found <= CHANCE:
            return [
                f"no better than chance: the correlation with the scores is {round(found, 4) + 0.0:.4f}, and more than "
                f"{CHANCE} is needed to call the answers related to them."
            ]
        return []


def score_outcomes(true: Floats, given: Floats, bounds: tuple[float, float]) -> Outcomes:
    """Return what answers come to.

    Args:
        true: Scores, shape (rows,).
        given: Answers, shape (rows,).
        bounds: Least and most score of the train rows; a row's own score is 1 less its error over their distance.
    """
    least, most = bounds
    middle, errors = (least + most) / 2, np.abs(given - true)
    first, second = true - middle, given - middle
    sums = np.stack([first, first**2, second, second**2, first * second, errors, errors**2], axis=1)
    scores = np.clip(1 - errors / (most - least if most > least else 1.0), 0.0, 1.0)
    rows, none = len(true), np.zeros((1, 0), dtype=np.int64)
    return Outcomes(np.zeros(rows, dtype=np.int64), none, none, 0, sums.reshape(rows, SQUARE + 1), scores)


def _r2(totals: Totals) -> Floats:
    spread, error = variance(totals, TRUE), mean(totals, SQUARE)
    unexplained = np.asarray(np.where(error == 0, 0.0, 1.0))
    found: Floats = 1 - np.divide(error, spread, out=unexplained, where=spread > 0)
    return found


MEASURES: Mapping[str, Callable[[Totals], Floats]] = {
    "mse": lambda totals: mean(totals, SQUARE),
    "mae": lambda totals: mean(totals, ERROR),
    "r2": _r2,
    "pearson": partial(pearson, first=TRUE, second=GIVEN, product=PRODUCT),
    "spearman": drawn_spearman(TRUE, GIVEN),
}
