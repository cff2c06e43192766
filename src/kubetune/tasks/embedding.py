"""What tasks share that answer a text with its vector and learn from rows of two texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.tasks.base import Encoding, Feature, ModelSpec, OutputHead
from kubetune.tasks.common import CommonTask
from kubetune.tasks.sides import SIDES, Vectors, collate_sides, encode_sides, vectors_of

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from transformers import PreTrainedTokenizerBase


class EmbeddingTask(CommonTask):
    """Implements a part of `Task`: a row has two texts, an item that is served has one, and each has its vector.

    A row is one feature of both texts, see `sides`, so that a loss sees them together.
    """

    columns: tuple[str, ...] = ("text", "text_pair")
    together: bool = True
    class_columns: tuple[str, ...] = ()
    text_columns: tuple[str, ...] = ("text", "text_pair")

    @property
    def served(self) -> tuple[str, ...]:
        """See `Task.served`: a request has one text."""
        return self.columns[:1]

    @property
    def target_columns(self) -> tuple[str, ...]:
        """See `Task.target_columns`."""
        return (SIDES,)

    def encode(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        items: Sequence[tuple[str, ...]],
        max_length: int,
        targets: Sequence[Any] | None = None,
    ) -> Encoding:
        """See `Task.encode`; each text has `max_length` tokens of its own."""
        del targets
        return encode_sides(tokenizer, items, max_length)

    def collate(
        self, rows: Sequence[Feature], pad_token_id: int, pad_to: int | None = None
    ) -> "dict[str, torch.Tensor]":
        """See `Task.collate`; shapes are (rows, texts, length)."""
        return collate_sides(rows, pad_token_id, pad_to)

    def head(self, labels: Sequence[str]) -> OutputHead:
        """See `Task.head`: none; the vectors are the encoder's own."""
        del labels
        return OutputHead((), per_token=False, stock="feature-extraction")

    def build_model(self, spec: ModelSpec, folder: Path, *, pretrained: bool) -> "torch.nn.Module":
        """See `Task.build_model`; outputs are (rows, texts * width), the vectors of a row one after the other."""
        return super().build_model(spec, folder, pretrained=pretrained)

    def predictions(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        items: Sequence[tuple[str, ...]],
        labels: Sequence[str],
    ) -> list[Vectors]:
        """See `Task.predictions`."""
        del labels
        return vectors_of(outputs, encoding.features, items)

    def outcome_losses(self, answers: "pa.Table") -> list[np.ndarray | None]:
        """Return the losses of rows and how many they are, where answers tell."""
        return [answers[name].to_numpy() if name in answers.column_names else None for name in ("loss", "terms")]
