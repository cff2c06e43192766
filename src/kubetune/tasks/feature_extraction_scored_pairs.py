"""Vectors of texts, learnt from pairs with a score: their cosine is to be the similarity that people gave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.metrics.base import Ints, Outcomes, Totals
from kubetune.metrics.vectors import SimilarityStatistics, similarity_outcomes
from kubetune.tasks.base import Encoding, Feature, Schema, Task
from kubetune.tasks.embedding import EmbeddingTask
from kubetune.tasks.sides import SIDES, vectors_of

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

RANGES = 5
"""Ranges of similarity of equal width that are slices."""


@dataclass(frozen=True)
class ScoredPairs(EmbeddingTask):
    """Implements `Task` for sentence embeddings of scored pairs."""

    kind: str = "feature-extraction-scored-pairs"

    @property
    def schema(self) -> Schema:
        """See `Task.schema`."""
        return Schema(("sentence1", "sentence2"), "score", "similarity")

    @property
    def target_columns(self) -> tuple[str, ...]:
        """See `Task.target_columns`."""
        return (SIDES, "label")

    def targets(self, rows: Sequence[Feature], length: int) -> "torch.Tensor":
        """See `Task.targets`: similarities (rows,), fp32."""
        import torch

        del length
        return torch.tensor([float(row["label"][0]) for row in rows], dtype=torch.float32)

    def losses(
        self,
        outputs: "torch.Tensor",
        targets: "torch.Tensor",
        label_smoothing: float = 0.0,
        class_weights: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """See `Task.losses`: squared difference of cosine and similarity.

        As Sentence-BERT's regression objective (Reimers and Gurevych, EMNLP 2019); `CosineSimilarityLoss` of
        sentence-transformers is its mean.
        """
        import torch

        del label_smoothing, class_weights
        first, second = outputs.float().reshape(len(outputs), 2, -1).unbind(dim=1)
        return (torch.nn.functional.cosine_similarity(first, second, dim=1) - targets) ** 2

    def statistics(self, labels: Sequence[str]) -> SimilarityStatistics:
        """See `Task.statistics`."""
        del labels
        return SimilarityStatistics()

    def validation(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        losses: np.ndarray,
        labels: Sequence[str],
        texts: Mapping[str, Sequence[Any]],
    ) -> Outcomes:
        """See `Task.validation`."""
        del labels
        items = list(zip(texts["text"], texts["text_pair"], strict=True))
        cosines = np.array([found.cosine for found in vectors_of(outputs, encoding.features, items)])
        scores = np.array([float(row["label"][0]) for row in encoding.features])
        return similarity_outcomes(cosines, scores, losses, np.ones(len(items), dtype=np.int64))

    def collapsed(self, totals: Totals, labels: Sequence[str]) -> bool:
        """See `Task.collapsed`: all cosines are equal."""
        del labels
        return bool(SimilarityStatistics().flaws(totals, ()))

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """See `Task.outcome_columns`."""
        return ("cosine", "confidence")

    def outcomes(self, targets: "pa.ChunkedArray", answers: "pa.Table", labels: Sequence[str]) -> Outcomes:
        """See `Task.outcomes`."""
        del labels
        cosines, scores = (column.to_numpy().astype(np.float64) for column in (answers["cosine"], targets))
        return similarity_outcomes(cosines, scores, *self.outcome_losses(answers))

    def parts(self, targets: "pa.ChunkedArray", labels: Sequence[str]) -> tuple[Ints, tuple[str, ...]]:
        """See `Task.parts`: ranges of similarity of equal width."""
        del labels
        edges = np.linspace(0, 1, RANGES + 1)
        names = tuple(f"{low:g} to {high:g}" for low, high in pairwise(edges))
        return np.searchsorted(edges[1:-1], targets.to_numpy(), side="right").astype(np.int64), names

    def describe(self, row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """See `Task.describe`."""
        del labels
        return {"label": f"{row['label']:.3f}", "prediction": f"{row['cosine']:.3f}", "confidence": None, "given": None}


TASK: Task = ScoredPairs()
