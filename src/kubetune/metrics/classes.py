"""Interim."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kubetune.metrics.base import Floats, Ints, Metric, Outcomes, Totals


@dataclass(frozen=True)
class ClassStatistics:
    """Interim."""

    labels: tuple[str, ...]
    main: str = "macro_f1"

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Interim."""
        return {
            "accuracy": Metric("Accuracy", ""),
            "macro_f1": Metric("Macro F1", ""),
            "weighted_f1": Metric("Weighted F1", ""),
            "mcc": Metric("MCC", ""),
            "loss": Metric("Loss", "", lower_is_better=True),
        }

    def measure(self, totals: Totals) -> dict[str, Any]:
        """Interim."""
        classes = len(self.labels)
        counts = totals.counts.reshape(*totals.counts.shape[:-1], classes, classes).astype(np.float64)
        true, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
        hits = np.diagonal(counts, axis1=-2, axis2=-1)
        rows = counts.sum(axis=(-1, -2))
        support = true + predicted
        f1 = np.divide(2 * hits, support, out=np.full_like(hits, np.nan), where=support > 0)
        cov = hits.sum(axis=-1) * rows - (true * predicted).sum(axis=-1)
        spread = np.sqrt((rows**2 - (predicted**2).sum(axis=-1)) * (rows**2 - (true**2).sum(axis=-1)))
        return {
            "accuracy": hits.sum(axis=-1) / rows,
            "macro_f1": np.nanmean(f1, axis=-1),
            "weighted_f1": (np.nan_to_num(f1) * true).sum(axis=-1) / rows,
            "mcc": np.divide(cov, spread, out=np.zeros_like(cov), where=spread > 0),
            "loss": totals.sums[..., 0] / totals.rows,
        }


def class_outcomes(labels: Ints, predictions: Ints, classes: int, losses: Floats) -> Outcomes:
    """Interim."""
    codes, cell = np.unique(labels * classes + predictions, return_inverse=True)
    return Outcomes(
        cell,
        codes[:, None],
        np.ones((len(codes), 1), dtype=np.int64),
        classes**2,
        losses[:, None],
        (labels == predictions).astype(np.float64),
    )
