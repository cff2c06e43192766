"""Correlation of ranks under whole weights, and ranks among candidates: what no sum over rows tells."""

from collections.abc import Callable

import numpy as np

from kubetune.metrics.base import Floats, Ints, Totals


def drawn_spearman(first: int, second: int, decimals: int | None = None) -> Callable[[Totals], Floats]:
    """Return Spearman's correlation of two columns of sums as a function of totals; NaN where these lack their rows.

    Args:
        first: Number of a column.
        second: Of the other.
        decimals: Of the first that count, where equal answers differ in their last bits; None: all.
    """

    def measure(totals: Totals) -> Floats:
        drawn = totals.drawn
        if drawn is None:  # whoever sums rows of several ranks, or of cells, must not ask for it
            return np.full(np.shape(totals.rows), np.nan)
        values = drawn.values[..., first]
        return spearman(
            values if decimals is None else values.round(decimals), drawn.values[..., second], drawn.weights
        )

    return measure


def spearman(first: Floats, second: Floats, weights: Floats) -> Floats:
    """Return Spearman's correlation, equal values at their mean rank; 0 where one side does not vary.

    Args:
        first: Shape (…, rows).
        second: The same.
        weights: How often each row counts, whole numbers, the same shape.

    Returns:
        Shape (…).
    """
    shape = weights.shape[:-1]
    flat = [np.broadcast_to(each, weights.shape).reshape(-1, weights.shape[-1]) for each in (first, second, weights)]
    return np.array([_one_spearman(*each) for each in zip(*flat, strict=True)]).reshape(shape)


def _one_spearman(first: Floats, second: Floats, weights: Floats) -> float:
    here = weights > 0
    first, second, weights = first[here], second[here], weights[here]
    if not len(weights):
        return 0.0
    ranks = [mean_ranks(each, weights) for each in (first, second)]
    # The mean rank is the same on both sides; taken out first, products stay small.
    middle = (weights.sum() + 1) / 2
    one, other = (each - middle for each in ranks)
    spread = float((weights * one * one).sum() * (weights * other * other).sum())
    return float((weights * one * other).sum()) / spread**0.5 if spread > 0 else 0.0


def mean_ranks(values: Floats, weights: Floats) -> Floats:
    """Return the rank of each value, from 1, equal ones at their mean; a value of weight k is there k times."""
    order = np.argsort(values, kind="stable")
    ordered, counts = values[order], weights[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    many = np.add.reduceat(counts, starts)
    middle = np.cumsum(many) - many + (many + 1) / 2
    found = np.empty(len(values))
    found[order] = np.repeat(middle, np.diff(np.append(starts, len(values))))
    return found


Similarity = Callable[[Ints], Floats]

BLOCK_CELLS = 2**22
"""Similarities held at once: 16 MiB."""
EQUAL = 1e-6
"""Similarities that differ by no more count as equal, since products of equal vectors differ in their last bits."""


def positive_ranks(similarity: Similarity, anchor: Ints, positive: Ints, candidates: int) -> Ints:
    """Return the rank of each row's positive among all distinct candidates, from 1; ties count against it.

    Other positives of a row's anchor are as right as its own, and stand in nobody's way.

    Args:
        similarity: Anchor numbers, shape (k,) → how near each candidate is to each of them, shape (k, candidates).
        anchor: Number of each row's anchor, shape (rows,), from 0 without gaps.
        positive: Number of its positive among the candidates, shape (rows,).
        candidates: How many there are.
    """
    found = np.zeros(len(anchor), dtype=np.int64)
    order = np.argsort(anchor, kind="stable")
    starts = np.append(np.flatnonzero(np.diff(anchor[order], prepend=-1)), len(order))
    step = max(1, BLOCK_CELLS // max(1, candidates))
    for first in range(0, len(starts) - 1, step):
        last = min(first + step, len(starts) - 1)
        rows = order[starts[first] : starts[last]]
        near = similarity(anchor[order[starts[first:last]]])
        place = anchor[rows] - anchor[rows[0]]
        own = near[place, positive[rows]]
        near[place, positive[rows]] = -np.inf
        found[rows] = 1 + (near[place] >= own[:, None] - EQUAL).sum(axis=1)
    return found
