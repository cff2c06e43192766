"""Paired outcomes of two models on the same rows: exact McNemar and the score test with a margin.

Rows on which both are right or both are wrong say nothing of the difference; all tests here read the two counts of
the others, and where rows come in clusters, each cluster's count (`clusters`). McNemar's test is exact at every level,
which matters because alpha spending asks for levels of 1e-4 and less, where a normal tail is no longer the right one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.comparison.clusters import Clusters, clusters_of, student_quantile, student_tail, upper_tail
from kubetune.metrics.base import Ints

NORMAL = NormalDist()


@dataclass(frozen=True)
class Discordance:
    """How often one of two models alone is right.

    Attributes:
        gained: Rows on which the candidate alone is right.
        lost: Rows on which the champion alone is right.
        rows: All rows, at least `gained + lost`.
        clusters: What they come in; None: each row is an observation of its own.
    """

    gained: int
    lost: int
    rows: int
    clusters: Clusters | None = None

    @classmethod
    def of(
        cls,
        candidate: NDArray[np.bool_],
        champion: NDArray[np.bool_],
        cluster: Ints | None = None,
        *,
        copies: bool = True,
    ) -> "Discordance":
        """Count.

        Args:
            candidate: "Is right", shape (rows,).
            champion: The same of the champion.
            cluster: Number of each row's cluster, shape (rows,), from 0; None: each row is one.
            copies: Whether the rows of a cluster have one text, so that they are one observation; else they are alike
                to a degree that the outcomes tell.
        """
        if candidate.shape != champion.shape:
            raise ValueError(f"{candidate.shape} and {champion.shape} outcomes; both models must answer the same rows")
        signs = candidate.astype(np.int64) - champion
        clusters = None if cluster is None else clusters_of(signs, cluster, copies=copies)
        return cls(int((signs > 0).sum()), int((signs < 0).sum()), len(signs), clusters)

    @property
    def difference(self) -> float:
        """Accuracy of the candidate minus that of the champion."""
        return (self.gained - self.lost) / self.rows if self.rows else 0.0

    @property
    def units(self) -> int:
        """What there would have to be more of to know more: distinct texts, or rows where copies are not the matter."""
        return self.clusters.count if self.clusters is not None and self.clusters.copies else self.rows

    @property
    def row_variance(self) -> float:
        """Variance of one row's difference."""
        return (self.gained + self.lost) / self.rows - self.difference**2 if self.rows else 0.0

    @property
    def variance(self) -> float:
        """Variance of one unit's difference, so that the standard error is the root of this over `units`."""
        if self.clusters is None:
            return self.row_variance
        found = self.clusters.square_error(self.gained - self.lost, self.rows) * self.units
        return found if self.clusters.copies else max(found, self.row_variance)

    @property
    def effective(self) -> float:
        """Rows without clusters that would say as much; the design effect of survey statistics turned round.

        Copies: the least of Kish's number, `rows² / (sum of squared sizes)`, and what the clusters' outcomes tell. The
        first holds where discordant texts are not repeated oftener than others, the second where they are. Of rows that
        are only alike: all of them, since `not_inferior` has a test of its own for those.
        """
        if self.clusters is None or not self.clusters.copies or not self.rows:
            return float(self.rows)
        kish = self.rows**2 / self.clusters.squares
        seen = self.clusters.square_error(self.gained - self.lost, self.rows)
        return kish if seen == 0 else min(kish, self.row_variance / seen)

    @property
    def swapped(self) -> "Discordance":
        """The same rows seen from the champion."""
        clusters = None if self.clusters is None else self.clusters.swapped
        return Discordance(self.lost, self.gained, self.rows, clusters)


def mcnemar_gain(found: Discordance) -> float:
    """Return the exact one-sided p of "the candidate is no more accurate", against "it is".

    With clusters it is the randomisation test that exchanges the two models' answers a cluster at a time, of which
    McNemar's is the case of one row each. It is exact for models that differ by chance alone, whatever the sizes.
    """
    if found.clusters is not None:
        return found.clusters.flipped_tail()
    return upper_tail(found.gained, found.gained + found.lost)


def mcnemar(found: Discordance) -> float:
    """Return the exact two-sided p of "equally accurate": twice the smaller tail, at most 1 (McNemar 1947)."""
    return min(1.0, 2 * min(mcnemar_gain(found), mcnemar_gain(found.swapped)))


def null_variance(found: Discordance, margin: float) -> float:
    """Return the variance of one effective row's difference under the most likely world with a difference of -`margin`.

    Tango, Statistics in Medicine 17 (1998): the share of rows that the champion alone gets right, given a loss of
    exactly `margin`, is the larger root of a quadratic.
    """
    rows, lost = found.rows, found.lost
    linear = found.gained + lost + (lost - found.gained) * margin + 2 * rows * margin
    inside = max(0.0, linear**2 - 8 * rows * lost * margin * (1 + margin))
    share = (linear + math.sqrt(inside)) / (4 * rows)
    return max(0.0, 2 * share - margin - margin**2)


def not_inferior(found: Discordance, margin: float) -> float:
    """Return the one-sided p of "the candidate loses `margin` or more", against "it loses less, or gains".

    Tango's score test with the continuity correction of half a step: without it the test exceeds its level where
    discordant rows are few, which the enumeration in the tests shows. Copies enter it as their effective number of rows
    (Rao and Scott, Biometrics 48, 1992). Rows that are only alike must pass a t-test on their clusters as well
    (Durkalski et al., Statistics in Medicine 22, 2003), which finds nothing where no cluster differs from another: the
    loss is then bounded for these clusters, and nothing is said of others.

    Args:
        found: Paired counts, at least one row.
        margin: Loss of accuracy, above 0; 0 is McNemar's exact test.
    """
    if margin == 0:
        return mcnemar_gain(found)
    excess = (found.difference + margin) * found.effective - 0.5
    spread = math.sqrt(found.effective * null_variance(found, margin))
    if spread == 0:
        return 0.0 if excess > 0 else 1.0
    return max(NORMAL.cdf(-excess / spread), _clusters_not_inferior(found, margin))


def _clusters_not_inferior(found: Discordance, margin: float) -> float:
    """Return the p of the t-test on clusters that are no copies; 0 where it has nothing to say."""
    if found.clusters is None or found.clusters.copies or found.clusters.count < 2:
        return 0.0
    error = math.sqrt(found.clusters.square_error(found.gained - found.lost, found.rows))
    return student_tail((found.difference + margin) / error, found.clusters.count - 1) if error else 0.0


def holm(values: dict[Any, float]) -> dict[Any, float]:
    """Return Holm's adjusted p-values (Scandinavian Journal of Statistics 6, 1979), in the given order of names.

    A hypothesis is rejected at a level if its adjusted value is at most that level; the chance of one wrong rejection
    or more among all of them is then at most the level, however they depend on each other.
    """
    ranked = sorted(values, key=lambda name: values[name])
    adjusted, running = {}, 0.0
    for rank, name in enumerate(ranked):
        running = max(running, min(1.0, (len(values) - rank) * values[name]))
        adjusted[name] = running
    return {name: adjusted[name] for name in values}


LEVEL = 0.95
STEPS = 50
"""Halvings: an end is exact to 2 / 2^50."""


def score_interval(found: Discordance) -> tuple[float, float]:
    """Return the ends of Tango's 95 % score interval (Statistics in Medicine 17, 1998) of candidate minus champion.

    It is wide where nothing is disputed, where the plain interval has no width at all; (-1, 1) without rows. Rows that
    come in clusters count as their effective number, which is as many as 97.5 % of `not_inferior` say.
    """
    if not found.rows:
        return -1.0, 1.0
    z, rows = NORMAL.inv_cdf((1 + LEVEL) / 2), _effective(found)
    high = _end(lambda bar: (bar - found.difference) * sqrt(rows) <= z * _spread(found, bar), found.difference)
    other = found.swapped
    low = _end(lambda bar: (bar - other.difference) * sqrt(rows) <= z * _spread(other, bar), other.difference)
    return -low, high


def _effective(found: Discordance) -> float:
    """Rows without clusters that say as much; of rows that are alike and no copies, with Student's quantile."""
    clusters = found.clusters
    if clusters is None or clusters.copies:
        return found.effective
    if clusters.count < 2:
        return 1.0
    error = clusters.square_error(found.gained - found.lost, found.rows)
    few = (NORMAL.inv_cdf((1 + LEVEL) / 2) / student_quantile((1 + LEVEL) / 2, clusters.count - 1)) ** 2
    return min(found.effective, max(1.0, few * found.row_variance / error)) if error else found.effective


def _spread(found: Discordance, difference: float) -> float:
    """Standard deviation of one row's difference where the true difference is `difference`."""
    if difference >= 0:
        return sqrt(null_variance(found.swapped, difference))
    return sqrt(null_variance(found, -difference))


def _end(inside: Callable[[float], bool], start: float) -> float:
    low, high = start, 1.0
    if inside(high):
        return high
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) else (low, middle)
    return low
