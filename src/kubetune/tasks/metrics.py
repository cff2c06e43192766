"""Metrics of single-label classification, from the confusion matrix alone."""

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (rows, classes), float32, of logits of the same shape."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares.astype(np.float32)


def confusion_counts(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes): true class by row, predicted class by column."""
    return np.bincount(labels.astype(np.int64) * classes + predictions, minlength=classes**2).reshape(classes, classes)


def classification_metrics(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return accuracy, macro_f1, weighted_f1, mcc and loss (mean cross-entropy, nats).

    F1 is averaged over the classes that occur in labels or predictions, a class without either a hit or a
    prediction counting 0. MCC is Gorodkin's for many classes, 0 where it is undefined.

    Args:
        labels: (rows,) class numbers.
        logits: (rows, classes).
    """
    counts = confusion_counts(labels, logits.argmax(axis=1), logits.shape[1]).astype(np.float64)
    true, predicted, hits = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    rows = counts.sum()
    support = true + predicted
    f1 = np.divide(2 * hits, support, out=np.zeros_like(hits), where=support > 0)
    covariance = hits.sum() * rows - true @ predicted
    spread = np.sqrt((rows**2 - predicted @ predicted) * (rows**2 - true @ true))
    wide = logits.astype(np.float64)
    top = wide.max(axis=1)
    normaliser = top + np.log(np.exp(wide - top[:, None]).sum(axis=1))
    return {
        "accuracy": float(hits.sum() / rows),
        "macro_f1": float(f1[support > 0].mean()),
        "weighted_f1": float((f1 * true).sum() / rows),
        "mcc": float(covariance / spread) if spread > 0 else 0.0,
        "loss": float((normaliser - wide[np.arange(len(labels)), labels]).mean()),
    }
