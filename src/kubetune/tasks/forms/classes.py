"""Answers of one label an item: the probability of each class."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.tasks.answers import AnswerForm, HubForm, Parameter

if TYPE_CHECKING:
    import pyarrow as pa

    from kubetune.tasks.base import Encoding


HUB = HubForm(
    pipeline="text-classification",
    arguments="truncation=True",
    because="a longer text than the model can read fails otherwise",
    classes="SEQUENCE_CLASSIFICATION",
    client="text_classification",
    in_list=True,
)
PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "top_k": Parameter({"type": "integer", "minimum": 1}, "a whole number from 1"),
        "function_to_apply": Parameter(
            {"enum": ["softmax"]},
            "softmax: the scores are probabilities of one label each",
            default="softmax",
            hub_only=True,
        ),
    }
)


class ClassAnswers:
    """Implements `AnswerForm`; a prediction is the probabilities by class number."""

    says = "An answer is labels with their probabilities, the most probable first; those of all labels sum to 1."
    hub = HUB
    request_texts: tuple[str, ...] = (
        "text",
        "text_pair",
    )  # a pair sent to a model of one text is told so, and the reverse
    parameters = PARAMETERS
    judged_by: frozenset[str] = frozenset({"labels"})
    flips = False
    grouped_by: tuple[str, ...] = ("prediction", "confidence")
    stored_in: tuple[str, ...] = ("probabilities",)

    @property
    def schema(self) -> Mapping[str, Any]:
        """See `AnswerForm.schema`."""
        score = {"type": "number", "minimum": 0, "maximum": 1}
        entry = {"type": "object", "properties": {"label": {"type": "string"}, "score": score}}
        return {"type": "array", "items": entry}

    def caveat(self, labels: Sequence[str]) -> str:
        """See `AnswerForm.caveat`."""
        return f"It gives one of its {len(labels)} labels to every text, also to one that none of them fits."

    def decode(self, prediction: Any, labels: Sequence[str], parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `AnswerForm.decode`: the best `top_k`, all by default; equal scores keep the order of the labels."""
        order = sorted(range(len(labels)), key=lambda number: (-prediction[number], number))
        best = order[: parameters.get("top_k")]
        return [{"label": labels[number], "score": float(prediction[number])} for number in best]

    def columns(self, predictions: Sequence[Any] | np.ndarray) -> "dict[str, pa.Array]":
        """See `AnswerForm.columns`."""
        import pyarrow as pa

        shares = np.asarray(predictions, dtype=np.float32) if len(predictions) else np.zeros((0, 1), dtype=np.float32)
        offsets = np.arange(len(shares) + 1, dtype=np.int32) * shares.shape[1]
        return {
            "prediction": pa.array(shares.argmax(axis=1).astype(np.int32)),
            "confidence": pa.array(shares.max(axis=1, initial=0)),
            "probabilities": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(shares.ravel())),
        }

    def stored(self, table: "pa.Table") -> list[Any]:
        """See `AnswerForm.stored`."""
        return list(table["probabilities"].to_pylist())

    def shares(self, predictions: Sequence[Any] | np.ndarray) -> np.ndarray:
        """See `ClassForm.shares`."""
        return np.asarray(predictions)

    def groups(self, table: "pa.Table", labels: Sequence[str]) -> "dict[str, pa.Array]":
        """See `AnswerForm.groups`: by predicted class."""
        import pyarrow.compute as pc

        return {f"label-{number}": pc.equal(table["prediction"], number) for number in range(len(labels))}

    def expectation(self, answer: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """See `AnswerForm.expectation`: probability by label."""
        return {"scores": {str(entry["label"]): float(entry["score"]) for entry in answer}}

    def differs(self, expected: Mapping[str, Any], got: Mapping[str, Any], allowed: float) -> str | None:
        """See `AnswerForm.differs`: each probability is compared."""
        wanted, found = expected["scores"], got["scores"]
        if set(found) != set(wanted):
            return f"got labels other than the model's {len(wanted)}"
        label = max(wanted, key=lambda name: abs(wanted[name] - found[name]))
        difference = abs(wanted[label] - found[label])
        if math.isfinite(difference) and difference <= allowed:
            return None
        return (
            f"got {found[label]:.4f} for label {label!r:.60} instead of {wanted[label]:.4f}, where {allowed:g} is "
            "allowed"
        )

    def margins(self, outputs: Sequence[np.ndarray], encoding: "Encoding") -> list[float]:
        """See `AnswerForm.margins`: a probability moves as little as what it is made of."""
        del outputs
        return [math.inf] * len(encoding.truncated)


FORM: AnswerForm = ClassAnswers()
