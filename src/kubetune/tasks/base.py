"""What a task is. Preparation, training, evaluation and serving know tasks only through this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedTokenizerBase

Encoded = Mapping[str, list[int]]
"""One tokenised item: `input_ids` and, where the tokenizer makes them, `token_type_ids`; no padding, no mask."""


@dataclass(frozen=True)
class ModelSpec:
    """All it takes to build the module again, with or without pretrained weights. Stored as `kubetune.json`.

    Attributes:
        task: Task kind.
        labels: Class names by class number.
        architecture: `stock` (`AutoModelForSequenceClassification`), `own` (encoder + our head) or `bilstm`.
        head: Values of recipe section `model.head`.
        encoder_dropout: Dropout inside the encoder; None: as the checkpoint's configuration says.
        max_length: Tokens an item.
        pad_token_id: What items are padded with, for architectures whose configuration does not say it.
    """

    task: str
    labels: tuple[str, ...]
    architecture: str
    head: Mapping[str, Any] = field(default_factory=dict)
    encoder_dropout: float | None = None
    max_length: int = 128
    pad_token_id: int | None = None


class Task(Protocol):
    """One kind of problem. Implementations are stateless."""

    @property
    def kind(self) -> str:
        """Value of `task.kind` in a recipe."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Text columns of an item: `("text",)` or `("text", "text_pair")`."""

    def encode(
        self, tokenizer: "PreTrainedTokenizerBase", items: Sequence[tuple[str, ...]], max_length: int
    ) -> tuple[list[Encoded], list[bool]]:
        """Tokenise items of `columns`, special tokens included.

        Returns:
            The encoded items, each at most `max_length` tokens, and whether each was truncated.
        """

    def collate(
        self, rows: Sequence[Encoded], pad_token_id: int, pad_to: int | None = None
    ) -> "dict[str, torch.Tensor]":
        """Pad rows to the longest (or to `pad_to`) on the right.

        Returns:
            `input_ids`, `attention_mask` (both (rows, length), int64) and `token_type_ids` where the rows have it.
        """

    def build_model(self, spec: ModelSpec, folder: Path, *, pretrained: bool) -> "torch.nn.Module":
        """Build the module on the CPU in fp32; `module(**collated)` gives logits of shape (rows, classes), float.

        Its tensors have storage of their own (`weights.own_storage`): equal weights give equal bits from any file.

        Args:
            spec: What to build.
            folder: Artifact `weights` or artifact `model`.
            pretrained: True: encoder weights are loaded from `weights`, the head is drawn from torch's current
                generator. False: the complete fine-tuned `model.safetensors` is loaded strictly from `model`.

        Raises:
            DataError: The weights are truncated, not finite or do not fit the architecture.
        """

    def parameter_groups(self, module: "torch.nn.Module") -> dict[str, list[str]]:
        """Names of parameters (as in the state) by part: `head`, `embeddings`, `layer.0`, `layer.1`, …, `rest`."""

    def losses(
        self,
        logits: "torch.Tensor",
        labels: "torch.Tensor",
        label_smoothing: float = 0.0,
        class_weights: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """Return the loss of each row, shape (rows,), fp32; the caller divides by the global count of rows.

        Args:
            logits: (rows, classes).
            labels: (rows,), class numbers.
            label_smoothing: Share of the probability that is spread over all classes.
            class_weights: (classes,); the loss of a row, smoothed as it is, is multiplied by that of its own class.
        """

    def metrics(self, labels: "np.ndarray", logits: "np.ndarray") -> dict[str, float]:
        """Return accuracy, macro_f1, weighted_f1, mcc and loss of (rows,) labels against (rows, classes) logits."""

    def probabilities(self, logits: "np.ndarray") -> "np.ndarray":
        """Turn logits (rows, classes) into probabilities of the same shape, float32."""

    def decode(self, probabilities: Sequence[float], labels: Sequence[str], top_k: int) -> list[dict[str, Any]]:
        """Return the best `top_k` as `{"label": name, "score": probability}`, best first."""
