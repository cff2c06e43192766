"""Paired outcomes of two models on the same rows: exact McNemar and the score test with a margin.

Rows on which both are right or both are wrong say nothing of the difference; all tests here read the two counts of
the others. McNemar's test is exact at every level, which matters because alpha spending asks for levels of 1e-4 and
less, where a normal tail is no longer the right one.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

NORMAL = NormalDist()


@dataclass(frozen=True)
class Discordance:
    """How often one of two models alone is right.

    Attributes:
        gained: Rows on which the candidate alone is right.
        lost: Rows on which the champion alone is right.
        rows: All rows, at least `gained + lost`.
    """

    gained: int
    lost: int
    rows: int

    @classmethod
    def of(cls, candidate: NDArray[np.bool_], champion: NDArray[np.bool_]) -> "Discordance":
        """Count from "is right" of each model, both of shape (rows,)."""
        if candidate.shape != champion.shape:
            raise ValueError(f"{candidate.shape} and {champion.shape} outcomes; both models must answer the same rows")
        return cls(int((candidate & ~champion).sum()), int((champion & ~candidate).sum()), len(candidate))

    @property
    def difference(self) -> float:
        """Accuracy of the candidate minus that of the champion."""
        return (self.gained - self.lost) / self.rows if self.rows else 0.0

    @property
    def variance(self) -> float:
        """Variance of one row's difference, so that the standard error is the root of this over `rows`."""
        return (self.gained + self.lost) / self.rows - self.difference**2 if self.rows else 0.0

    @property
    def swapped(self) -> "Discordance":
        """The same rows seen from the champion."""
        return Discordance(self.lost, self.gained, self.rows)


def upper_tail(hits: int, trials: int) -> float:
    """Return P(X >= hits) of X ~ Binomial(trials, 1/2), in whole numbers up to the last division."""
    if hits <= 0:
        return 1.0
    term = total = math.comb(trials, hits)
    for number in range(hits, trials):
        term = term * (trials - number) // (number + 1)
        total += term
    return total / (1 << trials)


def mcnemar_gain(found: Discordance) -> float:
    """Return the exact one-sided p of "the candidate is no more accurate", against "it is"."""
    return upper_tail(found.gained, found.gained + found.lost)


def mcnemar(found: Discordance) -> float:
    """Return the exact two-sided p of "equally accurate": twice the smaller tail, at most 1 (McNemar 1947)."""
    return min(1.0, 2 * min(mcnemar_gain(found), mcnemar_gain(found.swapped)))


def null_variance(found: Discordance, margin: float) -> float:
    """Return the variance of one row's difference under the most likely world with a difference of -`margin`.

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
    discordant rows are few, which the enumeration in the tests shows.

    Args:
        found: Paired counts, at least one row.
        margin: Loss of accuracy, above 0; 0 is McNemar's exact test.
    """
    if margin == 0:
        return mcnemar_gain(found)
    excess = found.gained - found.lost + found.rows * margin - 0.5
    spread = math.sqrt(found.rows * null_variance(found, margin))
    if spread == 0:
        return 0.0 if excess > 0 else 1.0
    return NORMAL.cdf(-excess / spread)


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
