"""A number of one text or of a pair; the two task modules differ in their columns only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from kubetune.errors import ConfigError, KubetuneError
from kubetune.metrics.base import Ints, Outcomes, Totals
from kubetune.metrics.scores import ScoreStatistics, score_outcomes
from kubetune.tasks.base import Encoding, Feature, ModelSpec, OutputHead, Schema
from kubetune.tasks.common import CommonTask

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from kubetune.tasks.answers import AnswerForm
    from kubetune.tasks.fitted import Outputs
    from kubetune.tasks.forms.scores import ScoreAnswers
    from kubetune.tasks.rows import EncodedRows

NAME = "score"
"""What the one output is called."""
RANGES = 4
"""Ranges of scores, of as many rows each, that the slice `label` cuts."""
CHANGED = 1e-3
"""Share of the scores' deviation by which an answer may move when the head's unit is changed."""
ROUNDING = 2.0**-23
"""Relative distance of neighbouring 32-bit floats."""


@dataclass(frozen=True)
class Regression(CommonTask):
    """Implements `Task` for a number an item.

    Training counts scores from their mean in units of their standard deviation, so that the head begins near to them
    whatever their unit; at the end the head's last layer is brought back to that unit.

    Attributes:
        kind: Name of the task.
        columns: Text columns of an item.
        together: A rank correlation is one of all rows.
        center: What training counts scores from; 0 in a finished model.
        scale: In which unit; 1 in a finished model.
        least: Least score of train.
        most: Most score of train.
    """

    kind: str
    columns: tuple[str, ...]
    together: bool = True
    center: float = 0.0
    scale: float = 1.0
    least: float = 0.0
    most: float = 1.0

    @property
    def schema(self) -> Schema:
        """See `Task.schema`."""
        return Schema(self.columns, "score", "score")

    @property
    def target_columns(self) -> tuple[str, ...]:
        """See `Task.target_columns`."""
        return ("label",)

    @property
    def class_columns(self) -> tuple[str, ...]:
        """See `Task.class_columns`: none."""
        return ()

    @property
    def form(self) -> "AnswerForm":
        """See `Task.form`."""
        return replace(cast("ScoreAnswers", super().form), unit=self.most - self.least)

    def of_model(self, spec: ModelSpec) -> "Regression":
        """See `Task.of_model`: with the unit of its outputs, and the range of its train scores."""
        found: dict[str, Any] = {name: float(values[0]) for name, values in spec.fitted.items()}
        return replace(self, **found)

    def build_model(self, spec: ModelSpec, folder: Path, *, pretrained: bool) -> "torch.nn.Module":
        """See `Task.build_model`: its score is computed in fp32 whatever the precision."""
        from kubetune.tasks.output_layer import keep_exact

        return keep_exact(super().build_model(spec, folder, pretrained=pretrained), 1)

    def begun(self, spec: ModelSpec, module: "torch.nn.Module", rows: "EncodedRows") -> ModelSpec:
        """See `Task.begun`: mean, deviation and range of the scores; no mean where the last layer has no bias.

        Raises:
            ConfigError: The scores differ by less than 32-bit floats of their size can tell.
        """
        from kubetune.tasks.output_layer import score_layer

        scores = rows.column("label")
        if not len(scores):
            return spec
        biased = score_layer(module).bias is not None
        center = float(scores.mean()) if biased else 0.0
        scale = float(np.sqrt(((scores - center) ** 2).mean())) or 1.0
        if not abs(center) * ROUNDING <= CHANGED * scale / 2:
            raise ConfigError(
                f"The scores of train are {center:g} on average and {scale:g} apart from it, too little for 32-bit "
                "floats to tell: subtract a constant from the column, or divide it."
            )
        found = {"center": center, "scale": scale, "least": float(scores.min()), "most": float(scores.max())}
        return replace(spec, fitted={name: (value,) for name, value in found.items()})

    def finished(
        self, spec: ModelSpec, module: "torch.nn.Module", rows: "EncodedRows", predict: "Outputs", *, tune: bool
    ) -> tuple[ModelSpec, list[str]]:
        """See `Task.finished`: the last layer gives scores as they are in the data.

        Raises:
            KubetuneError: It was not the last one.
        """
        from kubetune.tasks.output_layer import change_unit, score_layer

        del tune
        probe = rows.pick([0]) if len(rows) else [{"input_ids": [spec.pad_token_id or 0] * 4}]
        before = self.center + self.scale * float(predict(probe)[0][0])
        change_unit(score_layer(module), self.center, self.scale)
        after = float(predict(probe)[0][0])
        if not abs(after - before) <= CHANGED * self.scale:
            raise KubetuneError(
                f"The head cannot be brought to the scores' unit: {after:g} instead of {before:g}; this is a bug of "
                "kubetune, use model.head.kind=own."
            )
        kept = {name: values for name, values in spec.fitted.items() if name in ("least", "most")}
        return replace(spec, fitted=kept), []

    def targets(self, rows: Sequence[Feature], length: int) -> "torch.Tensor":
        """See `Task.targets`: (rows,) fp32, in the unit of the outputs."""
        import torch

        del length
        scores = np.array([float(row["label"][0]) for row in rows])
        return torch.from_numpy(((scores - self.center) / self.scale).astype(np.float32))

    def head(self, labels: Sequence[str]) -> OutputHead:
        """See `Task.head`: one number."""
        del labels
        return OutputHead((NAME,), per_token=False, stock="text-classification", problem="regression")

    def losses(
        self,
        outputs: "torch.Tensor",
        targets: "torch.Tensor",
        label_smoothing: float = 0.0,
        class_weights: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """See `Task.losses`: squared errors, in training in variances of the train rows' scores."""
        del label_smoothing, class_weights
        return (outputs.float()[:, 0] - targets) ** 2

    def statistics(self, labels: Sequence[str]) -> ScoreStatistics:
        """See `Task.statistics`."""
        del labels
        return ScoreStatistics()

    def validation(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        losses: np.ndarray,
        labels: Sequence[str],
        texts: Mapping[str, Sequence[Any]],
    ) -> Outcomes:
        """See `Task.validation`; in the unit of the scores."""
        del losses, labels, texts
        true = np.array([float(row["label"][0]) for row in encoding.features])
        given = self.center + self.scale * np.array([float(output[0]) for output in outputs])
        return score_outcomes(true, given, (self.least, self.most))

    def collapsed(self, totals: Totals, labels: Sequence[str]) -> bool:
        """See `Task.collapsed`: nearly the same number for all rows."""
        return any("one answer" in flaw for flaw in self.statistics(labels).flaws(totals, ()))

    def predictions(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        items: Sequence[tuple[str, ...]],
        labels: Sequence[str],
    ) -> list[float]:
        """See `Task.predictions`: a number an item."""
        del encoding, items, labels
        return [self.center + self.scale * float(output[0]) for output in outputs]

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """See `Task.outcome_columns`."""
        return ("prediction", "confidence")

    def outcomes(self, targets: "pa.ChunkedArray", answers: "pa.Table", labels: Sequence[str]) -> Outcomes:
        """See `Task.outcomes`."""
        del labels
        true, given = (column.to_numpy().astype(np.float64) for column in (targets, answers["prediction"]))
        return score_outcomes(true, given, (self.least, self.most))

    def parts(self, targets: "pa.ChunkedArray", labels: Sequence[str]) -> tuple[Ints, tuple[str, ...]]:
        """See `Task.parts`: ranges of scores of as many rows each, fewer where many scores are equal."""
        del labels
        scores = targets.to_numpy().astype(np.float64)
        edges = np.unique(np.quantile(scores, np.arange(1, RANGES) / RANGES, method="lower"))
        part = np.searchsorted(edges, scores, side="left").astype(np.int64)
        part = np.unique(part, return_inverse=True)[1]
        ends = [(scores[part == number].min(), scores[part == number].max()) for number in range(part.max() + 1)]
        return part, tuple(f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in ends)

    def describe(self, row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """See `Task.describe`."""
        del labels
        return {
            "label": f"{row['label']:g}",
            "prediction": f"{row['prediction']:.4g}",
            "confidence": None,
            "given": None,
        }
