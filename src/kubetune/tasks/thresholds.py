"""From which probabilities labels are chosen: those that together give the best micro-F1 on rows that are no test rows.

Not the best F1 of each label by itself: for a label that the model cannot tell, that is to give it to every row, which
costs the precision of all (Lipton et al., ECML 2014).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HALF = 0.5
"""Of a label that nothing is known of."""
ROUNDS = 50

Cuts = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""Where a label's rows, by falling probability, can be cut: rows in front, those of them that have it, thresholds."""


def tuned_thresholds(probabilities: NDArray[np.float64], true: NDArray[np.bool_]) -> list[float]:
    """Return the thresholds with the best micro-F1; 0.5 for a label without a row.

    2 hits / (chosen + true) is greatest where for its own value F each label's 2 hits - F chosen is (Dinkelbach,
    Management Science 13, 1967), so that labels are settled one by one, and F in a few rounds.

    Args:
        probabilities: Shape (rows, labels).
        true: Which labels are right, shape (rows, labels).
    """
    there: NDArray[np.bool_] = np.asarray(true.any(axis=0))
    labels = [cuts_of(scores, right) for scores, right in zip(probabilities.T, true.T, strict=True)]
    fixed = int((probabilities[:, ~there] >= HALF).sum()) + int(true.sum())
    f1, places = 0.0, [0] * len(labels)
    for _ in range(ROUNDS):
        places = [_best(cuts, f1) for cuts in labels]
        pairs = [(cuts, place) for cuts, place, known in zip(labels, places, there, strict=True) if known]
        hits, chosen = (sum(int(cuts[column][place]) for cuts, place in pairs) for column in (1, 0))
        found = 2 * hits / max(1, chosen + fixed)
        if found <= f1:
            break
        f1 = found
    return [float(cuts[2][place]) if known else HALF for cuts, place, known in zip(labels, places, there, strict=True)]


def cuts_of(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> Cuts:
    """Return where the rows of one label can be cut; thresholds lie half-way, or at 0.5 where that lies between.

    Args:
        scores: Probabilities, shape (rows,).
        right: Whether a row has the label, shape (rows,).
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    above, below = np.append(1.0, ranked), np.append(ranked, 0.0)
    hits = np.append(0, np.cumsum(right[order]))
    apart = np.flatnonzero(above > below)  # between equal probabilities no threshold can be
    middles = (above + below) / 2
    middles[(below < HALF) & (above >= HALF)] = HALF  # so that nothing is moved for nothing
    return apart, hits[apart], middles[apart]


def _best(cuts: Cuts, f1: float) -> int:
    """Return the number of the cut with the most 2 hits - F chosen; of equal ones that nearest to 0.5."""
    gains = 2.0 * cuts[1] - f1 * cuts[0]
    places = np.flatnonzero(gains >= gains.max() - 1e-9)
    return int(places[np.abs(cuts[2][places] - HALF).argmin()])


def chosen_labels(probabilities: NDArray[np.float64], thresholds: Sequence[float]) -> NDArray[np.bool_]:
    """Return which labels are chosen, shape (rows, labels); without thresholds from 0.5."""
    found: NDArray[np.bool_] = probabilities >= (np.asarray(thresholds) if len(thresholds) else HALF)
    return found
