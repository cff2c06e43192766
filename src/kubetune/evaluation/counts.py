"""Metrics of confusion counts, over many tables at once, for the bootstrap and the comparison.

By hand: a bootstrap measures thousands of tables in one call, which scikit-learn takes one by one and from rows. The
tests hold every number against scikit-learn's.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
LABEL_METRICS = ("accuracy", "macro_f1", "weighted_f1", "mcc")
"""Functions of the confusion counts alone."""


def f1_scores(hits: NDArray[Any], total: NDArray[Any]) -> Floats:
    """Return the F1 of each class, shape (…, classes), NaN where a class has neither row nor prediction.

    Args:
        hits: Rows of the class that are predicted as it, shape (…, classes).
        total: Rows of the class plus predictions of it, shape (…, classes).
    """
    f1: Floats = np.divide(2.0 * hits, total, out=np.full(total.shape, np.nan), where=total > 0)
    return f1


def f1_from_counts(counts: NDArray[Any]) -> Floats:
    """Return the F1 of each class, shape (…, classes), NaN where a class has neither row nor prediction.

    Args:
        counts: Confusion counts, shape (…, classes, classes); leading axes are bootstrap samples.
    """
    return f1_scores(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1) + counts.sum(axis=-2))


def macro_f1(f1: Floats) -> Floats:
    """Return the mean F1, shape (…), over the classes that occur in labels or predictions, of F1 (…, classes)."""
    mean: Floats = np.nanmean(f1, axis=-1)
    return mean


def measure_counts(counts: NDArray[Any]) -> dict[str, Floats]:
    """Return `LABEL_METRICS`, each of shape (…), from counts of shape (…, classes, classes).

    The same numbers as `kubetune.evaluation.metrics.measure`; MCC is Gorodkin's for many classes, 0 where undefined.
    """
    true = counts.sum(axis=-1).astype(np.float64)
    predicted = counts.sum(axis=-2).astype(np.float64)
    rows = true.sum(axis=-1)
    hits = np.trace(counts, axis1=-2, axis2=-1).astype(np.float64)
    f1 = f1_from_counts(counts)
    spread = (rows**2 - (true**2).sum(axis=-1)) * (rows**2 - (predicted**2).sum(axis=-1))
    covariance = hits * rows - (true * predicted).sum(axis=-1)
    return {
        "accuracy": hits / rows,
        "macro_f1": macro_f1(f1),
        "weighted_f1": (np.nan_to_num(f1) * true).sum(axis=-1) / rows,
        "mcc": np.divide(covariance, np.sqrt(spread), out=np.zeros_like(covariance), where=spread > 0),
    }
