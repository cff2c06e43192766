"""Metrics of any number of labels a row, as functions of counts a label; the tests hold them against scikit-learn's.

Zero division as scikit-learn's default: what is divided by 0 is 0; a label that neither occurs nor is chosen is left
out of macro F1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.errors import DataError
from kubetune.metrics.base import CatalogueStatistics, Floats, Outcomes, Totals, outcomes_of
from kubetune.metrics.catalogue import LABELS, Catalogue
from kubetune.metrics.labels import macro, ratio, ratios

NEARLY_ALL = 0.99
"""Share of rows with the same decision on a label from which the model does not tell them apart by it."""


@dataclass(frozen=True)
class MultiLabelStatistics(CatalogueStatistics):
    """Implements `Statistics` for labels.

    Counts are, of each label, the rows that have it, those that were given it and those where both is so, and at last
    the rows with all labels right. The one sum is the loss.

    Attributes:
        labels: Names by number.
    """

    labels: tuple[str, ...]

    @property
    def catalogue(self) -> Catalogue:
        """See `Statistics.catalogue`."""
        return LABELS

    @property
    def measures(self) -> Mapping[str, Callable[[Totals], Floats]]:
        """See `CatalogueStatistics.measures`."""
        return MEASURES

    def says(self, metric: str, totals: Totals) -> bool:
        """See `Statistics.says`: F1 of rows without any label, of which none was chosen, says nothing."""
        true, chosen, _ = _parts(totals)
        return metric in ("subset_accuracy", "hamming_loss", "loss") or bool(true.sum() + chosen.sum())

    def by_label(self, totals: Totals) -> dict[str, Floats]:
        """See `Statistics.by_label`."""
        true, chosen, hits = _parts(totals)
        return ratios(hits, chosen, true)

    def flaws(self, totals: Totals, names: Sequence[str]) -> list[str]:
        """See `Statistics.flaws`: no label is ever chosen, or the same ones are for nearly every row."""
        del names
        true, chosen, _ = (part / totals.rows for part in _parts(totals))
        if true.sum() and not chosen.sum():
            return [
                f"never choosing a label, though {true.sum():.2f} labels a row are right: train longer, or try a "
                "higher learning rate."
            ]
        apart = [(part > 1 - NEARLY_ALL) & (part < NEARLY_ALL) for part in (true, chosen)]
        if apart[0].any() and not apart[1].any():
            return [
                f"collapsed: at least {NEARLY_ALL:.0%} of {int(totals.rows):,} rows are given the same labels, though "
                "they differ; try a lower learning rate, more warm-up or another seed."
            ]
        return []

    def outcomes(self, true: NDArray[np.bool_], chosen: NDArray[np.bool_], losses: Floats | None = None) -> Outcomes:
        """Return what decisions come to.

        Args:
            true: Which labels are right, shape (rows, labels).
            chosen: Which were chosen, shape (rows, labels).
            losses: Mean binary cross-entropy of each row's labels, shape (rows,); None: not known, which reads 0.
        """
        hits, right = true & chosen, (true == chosen).all(axis=1)
        counts = np.concatenate([true, chosen, hits, right[:, None]], axis=1).astype(np.int64)
        together = true.sum(axis=1) + chosen.sum(axis=1)
        scores = np.where(together > 0, 2 * hits.sum(axis=1) / np.maximum(together, 1), 1.0)
        sums = np.zeros((len(true), 1)) if losses is None else losses.astype(np.float64)[:, None]
        return outcomes_of(counts, sums, scores)


def label_marks(numbers: Sequence[Sequence[int]], labels: int) -> NDArray[np.bool_]:
    """Return lists of label numbers as marks, shape (rows, labels).

    Raises:
        DataError: A number is none of the labels.
    """
    found = np.zeros((len(numbers), labels), dtype=bool)
    for row, each in enumerate(numbers):
        if wrong := [number for number in each if not 0 <= number < labels]:
            raise DataError(
                "paired-classes",
                f"label number {wrong[0]} was found and {labels} labels are known; both models must answer with the "
                "same labels: map the champion's labels to the candidate's.",
            )
        found[row, list(each)] = True
    return found


def _parts(totals: Totals) -> list[NDArray[Any]]:
    """Return counts of rows that have a label, that were given it, and of both, each of shape (…, labels)."""
    return np.split(totals.counts[..., :-1], 3, axis=-1)


def _pooled(totals: Totals) -> list[NDArray[Any]]:
    return [part.sum(axis=-1) for part in _parts(totals)]


def _micro_f1(totals: Totals) -> Floats:
    true, chosen, hits = _pooled(totals)
    return ratio(2 * hits, true + chosen)


def _macro_f1(totals: Totals) -> Floats:
    true, chosen, hits = _parts(totals)
    return np.nan_to_num(macro(hits, true + chosen))


def _precision(totals: Totals) -> Floats:
    _, chosen, hits = _pooled(totals)
    return ratio(hits, chosen)


def _recall(totals: Totals) -> Floats:
    true, _, hits = _pooled(totals)
    return ratio(hits, true)


def _hamming(totals: Totals) -> Floats:
    true, chosen, hits = _pooled(totals)
    labels = (totals.counts.shape[-1] - 1) // 3
    return ratio(true + chosen - 2 * hits, np.asarray(totals.rows) * labels)


MEASURES: Mapping[str, Callable[[Totals], Floats]] = {
    "micro_f1": _micro_f1,
    "macro_f1": _macro_f1,
    "precision": _precision,
    "recall": _recall,
    "subset_accuracy": lambda totals: ratio(totals.counts[..., -1], totals.rows),
    "hamming_loss": _hamming,
    "loss": lambda totals: ratio(totals.sums[..., 0], totals.rows),
}
