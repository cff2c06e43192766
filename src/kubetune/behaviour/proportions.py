"""The interval of a failure rate."""

import math

Z = 1.959963984540054
"""97.5 % point of the normal distribution."""


def wilson(failures: int, count: int) -> tuple[float, float]:
    """Return the ends of the 95 % score interval of Wilson (JASA 22, 1927); (0, 1) without cases.

    It is closed form, so that its bits do not depend on a library's version, and it says something at 0 failures.

    Args:
        failures: 0 … `count`.
        count: Independent cases.
    """
    if not 0 <= failures <= count:
        raise ValueError(f"{failures} failures of {count} cases")
    if count == 0:
        return 0.0, 1.0
    rate, square = failures / count, Z * Z
    centre = (rate + square / (2 * count)) / (1 + square / count)
    half = Z / (1 + square / count) * math.sqrt(rate * (1 - rate) / count + square / (4 * count * count))
    return (0.0 if failures == 0 else centre - half), (1.0 if failures == count else centre + half)
