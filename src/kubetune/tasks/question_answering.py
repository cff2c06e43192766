"""Extractive question answering: the characters of a context that answer a question, or that there are none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.metrics.answers import AnswerStatistics, answer_outcomes
from kubetune.metrics.base import Ints, Outcomes, Totals
from kubetune.tasks.arrays import padded
from kubetune.tasks.base import IGNORED, Encoding, Feature, OutputHead, Schema, Task
from kubetune.tasks.common import CommonTask
from kubetune.tasks.windows import FIRST, LAST, encode_windows

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from transformers import PreTrainedTokenizerBase


LONGEST = 30
"""Most tokens of an answer."""
BEST = 20
"""Starts and ends that are paired."""
PARTS = ("unanswerable", "answerable")


@dataclass(frozen=True)
class QuestionAnswering(CommonTask):
    """Implements `Task` for answers in a context.

    A long context is read in windows that overlap; features have the columns `marks` (targets: see `windows`), `starts`
    and `ends` (characters of the context, -1 for a token that is none of it). Token 0 stands for "not in this window".
    """

    kind: str = "question-answering"
    columns: tuple[str, ...] = ("question", "context")
    windows: bool = True
    target_columns: tuple[str, ...] = ("marks",)
    class_columns: tuple[str, ...] = ()
    place_columns: tuple[str, ...] = ("starts", "ends")
    text_columns: tuple[str, ...] = ("raw_text_pair", "label")

    @property
    def schema(self) -> Schema:
        """See `Task.schema`."""
        return Schema(("question", "context"), "answers", "answers", offsets=True)

    def encode(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        items: Sequence[tuple[str, ...]],
        max_length: int,
        targets: Sequence[Any] | None = None,
    ) -> Encoding:
        """See `Task.encode`; a question of more than a third of a window is cut."""
        return encode_windows(tokenizer, items, max_length, targets)

    def targets(self, rows: Sequence[Feature], length: int) -> "torch.Tensor":
        """See `Task.targets`: marks (rows, length) int64."""
        return padded(rows, "marks", IGNORED, length)

    def head(self, labels: Sequence[str]) -> OutputHead:
        """See `Task.head`: for each token how likely an answer starts and ends there."""
        del labels
        return OutputHead(("start", "end"), per_token=True, stock="question-answering")

    def losses(
        self,
        outputs: "torch.Tensor",
        targets: "torch.Tensor",
        label_smoothing: float = 0.0,
        class_weights: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """See `Task.losses`: mean cross-entropy of start and end, in nats, among the tokens that may be answers."""
        import torch

        del class_weights
        closed = targets == IGNORED
        logits = outputs.float().masked_fill(closed[..., None], -torch.inf)
        marks = targets.masked_fill(closed, 0)
        found = torch.zeros(len(outputs), device=outputs.device)
        for place, mark in ((0, FIRST), (1, LAST)):
            shares = torch.log_softmax(logits[..., place], dim=1)
            right = ((marks & mark) > 0).int().argmax(dim=1, keepdim=True)
            wanted = -shares.gather(1, right)[:, 0]
            if label_smoothing:
                mean = -shares.masked_fill(closed, 0.0).sum(dim=1) / (~closed).sum(dim=1)
                wanted = (1 - label_smoothing) * wanted + label_smoothing * mean
            found = found + wanted / 2
        return found

    def statistics(self, labels: Sequence[str]) -> AnswerStatistics:
        """See `Task.statistics`."""
        del labels
        return AnswerStatistics()

    def validation(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        losses: np.ndarray,
        labels: Sequence[str],
        texts: Mapping[str, Sequence[Any]],
    ) -> Outcomes:
        """See `Task.validation`."""
        contexts = texts["raw_text_pair"]
        items = [("", context) for context in contexts]
        answers = [found["answer"] for found in self.predictions(outputs, encoding, items, labels)]
        given = [[str(text) for text in value["text"]] for value in texts["label"]]
        example = np.asarray(encoding.example, dtype=np.int64)
        summed = np.bincount(example, weights=losses, minlength=len(contexts)).astype(np.float64)
        return answer_outcomes(given, answers, summed, np.bincount(example, minlength=len(contexts)))

    def collapsed(self, totals: Totals, labels: Sequence[str]) -> bool:
        """See `Task.collapsed`: no answerable question is answered with a word that is right."""
        del labels
        return bool(AnswerStatistics().flaws(totals, ()))

    def predictions(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        items: Sequence[tuple[str, ...]],
        labels: Sequence[str],
    ) -> list[dict[str, Any]]:
        """Return the answer to each question: `{"answer", "score", "start", "end"}`, characters of the raw context.

        Of all windows the span with the highest probability is taken, and its answer left empty, with the probability
        that there is none, where even the window that is least sure of that finds it likelier than the span.
        """
        del labels
        found: list[tuple[float, int, int]] = [(-1.0, 0, 0)] * len(items)
        none = [1.0] * len(items)
        for output, feature, example in zip(outputs, encoding.features, encoding.example, strict=True):
            here, absent = best_span(output, feature)
            found[example] = max(found[example], here, key=lambda span: span[0])
            none[example] = min(none[example], absent)
        return [
            {"answer": "", "score": absent, "start": 0, "end": 0}
            if score <= absent
            else {"answer": items[number][1][start:end], "score": score, "start": start, "end": end}
            for number, ((score, start, end), absent) in enumerate(zip(found, none, strict=True))
        ]

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """See `Task.outcome_columns`."""
        return ("answer", "confidence")

    def outcomes(self, targets: "pa.ChunkedArray", answers: "pa.Table", labels: Sequence[str]) -> Outcomes:
        """See `Task.outcomes`."""
        del labels
        given = [[str(text) for text in value["text"]] for value in targets.to_pylist()]
        losses, terms = (
            answers[name].to_numpy() if name in answers.column_names else None for name in ("loss", "terms")
        )
        return answer_outcomes(given, answers["answer"].to_pylist(), losses, terms)

    def parts(self, targets: "pa.ChunkedArray", labels: Sequence[str]) -> tuple[Ints, tuple[str, ...]]:
        """See `Task.parts`: questions with an answer, and without."""
        del labels
        return np.array([int(bool(value["text"])) for value in targets.to_pylist()], dtype=np.int64), PARTS

    def describe(self, row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
        """See `Task.describe`."""
        del labels
        given = " / ".join(dict.fromkeys(row["label"]["text"])) or "no answer"
        return {
            "label": given,
            "prediction": row["answer"] or "no answer",
            "confidence": row["confidence"],
            "given": None,
        }


def best_span(output: np.ndarray, feature: Feature) -> tuple[tuple[float, int, int], float]:
    """Return the likeliest answer in one window as (probability, start, end), and the probability of none.

    Args:
        output: Logits (tokens, 2).
        feature: With its columns `starts` and `ends`.
    """
    starts, ends = np.asarray(feature["starts"]), np.asarray(feature["ends"])
    open_tokens = np.concatenate([[0], np.flatnonzero(starts >= 0)])
    logits = output[open_tokens].astype(np.float64)
    shares = np.exp(logits - logits.max(axis=0))
    shares /= shares.sum(axis=0)
    absent = float(shares[0, 0] * shares[0, 1])
    best = (-1.0, 0, 0)
    firsts, lasts = (1 + np.argsort(-shares[1:, place], kind="stable")[:BEST] for place in (0, 1))
    for first in firsts.tolist():
        for last in lasts.tolist():
            if first <= last < first + LONGEST and (score := float(shares[first, 0] * shares[last, 1])) > best[0]:
                best = (score, int(starts[open_tokens[first]]), int(ends[open_tokens[last]]))
    return best, absent


TASK: Task = QuestionAnswering()
