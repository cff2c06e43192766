"""Answers of one class a row as columns, and what they come to."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.metrics.base import Ints, Outcomes
from kubetune.metrics.classes import ClassStatistics, Scores

if TYPE_CHECKING:
    import pyarrow as pa


def outcomes(targets: "pa.ChunkedArray", answers: "pa.Table", labels: tuple[str, ...]) -> Outcomes:
    """See `Task.outcomes`; losses that are not known read 0.

    Raises:
        DataError: A class number is none of `labels`.
    """
    predictions = answers["prediction"].to_numpy().astype(np.int64)
    confidence = answers["confidence"].to_numpy().astype(np.float64)
    known = "loss" in answers.column_names
    losses = answers["loss"].to_numpy().astype(np.float64) if known else np.zeros(len(predictions))
    scores = Scores(predictions, confidence, losses)
    return ClassStatistics(labels).outcomes(targets.to_numpy().astype(np.int64), scores)


def renumbered(answers: "pa.Table", numbers: Ints) -> "pa.Table":
    """See `Task.renumbered`."""
    import pyarrow as pa

    place = answers.column_names.index("prediction")
    return answers.set_column(place, "prediction", pa.array(numbers[answers["prediction"].to_numpy()]))


def in_words(row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """See `Task.describe`."""
    return {
        "label": labels[row["label"]],
        "prediction": labels[row["prediction"]],
        "confidence": row["confidence"],
        "given": row["probabilities"][row["label"]],
    }
