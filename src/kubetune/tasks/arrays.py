"""Rows of any lengths as tensors, and logits as probabilities; what several tasks share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kubetune.tasks.base import Feature

if TYPE_CHECKING:
    import torch

READ = ("input_ids", "token_type_ids")
"""Columns of a feature that a model reads."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (rows, classes), float32, of logits of the same shape."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares.astype(np.float32)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float32, of logits of any shape."""
    with np.errstate(over="ignore"):
        shares: np.ndarray = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return shares.astype(np.float32)


def collate(rows: Sequence[Feature], pad_token_id: int, pad_to: int | None = None) -> "dict[str, torch.Tensor]":
    """Pad rows to the longest (or to `pad_to`) on the right; see `Task.collate`."""
    import torch

    length = pad_to or max(len(row["input_ids"]) for row in rows)
    names = [name for name in READ if any(name in row for row in rows)]
    found = {
        name: np.full((len(rows), length), pad_token_id if name == "input_ids" else 0, dtype=np.int64)
        for name in (*names, "attention_mask")
    }
    for number, row in enumerate(rows):
        size = len(row["input_ids"])
        found["attention_mask"][number, :size] = 1
        for name in names:
            if name in row:
                found[name][number, :size] = row[name]
    return {name: torch.from_numpy(values) for name, values in found.items()}


def padded(rows: Sequence[Feature], column: str, fill: int, length: int) -> "torch.Tensor":
    """Return a column that has a number a token, filled up to `length` on the right, (rows, length) int64."""
    import torch

    found = np.full((len(rows), length), fill, dtype=np.int64)
    for number, row in enumerate(rows):
        found[number, : len(row[column])] = row[column]
    return torch.from_numpy(found)
