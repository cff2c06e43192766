"""Any number of labels of one text or of a pair; the two task modules differ in their columns only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.metrics.base import Ints, Outcomes, Totals
from kubetune.metrics.multi_label import MultiLabelStatistics, label_marks
from kubetune.tasks.arrays import sigmoid
from kubetune.tasks.base import Encoding, Feature, ModelSpec, OutputHead, Schema
from kubetune.tasks.common import CommonTask
from kubetune.tasks.thresholds import HALF, chosen_labels, tuned_thresholds

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from kubetune.tasks.fitted import Outputs
    from kubetune.tasks.rows import EncodedRows

PARTS = ("no label", "1 label", "2 labels", "3 labels or more")
SAID = 10
"""Labels that are named in a sentence."""


@dataclass(frozen=True)
class MultiLabel(CommonTask):
    """Implements `Task` for labels that do not exclude each other.

    Attributes:
        kind: Name of the task.
        columns: Text columns of an item.
        together: Thresholds are those of all validation rows.
        thresholds: From which probability each label is chosen; empty: 0.5.
    """

    kind: str
    columns: tuple[str, ...]
    together: bool = True
    thresholds: tuple[float, ...] = ()

    @property
    def schema(self) -> Schema:
        """See `Task.schema`."""
        return Schema(self.columns, "labels", "labels")

    @property
    def target_columns(self) -> tuple[str, ...]:
        """See `Task.target_columns`: numbers of a row's labels, of which there may be none."""
        return ("label",)

    @property
    def class_columns(self) -> tuple[str, ...]:
        """See `Task.class_columns`."""
        return ("label",)

    def of_model(self, spec: ModelSpec) -> "MultiLabel":
        """See `Task.of_model`: with its thresholds."""
        return replace(self, thresholds=tuple(spec.fitted.get("thresholds", ())))

    def begun(self, spec: ModelSpec, module: "torch.nn.Module", rows: "EncodedRows") -> ModelSpec:
        """See `Task.begun`: a new head begins at the share of train rows that each label has.

        Else it begins at one half, which is far from that of a rare label: at a usual rate a bias gets there in
        thousands of steps. A head that goes on has its own, and one without a linear layer is left as it is.
        """
        import torch

        from kubetune.tasks.output_layer import output_layer

        layer = output_layer(module, len(spec.labels))
        bias = None if layer is None else layer.bias
        new = spec.architecture != "stock" or bias is None or not bool(bias.any())
        if bias is not None and new and len(rows):
            counts = np.bincount(rows.column("label"), minlength=len(spec.labels))
            shares = (counts + 1) / (len(rows) + 2)
            with torch.no_grad():
                bias.copy_(torch.from_numpy(np.log(shares / (1 - shares)).astype(np.float32)))
        return spec

    def targets(self, rows: Sequence[Feature], length: int) -> "torch.Tensor":
        """See `Task.targets`: numbers of each row's labels (rows, most labels of a row), int64, filled up with -1."""
        import torch

        del length
        found = np.full((len(rows), max((len(row["label"]) for row in rows), default=0)), -1, dtype=np.int64)
        for number, row in enumerate(rows):
            found[number, : len(row["label"])] = row["label"]
        return torch.from_numpy(found)

    def head(self, labels: Sequence[str]) -> OutputHead:
        """See `Task.head`: a number a label."""
        return OutputHead(
            tuple(labels), per_token=False, stock="text-classification", problem="multi_label_classification"
        )

    def losses(
        self,
        outputs: "torch.Tensor",
        targets: "torch.Tensor",
        label_smoothing: float = 0.0,
        class_weights: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """See `Task.losses`: mean binary cross-entropy over the labels, in nats.

        The mean over rows is that over all (row, label) pairs. A smoothed target lies so much nearer to 1/2.
        """
        import torch

        del class_weights
        rows, labels = outputs.shape
        hot = torch.zeros((rows, labels + 1), dtype=torch.float32, device=outputs.device)
        hot.scatter_(1, torch.where(targets < 0, labels, targets), 1.0)
        wanted = hot[:, :labels] * (1 - label_smoothing) + label_smoothing / 2
        losses = torch.nn.functional.binary_cross_entropy_with_logits(outputs.float(), wanted, reduction="none")
        return losses.mean(dim=1)

    def finished(
        self, spec: ModelSpec, module: "torch.nn.Module", rows: "EncodedRows", predict: "Outputs", *, tune: bool
    ) -> tuple[ModelSpec, list[str]]:
        """See `Task.finished`: thresholds are tuned, of labels that a validation row has."""
        del module
        labels = spec.labels
        if not tune or not len(rows):
            why = "no validation rows" if tune else "task.thresholds is half"
            return spec, [f"a label is chosen from a probability of {HALF}: {why}"]
        features = rows.pick(np.arange(len(rows)))
        true = label_marks([row["label"] for row in features], len(labels))
        found = tuned_thresholds(sigmoid(np.stack(predict(features))).astype(np.float64), true)
        shown = ", ".join(f"{name} {value:.3f}" for name, value in zip(labels[:SAID], found, strict=False))
        more = f" and {len(labels) - SAID} more" if len(labels) > SAID else ""
        said = [f"thresholds by the best micro F1 on {len(rows):,} validation rows: {shown}{more}"]
        if without := [name for name, there in zip(labels, np.asarray(true.any(axis=0)), strict=True) if not there]:
            said.append(f"no validation row has {', '.join(without[:SAID])}: kept at {HALF}")
        return replace(spec, fitted={**spec.fitted, "thresholds": tuple(found)}), said

    def statistics(self, labels: Sequence[str]) -> MultiLabelStatistics:
        """See `Task.statistics`."""
        return MultiLabelStatistics(tuple(labels))

    def validation(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        losses: np.ndarray,
        labels: Sequence[str],
        texts: Mapping[str, Sequence[Any]],
    ) -> Outcomes:
        """See `Task.validation`; labels are chosen by the thresholds that are best on these rows.

        From 0.5 a rare label is chosen by no weights of the first epochs, and all of them would be equal.
        """
        del texts
        true = label_marks([row["label"] for row in encoding.features], len(labels))
        scores = sigmoid(np.stack(outputs)) if len(outputs) else np.zeros((0, len(labels)), dtype=np.float32)
        shares = scores.astype(np.float64)
        chosen = chosen_labels(shares, tuned_thresholds(shares, true) if len(shares) else ())
        return self.statistics(labels).outcomes(true, chosen, losses)

    def collapsed(self, totals: Totals, labels: Sequence[str]) -> bool:
        """See `Task.collapsed`."""
        return bool(self.statistics(labels).flaws(totals, labels))

    def predictions(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        items: Sequence[tuple[str, ...]],
        labels: Sequence[str],
    ) -> list[dict[str, list[Any]]]:
        """See `Task.predictions`: `{"probabilities": [a label], "chosen": [numbers of labels]}` an item."""
        del encoding, items, labels
        if not len(outputs):
            return []
        scores = sigmoid(np.stack(outputs))
        chosen = chosen_labels(scores.astype(np.float64), self.thresholds)
        return [
            {"probabilities": each.tolist(), "chosen": np.flatnonzero(those).tolist()}
            for each, those in zip(scores, chosen, strict=True)
        ]

    def output_columns(self, outputs: Sequence[np.ndarray]) -> "dict[str, pa.Array]":
        """See `Task.output_columns`: logits."""
        import pyarrow as pa

        return {"logits": pa.array([output.astype(np.float32) for output in outputs], pa.list_(pa.float32()))}

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """See `Task.outcome_columns`."""
        return ("prediction", "confidence")

    def outcomes(self, targets: "pa.ChunkedArray", answers: "pa.Table", labels: Sequence[str]) -> Outcomes:
        """See `Task.outcomes`; losses that are not known read 0."""
        true, chosen = (label_marks(column.to_pylist(), len(labels)) for column in (targets, answers["prediction"]))
        losses = answers["loss"].to_numpy() if "loss" in answers.column_names else None
        return self.statistics(labels).outcomes(true, chosen, losses)

    def renumbered(self, answers: "pa.Table", numbers: Ints) -> "pa.Table":
        """See `Task.renumbered`."""
        import pyarrow as pa

        place = answers.column_names.index("prediction")
        found = [sorted(numbers[each].tolist()) for each in answers["prediction"].to_pylist()]
        return answers.set_column(place, "prediction", pa.array(found, pa.list_(pa.int32())))

    def parts(self, targets: "pa.ChunkedArray", labels: Sequence[str]) -> tuple[Ints, tuple[str, ...]]:
        """See `Task.parts`: by how many labels a row has."""
        del labels
        return np.array([min(len(each), 3) for each in targets.to_pylist()], dtype=np.int64), PARTS

    def describe(self, row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """See `Task.describe`; the confidence is that of the least certain label."""
        words = {name: ", ".join(labels[number] for number in row[name]) or "none" for name in ("label", "prediction")}
        return {**words, "confidence": row["confidence"], "given": None}
