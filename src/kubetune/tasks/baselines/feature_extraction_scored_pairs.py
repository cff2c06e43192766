"""Baselines of `feature-extraction-scored-pairs`: words in common, plainly and by how rare they are."""

from typing import TYPE_CHECKING

import numpy as np

from kubetune.metrics.base import Baseline
from kubetune.metrics.vectors import similarity_outcomes
from kubetune.tasks.baselines.words import TITLES, word_vectors

if TYPE_CHECKING:
    import pyarrow as pa


def baselines(train: "pa.Table", test: "pa.Table", columns: tuple[str, ...], labels: tuple[str, ...]) -> list[Baseline]:
    """Return how each compares the two texts of a row; see `Task.baselines`."""
    del labels
    first, second = ([str(text) for text in test[name].to_pylist()] for name in columns)
    scores = test["label"].to_numpy().astype(np.float64)
    known = [str(text) for name in columns for text in train[name].to_pylist()]
    found = []
    for name, (title, heading, description) in TITLES.items():
        vectors = word_vectors(name, known)
        cosines = vectors(first).pairwise(vectors(second))
        found.append(Baseline(name, title, heading, description, similarity_outcomes(cosines, scores)))
    return found
