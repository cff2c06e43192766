"""How many labelled rows a question would need, if the differences stay as they were seen."""

import math

from kubetune.comparison.paired import NORMAL


def rows_needed(gap: float, level: float, power: float, null_variance: float, variance: float) -> int | None:
    """Return the rows at which a one-sided paired test decides with chance `power`.

    The normal formula for paired proportions (Connor, Biometrics 43, 1987) with `1 / gap` rows more for the
    discreteness of counts; for a bootstrap, both variances are that of its standard error.

    Args:
        gap: Distance of the difference from the bar that it must pass.
        level: One-sided level of the test, in (0, 1/2).
        power: Chance of passing, in (1/2, 1).
        null_variance: Variance of one row's difference where it is exactly on the bar.
        variance: Variance of one row's difference as it is.

    Returns:
        Rows in all, or None where the difference is not on the passing side, so that no number of rows helps.
    """
    if gap <= 0:
        return None
    spread = NORMAL.inv_cdf(1 - level) * math.sqrt(null_variance) + NORMAL.inv_cdf(power) * math.sqrt(variance)
    return math.ceil((spread / gap) ** 2 + 1 / gap)
