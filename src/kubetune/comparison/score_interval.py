"""The interval of a paired difference, shown beside a guard."""

from collections.abc import Callable
from math import sqrt

from kubetune.comparison.clusters import student_quantile
from kubetune.comparison.paired import NORMAL, Discordance, null_variance

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
