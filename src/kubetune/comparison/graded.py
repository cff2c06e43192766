"""Paired outcomes that are grades from 0 to 1 instead of right or wrong: means, by a t-test on texts."""

import math
from dataclasses import dataclass

import numpy as np

from kubetune.comparison.clusters import student_quantile, student_tail
from kubetune.metrics.base import Floats, Ints


@dataclass(frozen=True)
class Grades:
    """Candidate minus champion of the grades of some rows.

    Attributes:
        difference: Mean over rows.
        error: Its standard error, of texts with all their rows.
        rows: Rows.
        texts: Distinct texts of them.
    """

    difference: float
    error: float
    rows: int
    texts: int

    @classmethod
    def of(cls, candidate: Floats, champion: Floats, texts: Ints | None) -> "Grades":
        """Compare grades, each of shape (rows,); `texts` numbers the rows' texts, None: each row has its own."""
        gains, rows = candidate - champion, len(candidate)
        if not rows:
            return cls(0.0, 0.0, 0, 0)
        numbers = np.arange(rows) if texts is None else np.unique(texts, return_inverse=True)[1]
        mean, count = float(gains.mean()), int(numbers.max()) + 1
        residuals = np.bincount(numbers, weights=gains - mean)
        spread = float((residuals**2).sum()) * count / max(1, count - 1)
        return cls(mean, math.sqrt(spread) / rows, rows, count)

    def above(self, bar: float) -> float:
        """Return the one-sided p of "the difference is `bar` or less"."""
        if self.texts < 2:
            return 1.0
        if self.error == 0:
            return 0.0 if self.difference > bar else 1.0
        return student_tail((self.difference - bar) / self.error, self.texts - 1)

    def below(self, bar: float) -> float:
        """Return the one-sided p of "the difference is `bar` or more"."""
        return Grades(-self.difference, self.error, self.rows, self.texts).above(-bar)

    @property
    def variance(self) -> float:
        """Variance of one text's share, so that the standard error is the root of this over `texts`."""
        return self.error**2 * self.texts

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95 % interval; (-1, 1) of fewer than two texts."""
        if self.texts < 2:
            return -1.0, 1.0
        half = student_quantile(0.975, self.texts - 1) * self.error
        return self.difference - half, self.difference + half
