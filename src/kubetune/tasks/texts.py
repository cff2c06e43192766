"""Raw texts → predictions on the way that a served request goes: checked, cleaned, tokenised, run."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kubetune.errors import DataError
from kubetune.tasks.base import Encoding, Task
from kubetune.tasks.inference import predict_outputs
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

    def predictions(
        self, items: Sequence[Item], labels: Sequence[str], on_chunk: Callable[[int], None] = lambda items: None
    ) -> list[Any]:
        """Return a prediction an item, in fp32; items that are equal after cleaning share a row of the batch.

        Args:
            items: Raw texts, all of which it `answers`.
            labels: Class names by class number.
            on_chunk: Called after each chunk with the number of items that it answered; may raise, to stop.

        Raises:
            ValueError: An item is not answered.
            DataError: The model gives numbers that are not finite.
        """
        cleaned = self._cleaned(items)
        shared = Counter(cleaned)
        waiting, size, broken = list(shared), BATCH * CHUNK_BATCHES, 0
        found: dict[Item, Any] = {}
        for start in range(0, len(waiting), size):
            chunk = waiting[start : start + size]
            outputs, encoding = self._outputs(chunk)
            numbers = {encoding.example[row] for row, output in enumerate(outputs) if not np.isfinite(output).all()}
            broken += sum(shared[chunk[number]] for number in numbers)
            if not broken:
                found |= zip(chunk, self.task.predictions(outputs, encoding, chunk, labels), strict=True)
            on_chunk(sum(shared[item] for item in chunk))
        if broken:
            raise DataError(
                "finite-logits", f"The model gives numbers that are not finite for {broken:,} texts: train it again."
            )
        return [found[item] for item in cleaned]

    def margins(self, items: Sequence[Item]) -> list[float]:
        """Return by how much probability each answer is away from another one, see `AnswerForm.margins`.

        Args:
            items: Raw texts, all of which it `answers`; few of them.
        """
        return self.task.form.margins(*self.outputs(items))

    def outputs(self, items: Sequence[Item]) -> tuple[list[np.ndarray], Encoding]:
        """Return what the model gives, and what it read, of raw texts that it `answers`; see `predict_outputs`.

        Raises:
            ValueError: An item is not answered.
        """
        return self._outputs(self._cleaned(items))

    def _outputs(self, items: Sequence[Item]) -> tuple[list[np.ndarray], Encoding]:
        encoding = self.task.encode(self.tokenizer, items, self.max_length)
        return predict_outputs(self.module, encoding.features, self.task, self.pad_token_id, BATCH, "fp32"), encoding

    def _cleaned(self, items: Sequence[Item]) -> list[Item]:
        cleaned: list[Item] = []
        for item in items:
            found = self.read(item)
            if isinstance(found, Unreadable):
                raise ValueError(f"an item without an answer ({found.value}): ask `answers` first")
            cleaned.append(found)
        return cleaned

    def read(self, item: Item) -> Item | Unreadable:
        """Return the cleaned texts of `item`, or why it has no answer; each item is cleaned once."""
        if item not in self._read:
            self._read[item] = self.gate.read_item(item)
        return self._read[item]
