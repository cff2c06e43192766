"""What costs nothing and must be beaten: always the commonest labels, and tf-idf words with a regression a label."""

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from kubetune.metrics.base import Baseline, Floats
from kubetune.metrics.multi_label import MultiLabelStatistics, label_marks
from kubetune.tasks.baselines.classes import FIT_ROWS, ITERATIONS, REGULARISATION, word_weights
from kubetune.tasks.thresholds import chosen_labels, tuned_thresholds

Marks = NDArray[np.bool_]
HELD_OUT = 5
"""One in so many fitted rows is kept for the thresholds."""


def baselines(train: pa.Table, test: pa.Table, texts: Sequence[str], names: tuple[str, ...]) -> list[Baseline]:
    """Return the most frequent label set and tf-idf, measured on the test rows.

    Args:
        train: Columns of cleaned texts and `label`, numbers of labels.
        test: The same of the test rows.
        texts: Names of the columns of texts.
        names: Label names by number.
    """
    given, true = (label_marks(part["label"].to_pylist(), len(names)) for part in (train, test))
    chosen = np.linspace(0, len(given) - 1, min(len(given), FIT_ROWS)).astype(np.int64)
    fitted, scored = ([part[name].to_pylist() for name in texts] for part in (train.take(pa.array(chosen)), test))
    return [frequent(given, true, names), tfidf_labels(fitted, given[chosen], scored, true, names)]


def frequent(given: Marks, true: Marks, names: tuple[str, ...]) -> Baseline:
    """Answer the commonest set of train labels always, with the train shares as probabilities.

    Args:
        given: Labels of the train rows, shape (train rows, labels).
        true: Labels of the test rows, shape (rows, labels).
        names: Label names by number.
    """
    sets = Counter(map(tuple, given.tolist()))
    most = max(sets, key=lambda each: (sets[each], each))
    shown = ", ".join(name for name, there in zip(names, most, strict=True) if there) or "no label"
    description = f"Always answers “{shown}”, the labels of {sets[most] / len(given):.1%} of the train rows."
    shares = np.broadcast_to(given.mean(axis=0), true.shape)
    outcomes = MultiLabelStatistics(names).outcomes(
        true, np.broadcast_to(np.array(most), true.shape), _loss(shares, true)
    )
    return Baseline("frequent", "the most frequent label set", "Frequent labels", description, outcomes)


def tfidf_labels(
    train_texts: Sequence[Sequence[str]],
    given: Marks,
    texts: Sequence[Sequence[str]],
    true: Marks,
    names: tuple[str, ...],
) -> Baseline:
    """Fit word 1- and 2-grams, tf-idf weighted, with a logistic regression a label, and score the test rows.

    Its thresholds are tuned like the model's, on a fifth of the rows that a first fit has not seen; the second fit has
    all of them.

    Args:
        train_texts: One sequence a text column, each of train rows' cleaned texts.
        given: Labels of those rows, shape (train rows, labels).
        texts: The same columns of the test rows.
        true: Their labels, shape (rows, labels).
        names: Label names by number.
    """
    rows = len(given)
    weighed = word_weights(train_texts, texts)
    if weighed is None:
        scores, thresholds = np.broadcast_to(given.mean(axis=0), true.shape), []
        description = f"No train text has a word, so it knows the shares of labels only; fitted on {rows:,} rows."
    else:
        held = np.arange(rows) % HELD_OUT == HELD_OUT - 1
        first = _fit(weighed.train[~held], given[~held], weighed.train[held])
        thresholds = tuned_thresholds(first, given[held]) if held.any() else []
        scores = _fit(weighed.train, given, weighed.rows)
        description = (
            f"A logistic regression a label (C={REGULARISATION:g}) on tf-idf weights of {weighed.features}, fitted on "
            f"{rows:,} train rows; thresholds tuned on a fifth of them that a first fit had not seen."
        )
    outcomes = MultiLabelStatistics(names).outcomes(true, chosen_labels(scores, thresholds), _loss(scores, true))
    return Baseline("tfidf", "tf-idf", "tf-idf", description, outcomes)


def _fit(train: "object", given: Marks, rows: "object") -> Floats:
    """Return probabilities (rows, labels), float64; a label that all or no train rows have gets that share."""
    found = np.zeros((rows.shape[0], given.shape[1]))  # type: ignore[attr-defined]
    with threadpool_limits(limits=1), warnings.catch_warnings():  # one thread: the same bits on every machine size
        warnings.simplefilter("ignore", ConvergenceWarning)
        for label, there in enumerate(given.T):
            if there.all() or not there.any():
                found[:, label] = float(there.all())
            elif len(found):
                model = LogisticRegression(C=REGULARISATION, max_iter=ITERATIONS).fit(train, there)
                found[:, label] = model.predict_proba(rows)[:, 1]
    return found


def _loss(scores: Floats, true: Marks) -> Floats:
    """Return the mean binary cross-entropy of each row, capped at 36 nats a label."""
    right = np.maximum(np.where(true, scores, 1 - scores), np.finfo(np.float64).eps)
    loss: Floats = -np.log(right).mean(axis=1)
    return loss
