"""How a task goes between texts, tokens and numbers, for tasks that read or answer with tokens themselves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch
    from transformers import PreTrainedTokenizerBase

    from kubetune.tasks.base import Feature, Task


class Turn(NamedTuple):
    """What a task may draw from while it teaches: nothing of it depends on ranks, batches or a resumed run.

    Attributes:
        seed: `training.seed`.
        turn: Pass over the train rows, from 0.
        share: `task.mask_probability`.
        vocabulary: The tokenizer's highest id, and one; 0: not known.
    """

    seed: int
    turn: int
    share: float
    vocabulary: int


class Unanswered(NamedTuple):
    """A prediction that there is none.

    Attributes:
        reason: One sentence that holds nothing of the text.
    """

    reason: str


class TokenReading(Protocol):
    """A part of `tasks.base.Task`."""

    @property
    def baseline_columns(self) -> tuple[str, ...]:
        """Columns of a split's file that `baselines` reads of train rows beside the texts and `label`."""

    def of_tokenizer(self, tokenizer: "PreTrainedTokenizerBase") -> "Task":
        """Return the task with the tokenizer of its model, by which requests are read; itself where none is needed."""

    def token_names(self, tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """Return what answers in a report call each token, by id; none where they name no tokens."""

    def of_tokens(self, names: Sequence[str]) -> "Task":
        """Return the task with the names of tokens, of `token_names`; itself where it needs none."""

    def taught(self, rows: "Sequence[Feature]", numbers: "np.ndarray", turn: Turn) -> "Sequence[Feature]":
        """Return train rows as a pass of the training shows them; themselves where each pass shows the same.

        Args:
            rows: Of train.
            numbers: Their places in the split's file, shape (rows,).
            turn: What may be drawn from.
        """

    def kept(self, outputs: "torch.Tensor", rows: "Sequence[Feature]") -> "list[np.ndarray]":
        """Return what is kept of the module's outputs on some rows, float32, without what belongs to padding.

        A vocabulary of numbers a token would fill the memory, so that a task may keep what it measures by.
        """

    def feature_losses(self, outputs: "Sequence[np.ndarray]", features: "Sequence[Feature]") -> "np.ndarray":
        """Return the sum of the losses of each feature, shape (features,), float64, without smoothing or weights.

        Args:
            outputs: Of `kept`.
            features: With their targets.
        """

    def golden(self, item: tuple[str, ...]) -> tuple[str, ...]:
        """Return a row's raw texts as a request has them, by which a server is proven; most often themselves."""

    def comparable(self, ours: "pa.Table", theirs: "pa.Table") -> "np.ndarray":
        """Return for which rows two systems were asked the same, bool, shape (rows,), of their `outcome_columns`."""
