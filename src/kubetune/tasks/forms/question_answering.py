"""Answers cut from a context: its characters, and how probable they are; the empty answer is "there is none"."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.behaviour.edits import AnswerPlace
from kubetune.tasks.answers import AnswerForm, HubForm, Parameter

if TYPE_CHECKING:
    import pyarrow as pa

    from kubetune.tasks.base import Encoding

HUB = HubForm(
    pipeline="question-answering",
    arguments="",
    because="a long context is read in windows that overlap",
    classes="QUESTION_ANSWERING",
    client="question_answering",
    in_list=False,
)
PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "top_k": Parameter({"enum": [1]}, "1: a question has one answer", default=1, hub_only=True),
        "handle_impossible_answer": Parameter(
            {"enum": [True]},
            "true: where no answer is likelier than any, the answer is empty",
            default=True,
            hub_only=True,
        ),
    }
)


class SpanAnswers:
    """Implements `AnswerForm`; a prediction is `{"answer", "score", "start", "end"}`."""

    says = (
        "An answer is the characters of the context from `start` up to but without `end` with their probability, or "
        "the empty text with the probability that there is none."
    )
    hub = HUB
    request_texts: tuple[str, ...] = ()
    parameters = PARAMETERS
    judged_by: frozenset[str] = frozenset({"places"})
    flips = True
    grouped_by: tuple[str, ...] = ("answer", "confidence")
    stored_in: tuple[str, ...] = ("answer", "start", "end", "confidence")

    @property
    def schema(self) -> Mapping[str, Any]:
        """See `AnswerForm.schema`."""
        place = {"type": "integer", "minimum": 0}
        score = {"type": "number", "minimum": 0, "maximum": 1}
        return {
            "type": "object",
            "properties": {"answer": {"type": "string"}, "score": score, "start": place, "end": place},
        }

    def caveat(self, labels: Sequence[str]) -> str:
        """See `AnswerForm.caveat`."""
        del labels
        return "It copies from the context: what is not written there in one piece it cannot answer."

    def decode(
        self, prediction: Mapping[str, Any], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `AnswerForm.decode`: the one answer."""
        del labels, parameters
        return dict(prediction)

    def columns(self, predictions: Sequence[Any] | np.ndarray) -> "dict[str, pa.Array]":
        """See `AnswerForm.columns`."""
        import pyarrow as pa

        return {
            "answer": pa.array([found["answer"] for found in predictions], pa.string()),
            "start": pa.array([found["start"] for found in predictions], pa.int32()),
            "end": pa.array([found["end"] for found in predictions], pa.int32()),
            "confidence": pa.array([found["score"] for found in predictions], pa.float32()),
        }

    def stored(self, table: "pa.Table") -> list[Any]:
        """See `AnswerForm.stored`."""
        columns = (table[name].to_pylist() for name in self.stored_in)
        return [
            {"answer": answer, "score": score, "start": start, "end": end}
            for answer, start, end, score in zip(*columns, strict=True)
        ]

    def groups(self, table: "pa.Table", labels: Sequence[str]) -> "dict[str, pa.Array]":
        """See `AnswerForm.groups`: an answer, and none."""
        import pyarrow.compute as pc

        del labels
        empty = pc.equal(table["answer"], "")
        return {"answered": pc.invert(empty), "unanswered": empty}

    def expectation(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """See `AnswerForm.expectation`: where the answer stands, and its probability."""
        return {"start": int(answer["start"]), "end": int(answer["end"]), "score": float(answer["score"])}

    def differs(self, expected: Mapping[str, Any], got: Mapping[str, Any], allowed: float) -> str | None:
        """See `AnswerForm.differs`: the same characters, and the probability within what is allowed."""
        if (expected["start"], expected["end"]) != (got["start"], got["end"]):
            return f"got characters {got['start']} to {got['end']} instead of {expected['start']} to {expected['end']}"
        difference = abs(expected["score"] - got["score"])
        if math.isfinite(difference) and difference <= allowed:
            return None
        return f"got {got['score']:.4f} instead of {expected['score']:.4f}, where {allowed:g} is allowed"

    def margins(self, outputs: Sequence[np.ndarray], encoding: "Encoding") -> list[float]:
        """See `AnswerForm.margins`: between the best start or end of any window and the next one there."""
        found = [1.0] * len(encoding.truncated)
        for output, feature, example in zip(outputs, encoding.features, encoding.example, strict=True):
            places = np.concatenate([[0], np.flatnonzero(np.asarray(feature["starts"]) >= 0)])
            logits = output[places].astype(np.float64)
            shares = np.exp(logits - logits.max(axis=0))
            shares /= shares.sum(axis=0)
            if len(shares) > 1:
                second, first = np.sort(shares, axis=0)[-2:]
                found[example] = min(found[example], float((first - second).min()))
        return found

    def marks(self, prediction: Mapping[str, Any]) -> tuple[AnswerPlace, ...]:
        """See `PlaceForm.marks`: the answer, where there is one."""
        found = prediction
        return (AnswerPlace(1, found["start"], found["end"], "", float(found["score"])),) if found["answer"] else ()

    def true_marks(self, target: Any, labels: Sequence[str]) -> tuple[AnswerPlace, ...]:
        """See `PlaceForm.true_marks`: nothing is said of entities."""
        del target, labels
        return ()


FORM: AnswerForm = SpanAnswers()
