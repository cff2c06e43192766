"""Precision, recall and F1 of labels, classes or entity types, from counts with any leading axes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.metrics.base import Floats


def f1_scores(hits: NDArray[Any], total: NDArray[Any]) -> Floats:
    """Return the F1 of each label, shape (…, labels), NaN where a label neither occurs nor is answered.

    Args:
        hits: Right answers of the label, shape (…, labels).
        total: How often it occurs, and how often it is answered, together; shape (…, labels).
    """
    f1: Floats = np.divide(2.0 * hits, total, out=np.full(total.shape, np.nan), where=total > 0)
    return f1


def macro(hits: NDArray[Any], total: NDArray[Any]) -> Floats:
    """Return the mean F1, shape (…), over the labels that occur or are answered; NaN where there is none.

    Args:
        hits: See `f1_scores`.
        total: See `f1_scores`.
    """
    there = total > 0
    f1 = np.divide(2.0 * hits, total, out=np.zeros(total.shape), where=there)
    return ratio(f1.sum(axis=-1), there.sum(axis=-1), undefined=np.nan)


def ratio(part: NDArray[Any], whole: NDArray[Any], undefined: float = 0.0) -> Floats:
    """Return `part / whole`, and `undefined` where the whole is 0."""
    part, whole = np.broadcast_arrays(part, whole)  # the rows of a sum may be one number for many draws
    share: Floats = np.divide(part, whole, out=np.full(whole.shape, undefined), where=whole > 0)
    return share


def ratios(hits: NDArray[Any], answered: NDArray[Any], labelled: NDArray[Any]) -> dict[str, Floats]:
    """Return `precision`, `recall`, `f1`, `support`, `predicted` of counts (…, labels); see `Statistics.by_label`."""
    return {
        "precision": ratio(hits, answered),
        "recall": ratio(hits, labelled),
        "f1": f1_scores(hits, labelled + answered),
        "support": labelled,
        "predicted": answered,
    }
