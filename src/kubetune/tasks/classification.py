"""Single-label classification of one text or of a pair; the two task modules differ in their columns only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.errors import ConfigError
from kubetune.metrics.base import Outcomes, Totals
from kubetune.metrics.classes import ClassStatistics, Scores
from kubetune.tasks.arrays import collate, softmax
from kubetune.tasks.base import Encoding, Feature, Head, ModelSpec, Schema
from kubetune.tasks.class_answers import CLASS_ANSWERS, ClassAnswers
from kubetune.tasks.encoding import tokenize

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from transformers import PreTrainedTokenizerBase


def classification_metrics(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return accuracy, macro_f1, weighted_f1, mcc and loss (mean cross-entropy, nats).

    F1 is averaged over the classes that occur in labels or predictions, a class without either a hit or a
    prediction counting 0. MCC is Gorodkin's for many classes, 0 where it is undefined. Not those of `evaluation`: the
    key of `train` would then change with the page of the report, which lies beside them.

    Args:
        labels: (rows,) class numbers.
        logits: (rows, classes).
    """
    classes = logits.shape[1]
    cells = labels.astype(np.int64) * classes + logits.argmax(axis=1)
    counts = np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(np.float64)
    true, predicted, hits = counts.sum(axis=1), counts.sum(axis=0), np.diag(counts)
    rows = counts.sum()
    support = true + predicted
    f1 = np.divide(2 * hits, support, out=np.zeros_like(hits), where=support > 0)
    covariance = hits.sum() * rows - true @ predicted
    spread = np.sqrt((rows**2 - predicted @ predicted) * (rows**2 - true @ true))
    wide = logits.astype(np.float64)
    top = wide.max(axis=1)
    normaliser = top + np.log(np.exp(wide - top[:, None]).sum(axis=1))
    return {
        "accuracy": float(hits.sum() / rows),
        "macro_f1": float(f1[support > 0].mean()),
        "weighted_f1": float((f1 * true).sum() / rows),
        "mcc": float(covariance / spread) if spread > 0 else 0.0,
        "loss": float((normaliser - wide[np.arange(len(labels)), labels]).mean()),
    }


NEARLY_ALL = 0.99
"""Share of predictions in one class from which a model is taken for collapsed."""


@dataclass(frozen=True)
class Classification:
    """Implements `Task` for one label an item.

    Attributes:
        kind: Task kind.
        columns: Text columns of an item.
    """

    kind: str
    columns: tuple[str, ...]

    @property
    def form(self) -> ClassAnswers:
        """See `Task.form`."""
        return CLASS_ANSWERS

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

    @property
    def least_target(self) -> int:
        """See `Task.least_target`."""
        return 0

    @property
    def place_columns(self) -> tuple[str, ...]:
        """See `Task.place_columns`: none."""
        return ()

    @property
    def windows(self) -> bool:
        """See `Task.windows`."""
        return False

    @property
    def text_columns(self) -> tuple[str, ...]:
        """See `Task.text_columns`: none."""
        return ()

    def encode(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        items: Sequence[tuple[str, ...]],
        max_length: int,
        targets: Sequence[Any] | None = None,
    ) -> Encoding:
        """See `Task.encode`; pairs are cut from the longer text first, and each item is one feature."""
        del targets  # a class belongs to the row, not to its tokens
        if not tokenizer.is_fast:
            raise ConfigError("The tokenizer has no tokenizer.json: use a checkpoint with a fast tokenizer.")
        if not items:
            return Encoding([], [], [])
        batch = tokenize(tokenizer, items, max_length)
        names = [name for name in ("input_ids", "token_type_ids") if name in batch]
        rows: list[Feature] = [{name: batch[name][row] for name in names} for row in range(len(items))]
        return Encoding(rows, list(range(len(items))), [bool(encoding.overflowing) for encoding in batch.encodings])

    def collate(
        self, rows: Sequence[Feature], pad_token_id: int, pad_to: int | None = None
    ) -> "dict[str, torch.Tensor]":
        """See `Task.collate`."""
        return collate(rows, pad_token_id, pad_to)

    def build_model(self, spec: ModelSpec, folder: Path, *, pretrained: bool) -> "torch.nn.Module":
        """See `Task.build_model`."""
        from kubetune.tasks.building import build

        return build(spec, folder, self.head(spec.labels), pretrained=pretrained)

    def parameter_groups(self, module: "torch.nn.Module") -> dict[str, list[str]]:
        """See `Task.parameter_groups`."""
        from kubetune.tasks.building import parameter_groups

        return parameter_groups(module)

    def targets(self, rows: Sequence[Feature], length: int) -> "torch.Tensor":
        """See `Task.targets`: (rows,) class numbers."""
        import torch

        del length
        return torch.tensor([int(row["label"][0]) for row in rows], dtype=torch.int64)

    def terms(self, rows: Sequence[Feature]) -> np.ndarray:
        """See `Task.terms`: one a row."""
        return np.ones(len(rows), dtype=np.int64)

    def head(self, labels: Sequence[str]) -> Head:
        """See `Task.head`: a number a class."""
        return Head(tuple(labels), per_token=False, stock="text-classification")

    def class_counts(self, targets: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        """See `Task.class_counts`."""
        return np.bincount(targets, minlength=len(labels))

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

    def metrics(self, labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
        """See `Task.metrics`."""
        return classification_metrics(labels, logits)

    @property
    def main_metric(self) -> str:
        """See `Task.main_metric`."""
        return "macro_f1"

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

    def answer_columns(self, predictions: Sequence[Any]) -> "dict[str, pa.Array]":
        """See `Task.answer_columns`."""
        return self.form.columns(predictions)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """See `Task.probabilities`."""
        return softmax(logits)
