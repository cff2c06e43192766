"""How near vectors are to each other, against scores of pairs, and against the pairs of all other texts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.metrics.base import CatalogueStatistics, Floats, Ints, Outcomes, Totals, outcomes_of
from kubetune.metrics.catalogue import RETRIEVAL, SIMILARITY, Catalogue
from kubetune.metrics.labels import ratio
from kubetune.metrics.moments import pearson, variance
from kubetune.metrics.ranks import drawn_spearman

COSINE, SQUARE, SCORE, SCORE_SQUARE, PRODUCT, LOSS, TERMS = range(7)
"""Sums of a scored pair."""
RECIPROCAL, GAIN, RANK_LOSS, RANK_TERMS = range(4)
"""Sums of a pair of a search."""
CUT = 10
"""Places of a search that are looked at."""


@dataclass(frozen=True)
class SimilarityStatistics(CatalogueStatistics):
    """Implements `Statistics` for scored pairs; sums are `COSINE` and so on.

    Attributes:
        labels: None: a pair has no class.
    """

    labels: tuple[str, ...] = ()

    @property
    def catalogue(self) -> Catalogue:
        """See `Statistics.catalogue`."""
        return SIMILARITY

    @property
    def measures(self) -> Mapping[str, Callable[[Totals], Floats]]:
        """See `CatalogueStatistics.measures`."""
        return SIMILARITIES

    def says(self, metric: str, totals: Totals) -> bool:
        """See `Statistics.says`: a correlation needs numbers that vary."""
        return metric == "loss" or bool(variance(totals, COSINE) > 0 and variance(totals, SCORE) > 0)

    def flaws(self, totals: Totals, names: Sequence[str]) -> list[str]:
        """See `Statistics.flaws`: all pairs have one cosine."""
        del names
        if variance(totals, SCORE) > 0 and not variance(totals, COSINE) > 0:
            mean = totals.sums[COSINE] / totals.rows
            return [
                f"collapsed: all {int(totals.rows):,} pairs have the cosine {mean:.4f}; try a lower learning rate or "
                "another seed."
            ]
        return []


@dataclass(frozen=True)
class RetrievalStatistics(CatalogueStatistics):
    """Implements `Statistics` for ranks of positives. Counts: rank 1, up to `CUT`; sums: `RECIPROCAL` and so on.

    Attributes:
        labels: None: a pair has no class.
    """

    labels: tuple[str, ...] = ()

    @property
    def catalogue(self) -> Catalogue:
        """See `Statistics.catalogue`."""
        return RETRIEVAL

    @property
    def measures(self) -> Mapping[str, Callable[[Totals], Floats]]:
        """See `CatalogueStatistics.measures`."""
        return SEARCHES

    def says(self, metric: str, totals: Totals) -> bool:
        """See `Statistics.says`."""
        del metric
        return int(totals.rows) > 0

    def flaws(self, totals: Totals, names: Sequence[str]) -> list[str]:
        """See `Statistics.flaws`: no positive is among the nearest."""
        del names
        rows = int(totals.rows)
        if rows > CUT and totals.counts[1] == 0:
            return [
                f"never near: of {rows:,} anchors none has its positive among the {CUT} nearest; try a lower learning "
                "rate, more epochs or another seed."
            ]
        return []


SIMILARITIES: Mapping[str, Callable[[Totals], Floats]] = {
    "spearman": drawn_spearman(COSINE, SCORE, decimals=7),
    "pearson": partial(pearson, first=COSINE, second=SCORE, product=PRODUCT),
    "loss": lambda totals: ratio(totals.sums[..., LOSS], totals.sums[..., TERMS]),
}
SEARCHES: Mapping[str, Callable[[Totals], Floats]] = {
    "mrr": lambda totals: ratio(totals.sums[..., RECIPROCAL], totals.rows),
    "ndcg_10": lambda totals: ratio(totals.sums[..., GAIN], totals.rows),
    "accuracy_1": lambda totals: ratio(totals.counts[..., 0], totals.rows),
    "accuracy_10": lambda totals: ratio(totals.counts[..., 1], totals.rows),
    "loss": lambda totals: ratio(totals.sums[..., RANK_LOSS], totals.sums[..., RANK_TERMS]),
}


def similarity_outcomes(
    cosines: Floats, scores: Floats, losses: Floats | None = None, terms: Ints | None = None
) -> Outcomes:
    """Return what cosines of scored pairs come to; a pair is as right as its cosine is near to its similarity.

    Args:
        cosines: Of a system, shape (pairs,).
        scores: Similarities, from 0 to 1 as far as train's scores go, shape (pairs,).
        losses: Of each pair, shape (pairs,); None: not known.
        terms: Losses in it, shape (pairs,).
    """
    sums = np.zeros((len(cosines), 7))
    sums[:, COSINE], sums[:, SCORE] = cosines, scores
    sums[:, SQUARE], sums[:, SCORE_SQUARE], sums[:, PRODUCT] = cosines**2, scores**2, cosines * scores
    _add_losses(sums, LOSS, losses, terms)
    near = 1 - np.abs(np.clip(cosines, 0, 1) - np.clip(scores, 0, 1))
    nothing = np.zeros((1, 0), dtype=np.int64)
    return Outcomes(np.zeros(len(cosines), dtype=np.int64), nothing, nothing, 0, sums, near)


def retrieval_outcomes(ranks: Ints, losses: Floats | None = None, terms: Ints | None = None) -> Outcomes:
    """Return what ranks of positives, from 1, come to; a pair is as right as 1 / rank.

    Args:
        ranks: Shape (pairs,).
        losses: Of each pair, shape (pairs,); None: not known.
        terms: Losses in it, shape (pairs,).
    """
    sums = np.zeros((len(ranks), 4))
    sums[:, RECIPROCAL] = 1 / ranks
    sums[:, GAIN] = np.where(ranks <= CUT, 1 / np.log2(1 + ranks), 0.0)
    _add_losses(sums, RANK_LOSS, losses, terms)
    counts = np.stack([ranks <= 1, ranks <= CUT], axis=1).astype(np.int64)
    return outcomes_of(counts, sums, sums[:, RECIPROCAL])


def _add_losses(sums: NDArray[Any], first: int, losses: Floats | None, terms: Ints | None) -> None:
    if losses is not None and terms is not None:
        sums[:, first], sums[:, first + 1] = losses, terms
