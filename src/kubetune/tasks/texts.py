"""Raw texts → logits on the way that a served request goes: checked, cleaned, tokenised, run."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from kubetune.tasks.base import Task
from kubetune.tasks.inference import predict_logits
from kubetune.text.gate import TextGate, Unreadable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Item = tuple[str, ...]
BATCH = 64
CHUNK_BATCHES = 32
"""Batches between two calls of `on_chunk`; rows are sorted by length inside such a chunk."""


@dataclass(frozen=True)
class TextModel:
    """A model with everything in front of it.

    Attributes:
        task: What encodes and collates.
        module: On its device.
        tokenizer: Of the model.
        gate: Which texts it is shown, and how they are cleaned.
        max_length: Tokens an item.
        pad_token_id: What to pad with.
    """

    task: Task
    module: torch.nn.Module
    tokenizer: "PreTrainedTokenizerBase"
    gate: TextGate
    max_length: int
    pad_token_id: int
    _read: dict[Item, Item | Unreadable] = field(default_factory=dict, repr=False)

    def answers(self, item: Item) -> bool:
        """Whether a server would answer `item`: each of its texts passes the gate."""
        return not isinstance(self.read(item), Unreadable)

    def logits(self, items: Sequence[Item], on_chunk: Callable[[int], None] = lambda items: None) -> np.ndarray:
        """Return logits (items, classes), float32; items that are equal after cleaning share a row of the batch.

        Args:
            items: Raw texts, all of which it `answers`.
            on_chunk: Called after each chunk with the number of items that it answered; may raise, to stop.

        Raises:
            ValueError: An item is not answered.
        """
        cleaned: list[Item] = []
        for item in items:
            found = self.read(item)
            if isinstance(found, Unreadable):
                raise ValueError(f"an item without an answer ({found.value}): ask `answers` first")
            cleaned.append(found)
        shared = Counter(cleaned)
        distinct = {item: number for number, item in enumerate(dict.fromkeys(cleaned))}
        waiting, parts, size = list(distinct), [], BATCH * CHUNK_BATCHES
        for start in range(0, len(waiting), size):
            chunk = waiting[start : start + size]
            rows = self.task.encode(self.tokenizer, chunk, self.max_length).features
            parts.append(predict_logits(self.module, rows, self.task, self.pad_token_id, BATCH, "fp32"))
            on_chunk(sum(shared[item] for item in chunk))
        if not parts:
            return np.zeros((0, 0), dtype=np.float32)
        rows_of: np.ndarray = np.concatenate(parts)[[distinct[item] for item in cleaned]]
        return rows_of

    def read(self, item: Item) -> Item | Unreadable:
        """Return the cleaned texts of `item`, or why it has no answer; each item is cleaned once."""
        if item not in self._read:
            self._read[item] = self.gate.read_item(item)
        return self._read[item]
