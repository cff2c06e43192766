"""How predictions leave a task: what a request may ask, what an answer is, and when a golden vector is met.

Serving, packaging and the command line know answers through this alone. Light to import, as a gateway reads it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from kubetune.behaviour.edits import AnswerPlace

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from kubetune.tasks.base import Encoding

TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
}
ALIKE, UNLIKE = "alike", "unlike"
"""Labels of rows of two texts, by which a suite draws them: those that belong together, and those that do not."""


@dataclass(frozen=True)
class Parameter:
    """Something that a request may ask of an answer.

    Attributes:
        schema: JSON Schema of its value, with `type`, `enum`, `minimum`, `maximum`, `pattern`, `items`, `minItems`,
            `uniqueItems` and `anyOf` alone.
        must: What it must be, and why nothing else; it ends a sentence.
        default: Where a request does not say.
        all_unless_asked: Of `top_k`: whether an answer has all its parts where a request does not say, whatever the
            archive's `serving.top_k` is.
        hub_only: Whether it stands in `parameters` alone, as clients of Hugging Face's inference API send it; others
            are keys of our own form, too.
        each: Whether the model is asked once for each of its values: a list of 10 makes a text cost what 10 do.
    """

    schema: Mapping[str, Any]
    must: str
    default: Any = None
    hub_only: bool = False
    all_unless_asked: bool = False
    each: bool = False

    def allows(self, value: Any) -> bool:
        """Whether a value, as JSON gives it, fits the schema."""
        return any(_fits(schema, value) for schema in self.schema.get("anyOf", (self.schema,)))


@dataclass(frozen=True)
class HubForm:
    """How Hugging Face's libraries know the task.

    Attributes:
        pipeline: Of `transformers.pipeline`, and the tag of a model card.
        arguments: Of a call of the pipeline that gives our answers; empty: none.
        because: What goes wrong without them; it ends a sentence.
        classes: Which table of `transformers` names the class of an exported model, as `SEQUENCE_CLASSIFICATION`.
        client: Method of `huggingface_hub.InferenceClient`.
        in_list: Whether that client expects the answer to one text inside of a list.
        at_root: Whether that client puts parameters beside `inputs`, which may be a list of texts.
        example: Parameters without which a lone text is no request, with values to show; else empty.
        text: A text to show.
        writes_token: Whether a request writes a special token, as the mask.
    """

    pipeline: str
    arguments: str
    because: str
    classes: str
    client: str
    in_list: bool
    at_root: bool = False
    example: Mapping[str, Any] = field(default_factory=dict)
    text: str = "The text that you want an answer for"
    writes_token: bool = False


class AnswerForm(Protocol):
    """What a task answers. Predictions are those of `Task.predictions`; implementations are stateless."""

    @property
    def says(self) -> str:
        """What an answer is, one sentence for a person."""

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Name → what a request may ask; `top_k` where an answer ranks its parts."""

    @property
    def request_texts(self) -> tuple[str, ...]:
        """Names of texts in a request, where there are more than `Task.columns`; else empty."""

    @property
    def hub(self) -> HubForm:
        """How Hugging Face's libraries know the task."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """JSON Schema of what `decode` returns."""

    @property
    def judged_by(self) -> frozenset[str]:
        """What suites of behavioural tests may expect of predictions.

        `labels`, where they are class probabilities and the form is a `ClassForm` as well; `places`, where they point
        at characters (`PlaceForm`); `similarity`, where two texts have a number (`SimilarityForm`); `label-sets`, where
        labels are chosen, however many (`LabelSetForm`).
        """

    @property
    def flips(self) -> bool:
        """Whether the smallest change of a number can give another answer, as where spans come of the best tags."""

    @property
    def grouped_by(self) -> tuple[str, ...]:
        """Columns of `columns` that `groups` reads."""

    @property
    def stored_in(self) -> tuple[str, ...]:
        """Columns of `columns` or `Task.output_columns` that `stored` reads; none where the model is asked again."""

    def caveat(self, labels: Sequence[str]) -> str:
        """Return what a user must not rely on, one sentence."""

    def decode(self, prediction: Any, labels: Sequence[str], parameters: Mapping[str, Any]) -> Any:
        """Return a prediction as the answer of a request.

        Args:
            prediction: One, or a tuple of them, see `Task.asked`.
            labels: Class names by class number.
            parameters: Checked values by name; one that is missing has its default. `own_form` is true where the answer
                has our own form and not that of Hugging Face's clients.
        """

    def columns(self, predictions: "Sequence[Any] | np.ndarray") -> "dict[str, pa.Array]":
        """See `Task.answer_columns`; `confidence` (0 to 1) is among them for every task."""

    def stored(self, table: "pa.Table") -> list[Any]:
        """Return the predictions that columns `stored_in` hold."""

    def groups(self, table: "pa.Table", labels: Sequence[str]) -> "dict[str, pa.Array]":
        """Return which rows, as marks, have one kind of answer: name → mask; each kind gets a golden vector.

        Args:
            table: Has the columns `grouped_by`.
            labels: Class names by class number.
        """

    def expectation(self, answer: Any) -> dict[str, Any]:
        """Return what a golden vector states of an answer of `decode` without parameters: keys of `golden.json`."""

    def differs(self, expected: Mapping[str, Any], got: Mapping[str, Any], allowed: float) -> str | None:
        """Return how an answer differs from a golden vector's, without text of the row; None: it reproduces it.

        Args:
            expected: Of `expectation`, when the vector was made.
            got: Of `expectation`, now.
            allowed: Absolute difference of a probability.

        Returns:
            The end of a sentence that begins with the vector's name.
        """

    def margins(self, outputs: "Sequence[np.ndarray]", encoding: "Encoding") -> list[float]:
        """Return by how much probability each example is away from another answer; asked where `flips`.

        Args:
            outputs: As of `Task.predictions`.
            encoding: Of the examples.
        """


class ClassForm(Protocol):
    """What a form has as well whose answers are probabilities of classes."""

    def shares(self, predictions: "Sequence[Any] | np.ndarray") -> "np.ndarray":
        """Return the probabilities of predictions, shape (items, classes)."""


class SimilarityForm(Protocol):
    """What a form has as well whose predictions on two texts say how alike they are."""

    def similarity(self, prediction: Any) -> float:
        """Return how alike the two texts of an item are."""

    def likeness(self, target: Any) -> str | None:
        """Return `ALIKE` or `UNLIKE`, or None where a row's texts are neither.

        Args:
            target: As column `label` of artifact `report` has it.
        """


class LabelSetForm(Protocol):
    """What a form has as well whose predictions choose any number of labels."""

    def chosen_labels(self, prediction: Any, labels: Sequence[str]) -> dict[str, float]:
        """Return the chosen labels with their probabilities.

        Args:
            prediction: One.
            labels: Class names by class number.
        """


class PlaceForm(Protocol):
    """What a form has as well whose answers point at characters of the raw texts."""

    def marks(self, prediction: Any) -> tuple[AnswerPlace, ...]:
        """Return the places that a prediction points at."""

    def true_marks(self, target: Any, labels: Sequence[str]) -> tuple[AnswerPlace, ...]:
        """Return the entities that stand in a row.

        Args:
            target: As column `label` of artifact `report` has it.
            labels: Class names by class number.
        """


def chosen_parameters(known: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any] | str:
    """Return the parameters that a request gives, null meaning that it does not, or a sentence against one of them.

    Args:
        known: Of the task.
        given: Name → value; the names are among the known ones.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    for name, value in chosen.items():
        if not known[name].allows(value):
            return f"`{name}` must be {known[name].must}"
    return chosen


def too_many(known: Mapping[str, Parameter], chosen: Mapping[str, Any], items: int, most: int) -> str | None:
    """Return a sentence against a request that asks the model more than `most` items; None: it does not.

    Args:
        known: Of the task.
        chosen: Of the request, checked.
        items: Of the request.
        most: Items that one request may hold.
    """
    each = {name: len(chosen[name]) for name in chosen if known[name].each}
    if (asked := items * math.prod(each.values())) <= most:
        return None
    times = "".join(f" times {count} {name}" for name, count in each.items())
    return f"`inputs` has {items} items{times and f'{times}, together {asked}'}: at most {most} are allowed"


def _fits(schema: Mapping[str, Any], value: Any) -> bool:
    kind = schema.get("type")
    if kind is not None and not isinstance(value, TYPES[kind]):
        return False
    if isinstance(value, bool) and kind not in (None, "boolean"):  # a bool is an int in Python and none in JSON
        return False
    if "enum" in schema and not any(value == one and type(value) is type(one) for one in schema["enum"]):
        return False
    if ("minimum" in schema and value < schema["minimum"]) or ("maximum" in schema and value > schema["maximum"]):
        return False
    if kind == "array":
        return len(value) >= schema.get("minItems", 0) and _parts_fit(schema, value)
    return "pattern" not in schema or re.search(schema["pattern"], value) is not None


def _parts_fit(schema: Mapping[str, Any], parts: Sequence[Any]) -> bool:
    alike = schema.get("uniqueItems", False) and any(part in parts[:place] for place, part in enumerate(parts))
    return not alike and all(_fits(schema.get("items", {}), part) for part in parts)
