"""Baselines of `feature-extraction`: words in common, plainly and by how rare they are."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from kubetune.metrics.base import Baseline
from kubetune.metrics.ranks import positive_ranks
from kubetune.metrics.vectors import retrieval_outcomes
from kubetune.tasks.baselines.words import TITLES, word_vectors

if TYPE_CHECKING:
    import pyarrow as pa


def baselines(train: "pa.Table", test: "pa.Table", columns: tuple[str, ...], labels: tuple[str, ...]) -> list[Baseline]:
    """Return how each finds the positive of an anchor; see `Task.baselines`."""
    del labels
    sides = [np.unique(np.array(test[name].to_pylist(), dtype=object), return_inverse=True) for name in columns]
    texts = [[str(text) for text in found] for found, _ in sides]
    anchor, positive = (number.reshape(-1).astype(np.int64) for _, number in sides)
    known = [str(text) for name in columns for text in train[name].to_pylist()]
    found = []
    for name, (title, heading, description) in TITLES.items():
        vectors = word_vectors(name, known)
        near = partial(vectors(texts[0]).near, vectors(texts[1]))
        ranks = positive_ranks(near, anchor, positive, len(texts[1]))
        found.append(Baseline(name, title, heading, description, retrieval_outcomes(ranks)))
    return found
