"""Baselines of `fill-mask`: how often each token is in train, whatever stands around it."""

from typing import TYPE_CHECKING

import numpy as np

from kubetune.metrics.base import Baseline
from kubetune.metrics.masks import mask_outcomes
from kubetune.tasks.masking import NEVER, SHOWN

if TYPE_CHECKING:
    import pyarrow as pa


def baselines(train: "pa.Table", test: "pa.Table", columns: tuple[str, ...], labels: tuple[str, ...]) -> list[Baseline]:
    """Return what the unigram distribution makes of the masked tokens; see `Task.baselines`.

    Args:
        train: Has `input_ids` and `SHOWN` beside the texts.
        test: The same.
        columns: Not read.
        labels: Names of all tokens, by id.
    """
    del columns
    known, masked = _flat(train), _flat(test)
    words = known[0][known[1] != NEVER]
    size = max(len(labels), 1 + max((int(ids.max()) for ids in (words, masked[0]) if len(ids)), default=0))
    counts = 1 + np.bincount(words, minlength=size)  # Laplace: a token that train has not is possible
    shares = counts / counts.sum()
    rank = counts[:, None] <= np.sort(counts)[::-1][None, :6]  # of the first six alone: more is not asked
    ranks = np.where(rank.all(axis=1), 6, rank.sum(axis=1))
    here = masked[1] >= 0
    row, truth = masked[2][here], masked[0][here]
    masks, first, five = (
        np.bincount(row[chosen], minlength=test.num_rows)
        for chosen in (truth >= 0, ranks[truth] <= 1, ranks[truth] <= 5)
    )
    losses = np.bincount(row, weights=-np.log(shares[truth]), minlength=test.num_rows).astype(np.float64)
    description = (
        f"Guesses by how often each of {size:,} tokens is among the {len(words):,} of train, once more each (Laplace)."
    )
    outcomes = mask_outcomes(masks, first, five, losses)
    return [Baseline("unigram", "token frequencies", "Frequencies", description, outcomes)]


def _flat(table: "pa.Table") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids, `SHOWN` and the row of all tokens, shape (tokens,) each."""
    import pyarrow.compute as pc

    ids, shown = (pc.list_flatten(table[name]).to_numpy().astype(np.int64) for name in ("input_ids", SHOWN))
    sizes = pc.list_value_length(table["input_ids"]).to_numpy()
    return ids, shown, np.repeat(np.arange(table.num_rows), sizes)
