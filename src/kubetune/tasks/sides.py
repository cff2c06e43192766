"""Rows of several texts that a model reads one by one: their tokens side by side in one feature, their vectors too."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.tasks.arrays import READ, collate
from kubetune.tasks.base import Encoding, Feature
from kubetune.tasks.encoding import tokenize

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

SIDES = "sides"
"""Column of a feature: the number of the text that each token is of, from 0; absent: all are of the first."""


class Vectors:
    """The vectors of the texts of one item, which compare as values.

    Attributes:
        texts: What was read.
        values: Shape (texts, width), float32.
    """

    __slots__ = ("texts", "values")

    def __init__(self, texts: tuple[str, ...], values: np.ndarray) -> None:
        self.texts, self.values = texts, values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vectors) and self.texts == other.texts and np.array_equal(self.values, other.values)

    __hash__ = None  # type: ignore[assignment]

    @property
    def cosine(self) -> float:
        """Of the first two; 0 where one has no length."""
        return float(unit(self.values[0].astype(np.float64)) @ unit(self.values[1].astype(np.float64)))


def encode_sides(tokenizer: "PreTrainedTokenizerBase", items: Sequence[tuple[str, ...]], max_length: int) -> Encoding:
    """Tokenise every text for itself, at most `max_length` tokens each; an item is one feature of all its texts.

    Raises:
        ConfigError: The tokenizer has no `tokenizer.json`.
    """
    if not items:
        return Encoding([], [], [])
    alone = [(text,) for item in items for text in item]
    batch = tokenize(tokenizer, alone, max_length)
    names = [name for name in READ if name in batch]
    features: list[Feature] = []
    truncated, first = [], 0
    for item in items:
        here = range(first, first + len(item))
        feature: dict[str, list[int]] = {
            name: [number for row in here for number in batch[name][row]] for name in names
        }
        feature[SIDES] = [side for side, row in enumerate(here) for _ in batch["input_ids"][row]]
        features.append(feature)
        truncated.append(any(bool(batch.encodings[row].overflowing) for row in here))
        first += len(item)
    return Encoding(features, list(range(len(items))), truncated)


def parted(row: Feature) -> list[Feature]:
    """Return what a model reads of each text of a row."""
    names = [name for name in READ if name in row]
    sides = np.asarray(row[SIDES]) if SIDES in row else np.zeros(len(row["input_ids"]), dtype=np.int64)
    cuts = [0, *(np.flatnonzero(np.diff(sides)) + 1).tolist(), len(sides)]
    return [{name: row[name][start:end] for name in names} for start, end in pairwise(cuts)]


def collate_sides(rows: Sequence[Feature], pad_token_id: int, pad_to: int | None = None) -> "dict[str, torch.Tensor]":
    """Pad the texts of rows to the longest of all (or to `pad_to`) on the right.

    Returns:
        As of `Task.collate`, of shape (rows, texts, length).
    """
    parts = [parted(row) for row in rows]
    flat = collate([text for texts in parts for text in texts], pad_token_id, pad_to)
    return {name: tensor.reshape(len(rows), len(parts[0]), -1) for name, tensor in flat.items()}


def vectors_of(
    outputs: Sequence[np.ndarray], features: Sequence[Feature], items: Sequence[tuple[str, ...]]
) -> list[Vectors]:
    """Return the vectors of each item of what the model gave for it, one text after the other.

    Args:
        outputs: Of each feature, shape (texts * width,).
        features: One an item; it may have further texts behind the item's own, as hard negatives are.
        items: Their texts.
    """
    return [
        Vectors(item, output.reshape(1 + max(feature.get(SIDES, (0,))), -1)[: len(item)])
        for output, feature, item in zip(outputs, features, items, strict=True)
    ]


def unit(values: Any) -> Any:
    """Return vectors, shape (…, width), of length 1; one of length 0 stays."""
    lengths = np.sqrt((values * values).sum(axis=-1, keepdims=True))
    return values / np.where(lengths > 0, lengths, 1.0)
