"""Single-label classification of one text or of a pair; the two task modules differ in their columns only."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.errors import ConfigError
from kubetune.metrics.classes import ClassStatistics, Scores
from kubetune.tasks import classes, load_baselines
from kubetune.tasks.base import Encoded, Encoding, ModelSpec, Schema
from kubetune.tasks.encoding import tokenize

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from transformers import PreTrainedTokenizerBase

    from kubetune.metrics.base import Baseline, Ints, Outcomes, Statistics


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (rows, classes), float32, of logits of the same shape."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return shares.astype(np.float32)


def classification_metrics(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return accuracy, macro_f1, weighted_f1, mcc and loss (mean cross-entropy, nats); see `ClassStatistics`.

    Args:
        labels: (rows,) class numbers.
        logits: (rows, classes).
    """
    wide = logits.astype(np.float64)
    top = wide.max(axis=1)
    losses = top + np.log(np.exp(wide - top[:, None]).sum(axis=1)) - wide[np.arange(len(labels)), labels]
    statistics = ClassStatistics(tuple(map(str, range(logits.shape[1]))))
    scores = Scores(logits.argmax(axis=1), np.zeros(len(labels)), losses)
    totals = statistics.outcomes(labels.astype(np.int64), scores).total()
    measured = statistics.measure(totals, ("accuracy", "macro_f1", "weighted_f1", "mcc", "loss"))
    return {name: float(value) for name, value in measured.items()}


LAYER = re.compile(
    r"(?:^|\.)(?:layer|layers|albert_layer_groups|block|blocks|h|attentions|ffns|layer_norm[12])\.(\d+)\."
)
DECODER = re.compile(r"(?:^|\.)decoder\.")
EMBEDDINGS = re.compile(r"(?:^|\.)embeddings\.")
"""Their norms and projections; the tables themselves are known by their class."""
POOLER = re.compile(r"(?:^|\.)pooler\.")


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
    def schema(self) -> Schema:
        """See `Task.schema`."""
        return Schema(self.columns, "label", "label")

    @property
    def target_columns(self) -> tuple[str, ...]:
        """See `Task.target_columns`."""
        return ("label",)

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
        rows: list[Encoded] = [{name: batch[name][row] for name in names} for row in range(len(items))]
        return Encoding(rows, list(range(len(items))), [bool(encoding.overflowing) for encoding in batch.encodings])

    def collate(
        self, rows: Sequence[Encoded], pad_token_id: int, pad_to: int | None = None
    ) -> "dict[str, torch.Tensor]":
        """See `Task.collate`."""
        import torch

        length = pad_to or max(len(row["input_ids"]) for row in rows)
        names = [name for name in ("input_ids", "token_type_ids") if any(name in row for row in rows)]
        padded = {
            name: np.full((len(rows), length), pad_token_id if name == "input_ids" else 0, dtype=np.int64)
            for name in (*names, "attention_mask")
        }
        for number, row in enumerate(rows):
            size = len(row["input_ids"])
            padded["attention_mask"][number, :size] = 1
            for name in names:
                if name in row:
                    padded[name][number, :size] = row[name]
        return {name: torch.from_numpy(values) for name, values in padded.items()}

    def build_model(self, spec: ModelSpec, folder: Path, *, pretrained: bool) -> "torch.nn.Module":
        """See `Task.build_model`."""
        from kubetune.tasks.weights import own_storage

        return own_storage(_built(spec, folder, pretrained))

    def parameter_groups(self, module: "torch.nn.Module") -> dict[str, list[str]]:
        """See `Task.parameter_groups`; names as in the module's state.

        A pooler is part of the head, since it serves nothing else; a decoder's layers come behind the encoder's.
        """
        import torch

        groups: dict[str, list[str]] = {}
        state = module.state_dict(keep_vars=True)
        before_decoder = _encoder_layers(state)
        tables = {id(part.weight) for part in module.modules() if isinstance(part, torch.nn.Embedding)}
        encoder: tuple[str, ...] = module.encoder_parts  # type: ignore[assignment]
        for name, tensor in state.items():
            if not isinstance(tensor, torch.nn.Parameter):
                continue
            if not name.startswith(encoder) or POOLER.search(name):
                part = "head"
            elif layer := LAYER.search(name):
                part = f"layer.{int(layer[1]) + (before_decoder if DECODER.search(name) else 0)}"
            else:
                part = "embeddings" if id(tensor) in tables or EMBEDDINGS.search(name) else "rest"
            groups.setdefault(part, []).append(name)
        return groups

    def losses(
        self,
        logits: "torch.Tensor",
        labels: "torch.Tensor",
        label_smoothing: float = 0.0,
        class_weights: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """See `Task.losses`: cross-entropy in nats against the smoothed label, times the weight of the row's class.

        Not `cross_entropy(weight=…)`: it weights each class of the smoothed distribution, so that where a class is
        rare every row of the others is taught the rare one (0.1 / 2 x 50 against 0.95 x 0.505 at one row in 100).
        """
        import torch

        losses = torch.nn.functional.cross_entropy(
            logits.float(), labels, label_smoothing=label_smoothing, reduction="none"
        )
        return losses if class_weights is None else losses * class_weights[labels]

    def metrics(self, labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
        """See `Task.metrics`."""
        return classification_metrics(labels, logits)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """See `Task.probabilities`."""
        return softmax(logits)

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
        return classes.answer_columns(np.asarray(predictions))

    def statistics(self, labels: Sequence[str]) -> "Statistics":
        """See `Task.statistics`."""
        return ClassStatistics(tuple(labels))

    @property
    def main_metric(self) -> str:
        """See `Task.main_metric`."""
        return ClassStatistics(()).main

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """See `Task.outcome_columns`."""
        return ("prediction", "confidence")

    def outcomes(self, targets: "pa.ChunkedArray", answers: "pa.Table", labels: Sequence[str]) -> "Outcomes":
        """See `Task.outcomes`."""
        return classes.outcomes(targets, answers, tuple(labels))

    def renumbered(self, answers: "pa.Table", numbers: "Ints") -> "pa.Table":
        """See `Task.renumbered`."""
        return classes.renumbered(answers, numbers)

    def parts(self, targets: "pa.ChunkedArray", labels: Sequence[str]) -> "tuple[Ints, tuple[str, ...]]":
        """See `Task.parts`: the classes."""
        return targets.to_numpy().astype(np.int64), tuple(labels)

    def describe(self, row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """See `Task.describe`."""
        return classes.in_words(row, labels)

    def baselines(self, train: "pa.Table", test: "pa.Table", labels: Sequence[str]) -> "list[Baseline]":
        """See `Task.baselines`."""
        return load_baselines(self.kind)(train, test, self.columns, tuple(labels))

    def decode(self, probabilities: Sequence[float], labels: Sequence[str], top_k: int) -> list[dict[str, Any]]:
        """See `Task.decode`; equal scores keep the order of the labels."""
        order = sorted(range(len(labels)), key=lambda number: (-probabilities[number], number))
        return [{"label": labels[number], "score": float(probabilities[number])} for number in order[:top_k]]


def _encoder_layers(state: Iterable[str]) -> int:
    """Return the layers in front of a decoder's first one: 0 where there is a decoder alone, or none."""
    layers = [LAYER.search(name) for name in state if not DECODER.search(name)]
    return 1 + max((int(layer[1]) for layer in layers if layer), default=-1)


def _built(spec: ModelSpec, folder: Path, pretrained: bool) -> "torch.nn.Module":
    """Build the module of the architecture that `spec` names; its weights may still lie in a mapped file."""
    if spec.architecture == "bilstm":
        from kubetune.tasks.bilstm import build_bilstm

        return build_bilstm(spec, folder, pretrained=pretrained)
    from kubetune.tasks.encoder import build_own, build_stock

    if spec.architecture == "stock":
        return build_stock(spec, folder, pretrained=pretrained)
    if spec.architecture == "own":
        return build_own(spec, folder, pretrained=pretrained)
    raise ConfigError(f"Architecture {spec.architecture!r:.40} is unknown: allowed are stock, own and bilstm.")
