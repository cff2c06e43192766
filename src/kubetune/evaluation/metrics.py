"""Classification metrics of one system on a fixed set of rows.

Zero division: a class that has rows but is never predicted has precision 0 and F1 0; a class that is predicted but
has no row has recall 0 and F1 0; a class with neither is left out of the averages (its own numbers read 0, support
0). MCC is 0 where labels or predictions are constant. All of this is what scikit-learn does by default.

scikit-learn is imported where it is asked: to load it takes longer than most of what stands here takes to run.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.evaluation.counts import LABEL_METRICS, Floats, Ints

METRICS = (*LABEL_METRICS, "ece", "loss")
"""All metrics, in the order in which a person reads them."""
BINS = 15
"""Equal-width confidence bins of the calibration error (Guo et al., ICML 2017)."""


@dataclass(frozen=True)
class Scores:
    """What one system answered, row by row; every array has shape (rows,).

    Attributes:
        predictions: Class numbers.
        confidence: Probability of the predicted class.
        losses: Cross entropy in nats.
    """

    predictions: Ints
    confidence: Floats
    losses: Floats

    @classmethod
    def from_probabilities(cls, probabilities: Floats, labels: Ints) -> "Scores":
        """Score (rows, classes) probabilities; the loss of an impossible label is capped at -ln(2^-52) = 36 nats."""
        exact = np.asarray(probabilities, dtype=np.float64)
        predictions = exact.argmax(axis=1).astype(np.int64)
        rows = np.arange(len(exact))
        floor = np.finfo(np.float64).eps
        return cls(predictions, exact[rows, predictions], -np.log(np.maximum(exact[rows, labels], floor)))


def calibration_bins(confidence: Floats) -> Ints:
    """Return the bin of each confidence, shape (rows,): bin b holds (b / 15, (b + 1) / 15]."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def calibration_error(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Return the expected calibration error: the row-weighted mean over bins of |accuracy - mean confidence|."""
    gaps = np.bincount(calibration_bins(confidence), weights=confidence - correct, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def calibration_table(
    confidence: Floats, correct: NDArray[np.bool_], texts: Ints | None = None
) -> list[dict[str, Any]]:
    """Return the non-empty bins as `{"from", "to", "rows", "texts", "confidence", "accuracy"}`, least confident first.

    Args:
        confidence: Probability of the predicted class, shape (rows,).
        correct: Whether it is the true one, shape (rows,).
        texts: Number of each row's text, shape (rows,); None: each row has its own.
    """
    bins = calibration_bins(confidence)
    return [
        {
            "from": number / BINS,
            "to": (number + 1) / BINS,
            "rows": int(inside.sum()),
            "texts": int(inside.sum() if texts is None else len(np.unique(texts[inside]))),
            "confidence": float(confidence[inside].mean()),
            "accuracy": float(correct[inside].mean()),
        }
        for number in range(BINS)
        if (inside := bins == number).any()
    ]


def confusion(labels: Ints, predictions: Ints, classes: int) -> Ints:
    """Return counts of shape (classes, classes): rows are true classes, columns predicted ones."""
    from sklearn.metrics import confusion_matrix

    counts: Ints = confusion_matrix(labels, predictions, labels=np.arange(classes)).astype(np.int64)
    return counts


def measure(labels: Ints, scores: Scores) -> dict[str, float]:
    """Return every name of `METRICS` for one system.

    Args:
        labels: True class numbers, shape (rows,), at least one row.
        scores: The system's answers on the same rows.
    """
    from sklearn.metrics import accuracy_score, matthews_corrcoef, precision_recall_fscore_support

    averages = {
        average: precision_recall_fscore_support(labels, scores.predictions, average=average, zero_division=0)[2]
        for average in ("macro", "weighted")
    }
    return {
        "accuracy": float(accuracy_score(labels, scores.predictions)),
        "macro_f1": float(averages["macro"]),
        "weighted_f1": float(averages["weighted"]),
        "mcc": float(matthews_corrcoef(labels, scores.predictions)),
        "ece": calibration_error(scores.confidence, labels == scores.predictions),
        "loss": float(scores.losses.mean()),
    }


def per_class(labels: Ints, predictions: Ints, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return `{"label", "precision", "recall", "f1", "support", "predicted"}` a class, in class order."""
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predictions, labels=np.arange(len(names)), zero_division=0
    )
    predicted = np.bincount(predictions, minlength=len(names))
    return [
        {
            "label": name,
            "precision": float(precision[number]),
            "recall": float(recall[number]),
            "f1": float(f1[number]),
            "support": int(support[number]),
            "predicted": int(predicted[number]),
        }
        for number, name in enumerate(names)
    ]
