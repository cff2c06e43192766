"""Two models' answers on the same rows, the metric that they are compared by, and what a comparison by it gives.

Differences are turned so that above 0 is better.
"""

from dataclasses import dataclass

from kubetune.comparison.paired import NORMAL
from kubetune.evaluation.intervals import Estimate
from kubetune.metrics.base import Floats, Ints, Outcomes, Statistics, Totals

CHUNK_CELLS = 2**21
"""Numbers held at once while sampling: 16 MiB of counts."""


@dataclass(frozen=True)
class Difference:
    """Candidate minus champion, with its spread under resampled texts.

    Attributes:
        estimate: Value and 95 % percentile interval.
        error: Standard error.
        rows: Rows behind it.
        texts: Distinct texts of them.
    """

    estimate: Estimate
    error: float
    rows: int
    texts: int

    @property
    def variance(self) -> float:
        """Variance of one text's share, so that the standard error is the root of this over `texts`."""
        return self.error**2 * self.texts

    def above(self, bar: float) -> float:
        """Return the one-sided p of "the difference is `bar` or less", by a normal tail of the bootstrap's error."""
        gap = self.estimate.value - bar
        if self.error == 0:
            return 0.0 if gap > 0 else 1.0
        return NORMAL.cdf(-gap / self.error)

    def below(self, bar: float) -> float:
        """Return the one-sided p of "the difference is `bar` or more"."""
        gap = bar - self.estimate.value
        if self.error == 0:
            return 0.0 if gap > 0 else 1.0
        return NORMAL.cdf(-gap / self.error)


@dataclass(frozen=True)
class Pair:
    """What two models' answers on the same rows come to, and the metric that they are compared by.

    Attributes:
        candidate: Of the candidate.
        champion: Of the champion.
        statistics: What measures both.
        metric: Name of the metric.
        texts: Number of each row's text, shape (rows,), from 0 and without gaps; None: each row has its own.
    """

    candidate: Outcomes
    champion: Outcomes
    statistics: Statistics
    metric: str
    texts: Ints | None = None

    @property
    def values(self) -> tuple[float, float]:
        """Return the metric of the candidate and of the champion."""
        first, second = (float(self.measure(each.total())) for each in (self.candidate, self.champion))
        return first, second

    @property
    def gain(self) -> float:
        """How much better the candidate is."""
        first, second = self.values
        return (first - second) * self.sign

    @property
    def sign(self) -> float:
        """-1 where less of the metric is better."""
        return -1.0 if self.statistics.metrics[self.metric].lower_is_better else 1.0

    def measure(self, totals: Totals) -> Floats:
        """Return the metric, shape (…)."""
        return self.statistics.measure(totals, (self.metric,))[self.metric]

    def gained(self, candidate: Totals, champion: Totals) -> Floats:
        """Return how much better the candidate is, shape (…)."""
        gain: Floats = (self.measure(candidate) - self.measure(champion)) * self.sign
        return gain


def chunks(resamples: int, cells: int) -> list[int]:
    """Return the numbers of draws that are held at once, for draws of so many cells."""
    chunk = max(1, CHUNK_CELLS // cells)
    return [min(chunk, resamples - start) for start in range(0, resamples, chunk)]
