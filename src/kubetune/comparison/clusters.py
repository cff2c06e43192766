"""Rows that come in clusters: copies of one text, or behavioural cases of one template or one test row.

A cluster is one observation of the difference, however many rows it has. What counts is kept as whole numbers, so that
data in which every row occurs k times gives the very p-values and intervals of the data without copies.
"""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kubetune.metrics.base import Ints

NEGLIGIBLE = 1e-30
"""Chances that are left out of a convolution; levels of a long sequence of comparisons are above 1e-12."""


@dataclass(frozen=True)
class Clusters:
    """Of paired outcomes; a cluster's sum is its rows gained minus its rows lost.

    Attributes:
        count: All clusters.
        sums: (sum, clusters that have it), ascending, without the sum 0.
        squares: Squared numbers of rows, summed over the clusters.
        crossed: Rows times sum, summed over the clusters.
        copies: Whether the rows of a cluster have one text.
    """

    count: int
    sums: tuple[tuple[int, int], ...]
    squares: int
    crossed: int
    copies: bool

    @property
    def swapped(self) -> "Clusters":
        """The same seen from the champion."""
        sums = tuple((-total, clusters) for total, clusters in reversed(self.sums))
        return Clusters(self.count, sums, self.squares, -self.crossed, self.copies)

    def square_error(self, total: int, rows: int) -> float:
        """Return the squared standard error of the difference `total / rows`, linearised as a ratio of two sums.

        Clusters that are no copies get the factor for few of them, `count / (count - 1)`; without it for copies, the
        error is that of the rows where each cluster has one row.

        Args:
            total: Sum of all clusters' sums.
            rows: Of all clusters.
        """
        squared = sum(clusters * each**2 for each, clusters in self.sums)
        # Whole numbers to the end: what is 0 is exactly 0.
        spread = rows**2 * squared - 2 * rows * total * self.crossed + total**2 * self.squares
        few = 1.0 if self.copies or self.count < 2 else self.count / (self.count - 1)
        return few * (spread / rows**4)

    def flipped_tail(self) -> float:
        """Return the chance of this sum or more where each cluster's sum is as likely to have the other sign."""
        sizes: Counter[int] = Counter()
        for each, clusters in self.sums:
            sizes[abs(each)] += clusters
        step = math.gcd(*sizes)  # every text k times: the numbers of every text once
        gained = sum(each * clusters for each, clusters in self.sums if each > 0)
        if len(sizes) <= 1:
            return upper_tail(gained // step if step else 0, sizes.total())
        return _tail({each // step: clusters for each, clusters in sizes.items()}, gained // step)


def clusters_of(signs: Ints, cluster: Ints, *, copies: bool) -> Clusters:
    """Return what counts of each row's sign and cluster.

    Args:
        signs: 1 gained, -1 lost, 0 neither; shape (rows,).
        cluster: Number of each row's cluster, shape (rows,), from 0; not every number need occur.
        copies: Whether the rows of a cluster have one text.
    """
    size = np.bincount(cluster)
    sums = np.rint(np.bincount(cluster, weights=signs, minlength=len(size))).astype(np.int64)
    values, counts = np.unique(sums[sums != 0], return_counts=True)
    return Clusters(
        count=int((size > 0).sum()),
        sums=tuple(zip(values.tolist(), counts.tolist(), strict=True)),
        squares=int((size**2).sum()),
        crossed=int((size * sums).sum()),
        copies=copies,
    )


def upper_tail(hits: int, trials: int) -> float:
    """Return P(X >= hits) of X ~ Binomial(trials, 1/2), in whole numbers up to the last division."""
    if hits <= 0:
        return 1.0
    term = total = math.comb(trials, hits)
    for number in range(hits, trials):
        term = term * (trials - number) // (number + 1)
        total += term
    return total / (1 << trials)


def student_tail(value: float, degrees: int) -> float:
    """Return P(T >= value) of Student's distribution."""
    from scipy.special import stdtr

    return float(stdtr(degrees, -value))


def student_quantile(share: float, degrees: int) -> float:
    """Return the value below which a share of Student's distribution lies."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, share))


def _tail(sizes: dict[int, int], least: int) -> float:
    """Return P(sum of those that come up heads >= least), a fair coin a cluster; size → clusters of it.

    The distribution is convolved size by size, all of it positive numbers, so that small tails keep their digits.
    """
    low, chances = 0, np.ones(1)
    for size, clusters in sorted(sizes.items()):
        first, heads = _heads(clusters)
        spread = np.zeros(len(chances) + size * (len(heads) - 1))
        for number, chance in enumerate(heads):
            spread[number * size : number * size + len(chances)] += chance * chances
        kept = np.flatnonzero(spread > NEGLIGIBLE)
        low, chances = low + first * size + int(kept[0]), spread[kept[0] : kept[-1] + 1]
    return float(min(1.0, chances[max(0, least - low) :].sum()))


def _heads(trials: int) -> tuple[int, NDArray[np.float64]]:
    """Return the first number of heads whose chance is not negligible, and the chances from it on."""
    numbers = np.arange(trials + 1)
    logs = np.array([math.lgamma(number + 1) for number in numbers])
    chances = np.exp(logs[-1] - logs - logs[::-1] - trials * math.log(2))
    kept = np.flatnonzero(chances > NEGLIGIBLE)
    return int(kept[0]), chances[kept[0] : kept[-1] + 1]
