"""What costs nothing and must be beaten: always the mean, and tf-idf words with a ridge regression."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from kubetune.metrics.base import Baseline, Floats
from kubetune.metrics.scores import score_outcomes
from kubetune.tasks.baselines.classes import FIT_ROWS, word_weights

PENALTY = 1.0
"""Strength alpha, scikit-learn's default."""


def baselines(train: pa.Table, test: pa.Table, texts: Sequence[str], names: tuple[str, ...]) -> list[Baseline]:
    """Return the mean and tf-idf, measured on the test rows.

    Args:
        train: Columns of cleaned texts and `label`, scores.
        test: The same of the test rows.
        texts: Names of the columns of texts.
        names: None.
    """
    del names
    given, true = (part["label"].to_numpy().astype(np.float64) for part in (train, test))
    bounds = (float(given.min()), float(given.max()))
    mean = Baseline(
        "mean",
        "the mean",
        "Mean",
        f"Always answers {given.mean():.4g}, the mean of the train rows' scores; its correlations are undefined and "
        "read 0.",
        score_outcomes(true, np.full(len(true), given.mean()), bounds),
    )
    chosen = np.linspace(0, len(given) - 1, min(len(given), FIT_ROWS)).astype(np.int64)
    fitted, scored = ([part[name].to_pylist() for name in texts] for part in (train.take(pa.array(chosen)), test))
    answers, description = _ridge(fitted, given[chosen], scored, len(true))
    return [mean, Baseline("ridge", "tf-idf", "tf-idf", description, score_outcomes(true, answers, bounds))]


def _ridge(
    train_texts: Sequence[Sequence[str]], given: Floats, texts: Sequence[Sequence[str]], rows: int
) -> tuple[Floats, str]:
    weighed = word_weights(train_texts, texts)
    if weighed is None:
        return np.full(rows, given.mean()), f"No train text has a word: it answers the mean of {len(given):,} rows."
    with threadpool_limits(limits=1):  # one thread: the same bits on every machine size
        model = Ridge(alpha=PENALTY, solver="sparse_cg").fit(weighed.train, given)
        answers: Floats = model.predict(weighed.rows).astype(np.float64)
    return answers, (
        f"Ridge regression (alpha={PENALTY:g}) on tf-idf weights of {weighed.features}, fitted on {len(given):,} train "
        "rows."
    )
