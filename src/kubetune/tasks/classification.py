"""Single-label classification of one text or of a pair; the two task modules differ in their columns only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.metrics.base import Ints, Outcomes, Totals
from kubetune.metrics.classes import ClassStatistics, Scores
from kubetune.tasks import classes
from kubetune.tasks.arrays import softmax
from kubetune.tasks.base import Encoding, Feature, OutputHead, Schema
from kubetune.tasks.common import CommonTask

if TYPE_CHECKING:
    import pyarrow as pa
    import torch


NEARLY_ALL = 0.99
"""Share of predictions in one class from which a model is taken for collapsed."""


@dataclass(frozen=True)
class Classification(CommonTask):
    """Implements `Task` for one label an item.

    Attributes:
        kind: Task kind.
        columns: Text columns of an item.
    """

    kind: str
    columns: tuple[str, ...]

    @property
    def schema(self) -> Schema:
        """See `Task.schema`."""
        return Schema(self.columns, "label", "label")

    @property
    def target_columns(self) -> tuple[str, ...]:
        """See `Task.target_columns`."""
        return ("label",)

    @property
    def class_columns(self) -> tuple[str, ...]:
        """See `Task.class_columns`."""
        return ("label",)

    def targets(self, rows: Sequence[Feature], length: int) -> "torch.Tensor":
        """See `Task.targets`: (rows,) class numbers."""
        import torch

        del length
        return torch.tensor([int(row["label"][0]) for row in rows], dtype=torch.int64)

    def head(self, labels: Sequence[str]) -> OutputHead:
        """See `Task.head`: a number a class."""
        return OutputHead(tuple(labels), per_token=False, stock="text-classification")

    def losses(
        self,
        outputs: "torch.Tensor",
        targets: "torch.Tensor",
        label_smoothing: float = 0.0,
        class_weights: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """See `Task.losses`: cross-entropy in nats against the smoothed label, times the weight of the row's class.

        Not `cross_entropy(weight=…)`: it weights each class of the smoothed distribution, so that where a class is
        rare every row of the others is taught the rare one (0.1 / 2 x 50 against 0.95 x 0.505 at one row in 100).
        """
        import torch

        losses = torch.nn.functional.cross_entropy(
            outputs.float(), targets, label_smoothing=label_smoothing, reduction="none"
        )
        return losses if class_weights is None else losses * class_weights[targets]

    def statistics(self, labels: Sequence[str]) -> ClassStatistics:
        """See `Task.statistics`."""
        return ClassStatistics(tuple(labels))

    def validation(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        losses: np.ndarray,
        labels: Sequence[str],
        texts: Mapping[str, Sequence[Any]],
    ) -> Outcomes:
        """See `Task.validation`."""
        del texts
        true = np.array([int(row["label"][0]) for row in encoding.features], dtype=np.int64)
        shares = softmax(np.stack(outputs)) if len(outputs) else np.zeros((0, len(labels)), dtype=np.float32)
        answers = shares.argmax(axis=1).astype(np.int64)
        scores = Scores(answers, shares.max(axis=1, initial=0).astype(np.float64), losses)
        return ClassStatistics(tuple(labels)).outcomes(true, scores)

    def collapsed(self, totals: Totals, labels: Sequence[str]) -> bool:
        """See `Task.collapsed`: nearly all answers are one class, and the labels are not."""
        del labels
        true, predicted = (part.max() / totals.rows for part in np.split(totals.counts, 3)[:2])
        return bool(predicted >= NEARLY_ALL and true < NEARLY_ALL)

    def predictions(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        items: Sequence[tuple[str, ...]],
        labels: Sequence[str],
    ) -> np.ndarray:
        """See `Task.predictions`: probabilities (items, classes), float32."""
        del encoding, items, labels
        return softmax(np.stack(outputs)) if len(outputs) else np.zeros((0, 0), dtype=np.float32)

    def output_columns(self, outputs: Sequence[np.ndarray]) -> "dict[str, pa.Array]":
        """See `Task.output_columns`: logits."""
        import pyarrow as pa

        return {"logits": pa.array([output.astype(np.float32) for output in outputs])}

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """See `Task.outcome_columns`."""
        return ("prediction", "confidence")

    def outcomes(self, targets: "pa.ChunkedArray", answers: "pa.Table", labels: Sequence[str]) -> Outcomes:
        """See `Task.outcomes`."""
        return classes.outcomes(targets, answers, tuple(labels))

    def renumbered(self, answers: "pa.Table", numbers: Ints) -> "pa.Table":
        """See `Task.renumbered`."""
        return classes.renumbered(answers, numbers)

    def parts(self, targets: "pa.ChunkedArray", labels: Sequence[str]) -> tuple[Ints, tuple[str, ...]]:
        """See `Task.parts`: the classes."""
        return targets.to_numpy().astype(np.int64), tuple(labels)

    def describe(self, row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """See `Task.describe`."""
        return classes.in_words(row, labels)
