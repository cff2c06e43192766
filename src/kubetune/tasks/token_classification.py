"""Named entities: a type for spans of characters of one text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.metrics.base import Ints, Outcomes, Totals
from kubetune.metrics.entities import EntityStatistics
from kubetune.tasks.arrays import READ, padded, softmax
from kubetune.tasks.base import IGNORED, Encoding, Feature, OutputHead, Schema, Task
from kubetune.tasks.common import CommonTask
from kubetune.tasks.encoding import raw_offsets, tokenize_parted
from kubetune.tasks.entities import (
    NO_WORD,
    FoundEntity,
    Span,
    first_pieces,
    representable,
    span_target,
    spans_of,
    tags_of,
    words_of,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from transformers import PreTrainedTokenizerBase


PARTS = ("no entity", "one entity", "two entities", "more entities")


@dataclass(frozen=True)
class TokenClassification(CommonTask):
    """Implements `Task` for entities.

    Features have the columns `tags` (targets: the tag of each token that begins a word, `IGNORED` elsewhere), `starts`
    and `ends` (characters of the word that a token begins, `NO_WORD` elsewhere).
    """

    kind: str = "token-classification"
    columns: tuple[str, ...] = ("text",)
    target_columns: tuple[str, ...] = ("tags",)
    class_columns: tuple[str, ...] = ("tags",)
    place_columns: tuple[str, ...] = ("starts", "ends")

    @property
    def schema(self) -> Schema:
        """See `Task.schema`."""
        return Schema(("tokens",), "ner_tags", "spans", offsets=True)

    def encode(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        items: Sequence[tuple[str, ...]],
        max_length: int,
        targets: Sequence[Any] | None = None,
    ) -> Encoding:
        """See `Task.encode`; each item is one feature, and words behind the cut are in no entity."""
        if not items:
            return Encoding([], [], [])
        batch, read = tokenize_parted(tokenizer, items, max_length)
        features: list[Feature] = []
        lost: list[int] = []
        for row, encoding in enumerate(batch.encodings):
            text = items[row][0]
            places = raw_offsets(text, read[row][0])
            pieces = [
                (places[start], places[end]) if not special else (0, 0)
                for (start, end), special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
            ]
            words = words_of(text, pieces)
            first = first_pieces(words, pieces)
            feature: dict[str, list[int]] = {name: batch[name][row] for name in READ if name in batch}
            feature["starts"] = [words[word][0] if word >= 0 else NO_WORD for word in first]
            feature["ends"] = [words[word][1] if word >= 0 else NO_WORD for word in first]
            if targets is not None:
                spans = span_target(targets[row])
                tags = tags_of(words, spans)
                feature["tags"] = [tags[word] if word >= 0 else IGNORED for word in first]
                reached = 1 + max(first, default=-1)
                lost.append(sum(not representable(words, reached, span) for span in spans))
            features.append(feature)
        truncated = [bool(encoding.overflowing) for encoding in batch.encodings]
        return Encoding(features, list(range(len(items))), truncated, lost)

    def targets(self, rows: Sequence[Feature], length: int) -> "torch.Tensor":
        """See `Task.targets`: (rows, length) int64."""
        return padded(rows, "tags", IGNORED, length)

    def terms(self, rows: Sequence[Feature]) -> np.ndarray:
        """See `Task.terms`: the words of each row."""
        return np.array([np.count_nonzero(np.asarray(row["tags"]) != IGNORED) for row in rows], dtype=np.int64)

    def head(self, labels: Sequence[str]) -> OutputHead:
        """See `Task.head`: for each token outside, and begin and inside of each type."""
        return OutputHead(
            ("O", *(f"{part}-{label}" for label in labels for part in "BI")),
            per_token=True,
            stock="token-classification",
        )

    def losses(
        self,
        outputs: "torch.Tensor",
        targets: "torch.Tensor",
        label_smoothing: float = 0.0,
        class_weights: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """See `Task.losses`: cross-entropy in nats, summed over the words of a row."""
        import torch

        losses = torch.nn.functional.cross_entropy(
            outputs.float().transpose(1, 2),
            targets,
            label_smoothing=label_smoothing,
            ignore_index=IGNORED,
            reduction="none",
        )
        if class_weights is not None:
            losses = losses * class_weights[targets.clamp(min=0)]
        return losses.sum(dim=1)

    def statistics(self, labels: Sequence[str]) -> EntityStatistics:
        """See `Task.statistics`."""
        return EntityStatistics(tuple(labels))

    def validation(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        losses: np.ndarray,
        labels: Sequence[str],
        texts: Mapping[str, Sequence[Any]],
    ) -> Outcomes:
        """See `Task.validation`; what no tag can say is not asked for here, `evaluate` does."""
        del texts
        there = [
            [(start, end, labels[label]) for start, end, label in true_entities(feature)]
            for feature in encoding.features
        ]
        found = [
            [(entity.start, entity.end, labels[entity.label]) for entity in entities(output, feature)]
            for output, feature in zip(outputs, encoding.features, strict=True)
        ]
        return EntityStatistics(tuple(labels)).outcomes(there, found, losses, self.terms(encoding.features))

    def collapsed(self, totals: Totals, labels: Sequence[str]) -> bool:
        """See `Task.collapsed`: nothing is found, or nothing that is there."""
        return bool(EntityStatistics(tuple(labels)).flaws(totals, labels))

    def predictions(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        items: Sequence[tuple[str, ...]],
        labels: Sequence[str],
    ) -> list[list[dict[str, Any]]]:
        """Return the entities of each text: `{"entity_group", "score", "word", "start", "end"}`, in order."""
        return [
            [
                {
                    "entity_group": labels[found.label],
                    "score": found.score,
                    "word": items[example][0][found.start : found.end],
                    "start": found.start,
                    "end": found.end,
                }
                for found in entities(output, feature)
            ]
            for output, feature, example in zip(outputs, encoding.features, encoding.example, strict=True)
        ]

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """See `Task.outcome_columns`."""
        return ("entities", "confidence")

    def outcomes(self, targets: "pa.ChunkedArray", answers: "pa.Table", labels: Sequence[str]) -> Outcomes:
        """See `Task.outcomes`."""
        there = [
            [(span.start, span.end, labels[span.label]) for span in spans] for spans in true_spans(targets.to_pylist())
        ]
        found = [
            [(entity["start"], entity["end"], entity["entity_group"]) for entity in entities]
            for entities in answers["entities"].to_pylist()
        ]
        losses, terms = (
            answers[name].to_numpy() if name in answers.column_names else None for name in ("loss", "terms")
        )
        return EntityStatistics(tuple(labels)).outcomes(there, found, losses, terms)

    def parts(self, targets: "pa.ChunkedArray", labels: Sequence[str]) -> tuple[Ints, tuple[str, ...]]:
        """See `Task.parts`: texts by how many entities they have."""
        del labels
        counts = [min(len(spans), len(PARTS) - 1) for spans in targets.to_pylist()]
        return np.array(counts, dtype=np.int64), PARTS

    def describe(self, row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """See `Task.describe`: the entities, each with its type."""
        text = row["raw_text"]
        there = [(span.start, span.end, labels[span.label]) for span in span_target(row["label"])]
        found = [(entity["start"], entity["end"], entity["entity_group"]) for entity in row["entities"]]
        shown = [
            ", ".join(f"{text[start:end]} ({label})" for start, end, label in spans) or "no entity"
            for spans in (there, found)
        ]
        return {"label": shown[0], "prediction": shown[1], "confidence": row["confidence"], "given": None}


def entities(output: np.ndarray, feature: Feature) -> list[FoundEntity]:
    """Return the entities of one feature.

    Args:
        output: Logits (tokens, tags).
        feature: With its columns `starts` and `ends`.
    """
    starts = np.asarray(feature["starts"])
    asked = np.flatnonzero(starts != NO_WORD)
    if not len(asked):
        return []
    shares = softmax(output[asked])
    tags = shares.argmax(axis=1)
    ends = np.asarray(feature["ends"])
    words = list(zip(starts[asked].tolist(), ends[asked].tolist(), strict=True))
    return spans_of(words, tags.tolist(), shares.max(axis=1).tolist())


def true_entities(feature: Feature) -> list[tuple[int, int, int]]:
    """Return the entities that the tags of a feature say."""
    tags = np.asarray(feature["tags"])
    asked = np.flatnonzero(tags != IGNORED)
    starts, ends = (np.asarray(feature[name])[asked].tolist() for name in ("starts", "ends"))
    words = list(zip(starts, ends, strict=True))
    return [found[:3] for found in spans_of(words, tags[asked].tolist(), [1.0] * len(words))]


def true_spans(targets: Sequence[Any]) -> list[list[Span]]:
    """Return the entities of each row, of values of column `label`."""
    return [span_target(value) for value in targets]


TASK: Task = TokenClassification()
