"""Numbers as a person wrote them: shares and epochs are decimals, and a binary product of one may land beside it."""

from fractions import Fraction


def as_written(value: float) -> Fraction:
    """Return the decimal that reads back as `value`: 11/10 for 1.1, which in binary is a little more.

    Count with it wherever a product is rounded or compared: 1.1 × 50 is 55, but `1.1 * 50` is 55.00000000000001 and
    rounds up to 56, and `0.29 * 100` is less than 29.
    """
    return Fraction(repr(float(value)))
