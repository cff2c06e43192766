"""Mean, variance and Pearson's correlation as functions of summed moments."""

from typing import Any

import numpy as np

from kubetune.metrics.base import Floats, Totals
from kubetune.metrics.labels import ratio

DIGITS = 1e-12
"""Share of the mean square below which a variance is but the last digits of equal numbers."""


def mean(totals: Totals, column: int) -> Floats:
    """Return the mean of a column of sums, shape (…)."""
    return ratio(totals.sums[..., column], totals.rows)


def variance(totals: Totals, column: int) -> Any:
    """Return the variance of what a column sums, shape (…), whose squares the next column sums."""
    middle, square = mean(totals, column), mean(totals, column + 1)
    found = square - middle**2
    return np.where(found > DIGITS * square, found, 0.0)


def pearson(totals: Totals, first: int, second: int, product: int) -> Floats:
    """Return the correlation of two columns, shape (…), 0 where one does not vary.

    Args:
        totals: Their sums, those of their squares in the columns behind them, and of their products.
        first: Number of a column.
        second: Of the other.
        product: Of the products.
    """
    spread = variance(totals, first) * variance(totals, second)
    shared = mean(totals, product) - mean(totals, first) * mean(totals, second)
    found: Floats = np.divide(shared, np.sqrt(spread), out=np.zeros_like(spread), where=spread > 0)
    return np.clip(found, -1.0, 1.0)
