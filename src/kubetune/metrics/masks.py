"""Masked tokens: how probable a model finds each, and whether it is among the likeliest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kubetune.metrics.base import CatalogueStatistics, Floats, Ints, Outcomes, Totals, outcomes_of
from kubetune.metrics.catalogue import MASKS, Catalogue
from kubetune.metrics.labels import ratio

MASKED, FIRST, FIVE = range(3)
"""Counts of a row: masked tokens, those that are the likeliest one, those that are among the five likeliest."""
LARGEST = 700.0
"""Nats of which the perplexity is still a number."""
FEW = 100
"""Masked tokens of which five guesses each may all be wrong by chance."""


@dataclass(frozen=True)
class MaskStatistics(CatalogueStatistics):
    """Implements `Statistics` for masked tokens. Counts are `MASKED` and so on; the sum is of losses, in nats.

    Attributes:
        labels: None: a text has no class.
    """

    labels: tuple[str, ...] = ()

    @property
    def catalogue(self) -> Catalogue:
        """See `Statistics.catalogue`."""
        return MASKS

    @property
    def measures(self) -> Mapping[str, Callable[[Totals], Floats]]:
        """See `CatalogueStatistics.measures`."""
        return MEASURES

    def says(self, metric: str, totals: Totals) -> bool:
        """See `Statistics.says`: there are masked tokens."""
        del metric
        return int(totals.sums[..., 1]) > 0

    def flaws(self, totals: Totals, names: Sequence[str]) -> list[str]:
        """See `Statistics.flaws`: no masked token is among the five likeliest."""
        del names
        masked = int(totals.sums[1])
        if masked >= FEW and totals.counts[FIVE] == 0:
            return [
                f"never near: of {masked:,} masked tokens none is among the five likeliest; try a higher learning "
                "rate, more epochs or another seed."
            ]
        return []


def cross_entropy(totals: Totals) -> Floats:
    """Return nats a masked token, shape (…)."""
    return ratio(totals.sums[..., 0], totals.sums[..., 1])


MEASURES: Mapping[str, Callable[[Totals], Floats]] = {
    "cross_entropy": cross_entropy,
    "perplexity": lambda totals: np.exp(np.minimum(cross_entropy(totals), LARGEST)),
    "top_1": lambda totals: ratio(totals.counts[..., FIRST], totals.counts[..., MASKED]),
    "top_5": lambda totals: ratio(totals.counts[..., FIVE], totals.counts[..., MASKED]),
}


def mask_outcomes(masks: Ints, first: Ints, five: Ints, losses: Floats) -> Outcomes:
    """Return what guesses at the masked tokens of some rows come to.

    A row is as right as the share of its masked tokens that are the likeliest one; one without any is not wrong.

    Args:
        masks: Masked tokens of each row, shape (rows,).
        first: Those that are the likeliest one, shape (rows,).
        five: Those that are among the five likeliest, shape (rows,).
        losses: Sum of their negative log-likelihoods in nats, shape (rows,).
    """
    counts = np.stack([masks, first, five], axis=1).astype(np.int64).reshape(len(masks), 3)
    sums = np.stack([losses, masks], axis=1).astype(np.float64).reshape(len(masks), 2)
    return outcomes_of(counts, sums, ratio(first, masks, undefined=1.0))
