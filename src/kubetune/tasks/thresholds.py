"""From which probability a label is chosen: what gives the best F1 of that label on rows that no test row is among."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HALF = 0.5
"""Of a label that nothing is known of."""


def tuned_thresholds(probabilities: NDArray[np.float64], true: NDArray[np.bool_]) -> list[float]:
    """Return the threshold of each label; 0.5 for one without a row.

    Args:
        probabilities: Shape (rows, labels).
        true: Which labels are right, shape (rows, labels).
    """
    return [best_threshold(scores, right) for scores, right in zip(probabilities.T, true.T, strict=True)]


def best_threshold(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the threshold with the best F1, half-way between two rows; of equal ones that nearest to 0.5.

    Args:
        scores: Probabilities of one label, shape (rows,).
        right: Whether a row has it, shape (rows,).
    """
    if not right.any():
        return HALF
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order].astype(np.float64), np.cumsum(right[order])
    last = np.append(ranked[1:] < ranked[:-1], True)  # between equal probabilities no threshold can be
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + right.sum())
    below = np.append(ranked[1:], 0.0)
    best = f1[last].max()
    places = np.flatnonzero(last & (f1 >= best - 1e-12))
    # 0.5 itself where it lies between the two rows, so that nothing is moved for nothing.
    middles = np.where((below[places] < HALF) & (ranked[places] >= HALF), HALF, (ranked[places] + below[places]) / 2)
    return float(middles[np.abs(middles - HALF).argmin()])


def chosen_labels(probabilities: NDArray[np.float64], thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """Return which labels are chosen, shape (rows, labels); without thresholds from 0.5."""
    found: NDArray[np.bool_] = probabilities >= (np.asarray(thresholds) if len(thresholds) else HALF)
    return found
