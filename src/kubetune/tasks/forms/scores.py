"""Answers of a number an item."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
        "top_k": Parameter({"enum": [1]}, "1: there is one number", default=1, hub_only=True),
        "function_to_apply": Parameter(
            {"enum": ["none"]}, "none: the number is no probability", default="none", hub_only=True
        ),
    }
)


@dataclass(frozen=True)
class ScoreAnswers:
    """Implements `AnswerForm`; a prediction is a number.

    Attributes:
        unit: Distance of the least and the most score of train, in which a golden vector's tolerance is counted.
    """

    unit: float = 1.0
    says = "An answer is one number, in the unit of the scores that the model was trained on."
    hub = HUB
    request_texts = ("text", "text_pair")
    parameters = PARAMETERS
    judged_by: frozenset[str] = frozenset()
    flips = False
    grouped_by: tuple[str, ...] = ("prediction", "confidence")
    stored_in: tuple[str, ...] = ("prediction",)

    @property
    def schema(self) -> Mapping[str, Any]:
        """See `AnswerForm.schema`."""
        entry = {"type": "object", "properties": {"label": {"type": "string"}, "score": {"type": "number"}}}
        return {"type": "array", "items": entry, "minItems": 1, "maxItems": 1}

    def caveat(self, labels: Sequence[str]) -> str:
        """See `AnswerForm.caveat`."""
        del labels
        return "It gives a number to every text, also to one that has none, and it may lie outside of the scale."

    def decode(self, prediction: float, labels: Sequence[str], parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `AnswerForm.decode`."""
        del labels, parameters
        return [{"label": "score", "score": float(prediction)}]

    def columns(self, predictions: Sequence[Any] | np.ndarray) -> "dict[str, pa.Array]":
        """See `AnswerForm.columns`; a number has no probability, so that the confidence is 1 throughout."""
        import pyarrow as pa

        values = [float(each) for each in predictions]
        return {
            "prediction": pa.array(values, pa.float64()),
            "confidence": pa.array([1.0] * len(values), pa.float32()),
        }

    def stored(self, table: "pa.Table") -> list[Any]:
        """See `AnswerForm.stored`."""
        return list(table["prediction"].to_pylist())

    def groups(self, table: "pa.Table", labels: Sequence[str]) -> "dict[str, pa.Array]":
        """See `AnswerForm.groups`: the least and the most of the answers."""
        import pyarrow.compute as pc

        del labels
        ends = pc.min_max(table["prediction"])
        return {"least": pc.equal(table["prediction"], ends["min"]), "most": pc.equal(table["prediction"], ends["max"])}

    def expectation(self, answer: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """See `AnswerForm.expectation`: the number, and the unit of its tolerance."""
        return {"score": float(answer[0]["score"]), "unit": self.unit}

    def differs(self, expected: Mapping[str, Any], got: Mapping[str, Any], allowed: float) -> str | None:
        """See `AnswerForm.differs`: within as much of the unit as is allowed of a probability."""
        difference, most = abs(expected["score"] - got["score"]), allowed * expected["unit"]
        if math.isfinite(difference) and difference <= most:
            return None
        return f"got {got['score']:.4f} instead of {expected['score']:.4f}, where {most:g} is allowed"

    def margins(self, outputs: Sequence[np.ndarray], encoding: "Encoding") -> list[float]:
        """See `AnswerForm.margins`: a number moves as little as what it is made of."""
        del outputs
        return [math.inf] * len(encoding.truncated)


FORM: AnswerForm = ScoreAnswers()
