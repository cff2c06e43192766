"""Numbers, made fit to be shown in a sentence or a table."""

import math


def number(value: float, digits: int = 4) -> str:
    """Return `value` with a fixed number of decimals; never `-0.0000`."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def signed(value: float, digits: int = 4) -> str:
    """Return `value` with its sign."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def digits_for(gap: float, least: int = 4, most: int = 12) -> int:
    """Return the decimals that show a gap of this size with two digits, so that a narrow miss never reads as zero."""
    if gap == 0 or not math.isfinite(gap):
        return least
    return min(most, max(least, 1 - math.floor(math.log10(abs(gap)))))
