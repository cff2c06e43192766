"""Answers of entities: spans of characters of the raw text, each with a type and a score."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.behaviour.edits import AnswerPlace
from kubetune.tasks.answers import AnswerForm, HubForm, Parameter
from kubetune.tasks.arrays import softmax
from kubetune.tasks.entities import NO_WORD

if TYPE_CHECKING:
    import pyarrow as pa

    from kubetune.tasks.base import Encoding


HUB = HubForm(
    pipeline="token-classification",
    arguments='aggregation_strategy="first"',
    because="a word's type was learnt at its first token, and the others say nothing",
    classes="TOKEN_CLASSIFICATION",
    client="token_classification",
    in_list=False,
)
PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "aggregation_strategy": Parameter(
            {"enum": ["first"]},
            "first: the model is asked at the first token of each word, and has learnt nothing at the others",
            default="first",
            hub_only=True,
        ),
        "ignore_labels": Parameter(
            {"type": "array", "items": {"type": "string"}}, "a list of labels", default=(), hub_only=True
        ),
        "stride": Parameter(
            {"enum": [0]},
            "left out: a text is read once, and what is behind the model's maximum length is in no entity",
            default=0,
            hub_only=True,
        ),
    }
)


class EntityAnswers:
    """Implements `AnswerForm`; a prediction is entities in their order, as in an answer.

    They are those that `transformers` calls aggregated by `first`: each word has the tag of its first token.
    """

    says = (
        "An answer is the entities of a text in their order: type, mean probability of its words' tags, and the "
        "characters of the raw text from `start` up to but without `end`."
    )
    hub = HUB
    request_texts: tuple[str, ...] = ()
    parameters = PARAMETERS
    judged_by: frozenset[str] = frozenset({"places"})
    flips = True
    grouped_by: tuple[str, ...] = ("entities", "confidence")
    stored_in: tuple[str, ...] = ("entities",)

    @property
    def schema(self) -> Mapping[str, Any]:
        """See `AnswerForm.schema`."""
        place = {"type": "integer", "minimum": 0}
        entity = {
            "entity_group": {"type": "string"},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "word": {"type": "string"},
            "start": place,
            "end": place,
        }
        return {"type": "array", "items": {"type": "object", "properties": entity}}

    def caveat(self, labels: Sequence[str]) -> str:
        """See `AnswerForm.caveat`."""
        return f"It knows {len(labels)} types of entities and finds none of another type; entities never overlap."

    def decode(
        self, prediction: Sequence[Mapping[str, Any]], labels: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """See `AnswerForm.decode`: all of them but those of `ignore_labels`, as nothing ranks entities."""
        del labels
        ignored = parameters.get("ignore_labels", ())
        return [dict(entity) for entity in prediction if entity["entity_group"] not in ignored]

    def columns(self, predictions: Sequence[Any] | np.ndarray) -> "dict[str, pa.Array]":
        """See `AnswerForm.columns`; a row is as sure as its least sure entity, and sure where it has none."""
        import pyarrow as pa

        entity = pa.struct(
            [
                ("entity_group", pa.string()),
                ("score", pa.float32()),
                ("word", pa.string()),
                ("start", pa.int32()),
                ("end", pa.int32()),
            ]
        )
        sure = [min((float(entity["score"]) for entity in found), default=1.0) for found in predictions]
        return {
            "entities": pa.array([list(map(dict, found)) for found in predictions], pa.list_(entity)),
            "confidence": pa.array(sure, pa.float32()),
        }

    def stored(self, table: "pa.Table") -> list[Any]:
        """See `AnswerForm.stored`."""
        return list(table["entities"].to_pylist())

    def groups(self, table: "pa.Table", labels: Sequence[str]) -> "dict[str, pa.Array]":
        """See `AnswerForm.groups`: by type, and what has no entity at all."""
        import pyarrow as pa
        import pyarrow.compute as pc

        entities = table["entities"].combine_chunks()
        rows = pc.list_parent_indices(entities).to_numpy(zero_copy_only=False)
        types = np.asarray(pc.struct_field(pc.list_flatten(entities), "entity_group").to_pylist(), dtype=object)
        numbers = np.arange(table.num_rows)
        masks = {"no-entity": ~np.isin(numbers, rows)}
        masks |= {f"entity-{number}": np.isin(numbers, rows[types == label]) for number, label in enumerate(labels)}
        return {name: pa.array(mask) for name, mask in masks.items()}

    def expectation(self, answer: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """See `AnswerForm.expectation`: the entities without their text, which stands in the row."""
        return {
            "entities": [
                {
                    "entity_group": str(entity["entity_group"]),
                    "start": int(entity["start"]),
                    "end": int(entity["end"]),
                    "score": float(entity["score"]),
                }
                for entity in answer
            ]
        }

    def differs(self, expected: Mapping[str, Any], got: Mapping[str, Any], allowed: float) -> str | None:
        """See `AnswerForm.differs`: equal spans and types, scores within what is allowed.

        No entity is let off because its score is near a border: a mean over words does not tell how near one of them
        is. Rows are picked that have no such word, see `margins`.
        """
        wanted, found = (
            {(entity["start"], entity["end"], entity["entity_group"]): entity["score"] for entity in each["entities"]}
            for each in (expected, got)
        )
        if missing := wanted.keys() - found.keys():
            return f"lacks {_place(min(missing))}, and has {len(found)} entities of {len(wanted)}"
        if more := found.keys() - wanted.keys():
            return f"got {_place(min(more))}, where there is none"
        if not wanted:
            return None
        worst = max(wanted, key=lambda place: _distance(wanted[place], found[place]))
        if _distance(wanted[worst], found[worst]) <= allowed:
            return None
        return (
            f"got {found[worst]:.4f} for {_place(worst)} instead of {wanted[worst]:.4f}, where {allowed:g} is allowed"
        )

    def margins(self, outputs: Sequence[np.ndarray], encoding: "Encoding") -> list[float]:
        """See `AnswerForm.margins`: at the word whose two best tags are nearest to each other."""
        found = [1.0] * len(encoding.truncated)
        for output, feature, example in zip(outputs, encoding.features, encoding.example, strict=True):
            logits = output[np.asarray(feature["starts"]) != NO_WORD]
            if len(logits):
                second, first = np.sort(softmax(logits), axis=1)[:, -2:].T
                found[example] = min(found[example], float((first - second).min()))
        return found

    def marks(self, prediction: Sequence[Mapping[str, Any]]) -> tuple[AnswerPlace, ...]:
        """See `PlaceForm.marks`: the entities."""
        return tuple(
            AnswerPlace(0, entity["start"], entity["end"], entity["entity_group"], float(entity["score"]))
            for entity in prediction
        )

    def true_marks(self, target: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> tuple[AnswerPlace, ...]:
        """See `PlaceForm.true_marks`."""
        return tuple(AnswerPlace(0, span["start"], span["end"], labels[span["label"]]) for span in target)


FORM: AnswerForm = EntityAnswers()


def _distance(one: float, other: float) -> float:
    difference = abs(one - other)
    return difference if math.isfinite(difference) else math.inf


def _place(entity: tuple[int, int, str]) -> str:
    start, end, label = entity
    return f"{label!r:.60} at characters {start} to {end}"
