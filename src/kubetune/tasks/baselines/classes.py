"""What costs nothing and must be beaten: always the commonest class, and tf-idf words with a logistic regression."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix, hstack
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from kubetune.errors import DataError
from kubetune.metrics.base import Baseline, Ints
from kubetune.metrics.classes import ClassStatistics, Scores

FIT_ROWS = 50_000
"""Most train rows that the tf-idf baseline is fitted on."""
FEATURES = 20_000
"""Most words and word pairs it weighs; measured on 16,000 tweets, 50,000 gained nothing and cost twice the time."""
WORD = r"(?u)\b\w+\b"
"""Words of one letter count: in short texts `i` and `u` say much."""
ITERATIONS = 100
REGULARISATION = 10.0
"""Inverse strength C: measured on the same rows, 1 loses 4 points of accuracy and 30 gains 0.4."""


def baselines(train: pa.Table, test: pa.Table, texts: Sequence[str], names: tuple[str, ...]) -> list[Baseline]:
    """Return the majority class and tf-idf, measured on the test rows.

    Args:
        train: Columns of cleaned texts and `label`, class numbers.
        test: The same of the test rows.
        texts: Names of the columns of texts.
        names: Class names by number.

    Raises:
        DataError: Train has one class only.
    """
    train_labels, labels = (part["label"].to_numpy().astype(np.int64) for part in (train, test))
    chosen = sample_rows(train_labels)
    fitted, scored = ([part[name].to_pylist() for name in texts] for part in (train.take(pa.array(chosen)), test))
    return [
        majority(train_labels, labels, names),
        tfidf(fitted, train_labels[chosen], scored, labels, names, len(train_labels)),
    ]


def majority(train_labels: Ints, labels: Ints, names: tuple[str, ...]) -> Baseline:
    """Answer the commonest train class always, with the train shares as probabilities.

    Args:
        train_labels: Class numbers of train, shape (train rows,).
        labels: True class numbers of the test rows, shape (rows,).
        names: Class names by number.
    """
    shares = np.bincount(train_labels, minlength=len(names)) / len(train_labels)
    top = int(shares.argmax())
    probabilities = np.broadcast_to(shares, (len(labels), len(names)))
    description = f"Always answers “{names[top]}”, {shares[top]:.1%} of the train rows."
    outcomes = ClassStatistics(names).outcomes(labels, Scores.from_probabilities(probabilities, labels))
    return Baseline("majority", "the majority class", "Majority class", description, outcomes)


def tfidf(
    train_texts: Sequence[Sequence[str]],
    train_labels: Ints,
    texts: Sequence[Sequence[str]],
    labels: Ints,
    names: tuple[str, ...],
    train_rows: int | None = None,
) -> Baseline:
    """Fit word 1- and 2-grams, tf-idf weighted, with a logistic regression on train and score the test rows.

    Args:
        train_texts: One sequence a text column (two for pairs), each of train rows' cleaned texts; at most the rows
            that `sample_rows` chooses.
        train_labels: Class numbers of those rows, shape (train rows,).
        texts: The same columns of the test rows.
        labels: True class numbers of the test rows, shape (rows,).
        names: Class names by number.
        train_rows: Rows of the whole train split, for the description; None: as many as are given.

    Raises:
        DataError: Train has one class only, so there is nothing to tell apart.
    """
    if len(np.unique(train_labels)) < 2:
        raise DataError("one-class", "The train rows have one class only: a classifier needs at least two.")
    classes = len(names)
    weighed = word_weights(train_texts, texts)
    bounds = f"fitted on {len(train_labels):,} of {train_rows or len(train_labels):,} train rows"
    if weighed is None:
        prior = np.bincount(train_labels, minlength=classes) / len(train_labels)
        probabilities = np.broadcast_to(prior, (len(labels), classes))
        description = f"No train text has a word, so it knows the class shares only; {bounds}."
    else:
        probabilities, iterations = _fit(weighed.train, train_labels, weighed.rows, classes)
        description = (
            f"Logistic regression (C={REGULARISATION:g}) on tf-idf weights of {weighed.features}, {bounds}, "
            f"{iterations} iterations{' (the cap)' if iterations >= ITERATIONS else ''}."
        )
    outcomes = ClassStatistics(names).outcomes(labels, Scores.from_probabilities(probabilities, labels))
    return Baseline("tfidf", "tf-idf", "tf-idf", description, outcomes)


class Weighed(NamedTuple):
    """Texts as tf-idf weights of words and word pairs.

    Attributes:
        train: Of the train rows.
        rows: Of the others.
        features: What was weighed, for a sentence.
    """

    train: csr_matrix
    rows: csr_matrix
    features: str


def word_weights(train_texts: Sequence[Sequence[str]], texts: Sequence[Sequence[str]]) -> Weighed | None:
    """Return texts as weights; None where no train text has a word.

    Args:
        train_texts: One sequence a text column, each of train rows' cleaned texts.
        texts: The same columns of other rows.
    """
    fitted, scored, capped = [], [], False
    for train_column, column in zip(train_texts, texts, strict=True):
        most = FEATURES // len(train_texts)
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), max_features=most, sublinear_tf=True, token_pattern=WORD)
        try:
            fitted.append(vectorizer.fit_transform(train_column))
        except ValueError:  # "empty vocabulary": a column without a single word, say emoji alone
            continue
        scored.append(vectorizer.transform(column))
        capped |= len(vectorizer.vocabulary_) == most
    if not fitted:
        return None
    features = f"{sum(matrix.shape[1] for matrix in fitted):,} words and word pairs"
    if capped:
        features += " (the commonest; capped)"
    return Weighed(hstack(fitted).tocsr(), hstack(scored).tocsr(), features)


def sample_rows(labels: Ints, most: int = FIT_ROWS) -> Ints:
    """Return at most `most` row numbers, ascending, evenly spaced over the rows sorted by class."""
    if len(labels) <= most:
        return np.arange(len(labels))
    by_class = np.argsort(labels, kind="stable")
    return np.sort(by_class[np.linspace(0, len(labels) - 1, most).astype(np.int64)])


def _fit(train: csr_matrix, train_labels: Ints, rows: csr_matrix, classes: int) -> tuple[np.ndarray, int]:
    """Return probabilities (rows, classes), float64, and the iterations used; unseen classes get 0."""
    model = LogisticRegression(C=REGULARISATION, max_iter=ITERATIONS)
    with threadpool_limits(limits=1), warnings.catch_warnings():  # one thread: the same bits on every machine size
        warnings.simplefilter("ignore", ConvergenceWarning)  # the cap is meant and stated in the report
        model.fit(train, train_labels)
        known = model.predict_proba(rows)
    probabilities = np.zeros((rows.shape[0], classes))
    probabilities[:, model.classes_] = known
    return probabilities, int(np.max(model.n_iter_))
