"""Vectors of texts, learnt from pairs that belong together: each anchor is to be nearest to its own positive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.metrics.base import Ints, Outcomes, Totals
from kubetune.metrics.ranks import positive_ranks
from kubetune.metrics.vectors import RetrievalStatistics, retrieval_outcomes
from kubetune.tasks.base import Encoding, Feature, Schema, Task
from kubetune.tasks.embedding import EmbeddingTask
from kubetune.tasks.sides import Vectors, parted, unit, vectors_of

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from transformers import PreTrainedTokenizerBase

SCALE = 20.0
"""What cosines are multiplied by before the softmax, as sentence-transformers does; its inverse is a temperature."""


@dataclass(frozen=True)
class Pairs(EmbeddingTask):
    """Implements `Task` for sentence embeddings of anchors and their positives."""

    kind: str = "feature-extraction"

    @property
    def schema(self) -> Schema:
        """See `Task.schema`."""
        return Schema(("anchor", "positive"), None, "pairs")

    def notes(self, micro_batch: int) -> tuple[str, ...]:
        """See `Task.notes`."""
        return (
            f"each anchor is told from the positives of up to {micro_batch - 1:,} other rows, those of its "
            "micro-batch; accumulation enlarges no such pool: raise training.micro_batch for more",
        )

    def encode(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        items: Sequence[tuple[str, ...]],
        max_length: int,
        targets: Sequence[Any] | None = None,
    ) -> Encoding:
        """See `Task.encode`; a hard negative is a third text of its row's feature, which no item that is served has."""
        negatives = targets or [None] * len(items)
        rows = [item if of is None else (*item, of) for item, of in zip(items, negatives, strict=True)]
        return super().encode(tokenizer, rows, max_length)

    def targets(self, rows: Sequence[Feature], length: int) -> "torch.Tensor":
        """See `Task.targets`: a number for each text, equal for equal tokens, (rows, texts) int64."""
        import torch

        del length
        known: dict[tuple[int, ...], int] = {}
        texts = [[tuple(int(number) for number in text["input_ids"]) for text in parted(row)] for row in rows]
        return torch.tensor([[known.setdefault(text, len(known)) for text in of] for of in texts], dtype=torch.int64)

    def losses(
        self,
        outputs: "torch.Tensor",
        targets: "torch.Tensor",
        label_smoothing: float = 0.0,
        class_weights: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """See `Task.losses`: cross-entropy of each anchor's own positive among those of all rows, in nats.

        Multiple negatives ranking (Henderson et al., 2017), one way, as `MultipleNegativesRankingLoss` of
        sentence-transformers: where rows have a third text, those of all rows are candidates too. A text that is a
        row's own, anchor or positive, or a positive of an equal anchor, is no negative of it.
        """
        import torch

        del class_weights
        rows, texts = targets.shape
        vectors = torch.nn.functional.normalize(outputs.float().reshape(rows, texts, -1), dim=2)
        near = SCALE * vectors[:, 0] @ vectors[:, 1:].transpose(0, 1).flatten(0, 1).T
        right = _right(targets)
        shares = torch.log_softmax(near.masked_fill(right, -torch.inf), dim=1)
        wanted = -shares.diagonal()  # of the first `rows` candidates, which are the positives
        if label_smoothing:
            mean = -shares.masked_fill(right, 0.0).sum(dim=1) / (~right).sum(dim=1)
            wanted = (1 - label_smoothing) * wanted + label_smoothing * mean
        return wanted

    def statistics(self, labels: Sequence[str]) -> RetrievalStatistics:
        """See `Task.statistics`."""
        del labels
        return RetrievalStatistics()

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
        vectors = vectors_of(outputs, encoding.features, items)
        return retrieval_outcomes(ranks_of(vectors), losses, np.ones(len(items), dtype=np.int64))

    def collapsed(self, totals: Totals, labels: Sequence[str]) -> bool:
        """See `Task.collapsed`: no positive is among the nearest."""
        del labels
        return bool(RetrievalStatistics().flaws(totals, ()))

    def answer_columns(self, predictions: Sequence[Any] | np.ndarray) -> "dict[str, pa.Array]":
        """See `Task.answer_columns`: ranks, beside what the form has of cosines."""
        import pyarrow as pa

        return {"rank": pa.array(ranks_of(predictions), pa.int32()), **self.form.columns(predictions)}

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """See `Task.outcome_columns`."""
        return ("rank", "confidence")

    def outcomes(self, targets: "pa.ChunkedArray", answers: "pa.Table", labels: Sequence[str]) -> Outcomes:
        """See `Task.outcomes`."""
        del targets, labels
        return retrieval_outcomes(answers["rank"].to_numpy().astype(np.int64), *self.outcome_losses(answers))

    def parts(self, targets: "pa.ChunkedArray", labels: Sequence[str]) -> tuple[Ints, tuple[str, ...]]:
        """See `Task.parts`: there is one kind of pair."""
        del labels
        return np.zeros(len(targets), dtype=np.int64), ("positive",)

    def describe(self, row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """See `Task.describe`."""
        del labels
        found = f"rank {row['rank']:,}, cosine {row['cosine']:.3f}"
        return {"label": "rank 1", "prediction": found, "confidence": None, "given": None}


def _right(targets: "torch.Tensor") -> "torch.Tensor":
    """Return which candidates are no negatives of a row beside its own positive.

    Args:
        targets: Of `Pairs.targets`, (rows, texts).

    Returns:
        (rows, candidates), bool: the positives of all rows, then their hard negatives.
    """
    import torch

    rows = len(targets)
    anchors, positives = targets[:, 0], targets[:, 1]
    candidates = targets[:, 1:].T.flatten()
    alike = anchors[:, None] == anchors
    # Texts that stand as a positive of an equal anchor, the row's own among them: (rows, positives) × (…, candidates).
    same = (positives[:, None] == candidates).float()
    right: torch.Tensor = (alike.float() @ same > 0) | (anchors[:, None] == candidates)
    right[:, :rows] |= alike
    right.diagonal()[:] = False
    return right


def ranks_of(predictions: Sequence[Vectors] | np.ndarray) -> Ints:
    """Return the rank of each row's positive among the distinct positives of all rows, see `positive_ranks`."""
    anchors, positives = (_distinct(predictions, side) for side in (0, 1))
    vectors = [
        unit(np.stack(found)) if found else np.zeros((0, 1), dtype=np.float32) for _, found in (anchors, positives)
    ]
    return positive_ranks(lambda some: vectors[0][some] @ vectors[1].T, anchors[0], positives[0], len(positives[1]))


def _distinct(predictions: Sequence[Vectors] | np.ndarray, side: int) -> tuple[Ints, list[np.ndarray]]:
    """Return the number of each row's text on a side, and the vector of each such text where it stands first."""
    known: dict[str, int] = {}
    found: list[np.ndarray] = []
    numbers = np.zeros(len(predictions), dtype=np.int64)
    for row, each in enumerate(predictions):
        text = each.texts[side]
        if text not in known:
            known[text] = len(known)
            found.append(each.values[side])
        numbers[row] = known[text]
    return numbers, found


TASK: Task = Pairs()
