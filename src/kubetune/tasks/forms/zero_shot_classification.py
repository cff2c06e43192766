"""Answers of `zero-shot-classification`: how probable each label of the request is, or each class of a pair."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.tasks.answers import AnswerForm, HubForm, Parameter
from kubetune.tasks.entailment import places
from kubetune.tasks.forms.classes import PARAMETERS as CLASS_PARAMETERS
from kubetune.tasks.forms.classes import ClassAnswers

if TYPE_CHECKING:
    import pyarrow as pa

HUB = HubForm(
    pipeline="zero-shot-classification",
    arguments="",
    because="",
    classes="SEQUENCE_CLASSIFICATION",
    client="zero_shot_classification",
    in_list=False,
    example={"candidate_labels": ["a label", "another label"]},
)
PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "candidate_labels": Parameter(
            {
                "type": "array",
                "items": {"type": "string", "pattern": r"\S"},
                "minItems": 1,
                "uniqueItems": True,
            },
            "a list of at least one label, none of them blank and each there once",
            each=True,
        ),
        "hypothesis_template": Parameter(
            {"type": "string", "pattern": r"^[^{}]*\{\}[^{}]*$"},
            "a sentence with {} once, where the label goes, and no other brace",
            default="This example is {}.",
        ),
        "multi_label": Parameter(
            {"type": "boolean"},
            "true or false: whether several labels may be right, so that each is scored by itself",
            default=False,
        ),
        "top_k": CLASS_PARAMETERS["top_k"],
    }
)


class ZeroShotAnswers(ClassAnswers):
    """Implements `AnswerForm`; a prediction is the logits by class number, or a tuple of them by candidate label."""

    says = (
        "An answer is the labels that the request names with their probabilities, the most probable first; those of "
        "all labels sum to 1, unless several may be right. A pair of premise and hypothesis has the probabilities of "
        "the model's own classes."
    )
    hub = HUB
    request_texts: tuple[str, ...] = ()
    parameters = PARAMETERS
    judged_by: frozenset[str] = frozenset({"labels"})
    stored_in: tuple[str, ...] = ("logits",)

    def caveat(self, labels: Sequence[str]) -> str:
        """See `AnswerForm.caveat`."""
        del labels
        return "Its numbers are of pairs of premise and hypothesis and say little about labels: try it on yours."

    def decode(self, prediction: Sequence[Any], labels: Sequence[str], parameters: Mapping[str, Any]) -> Any:
        """See `AnswerForm.decode`: the best `top_k` of the candidate labels, or of the classes of a pair.

        Labels that exclude each other share the probability by their logits of entailment. One alone, or each where
        several may be right, is entailment against contradiction.
        """
        candidates = parameters.get("candidate_labels")
        if candidates is None:
            return super().decode(_shares(np.asarray(prediction)).tolist(), labels, parameters)
        found = places(labels)
        if isinstance(found, str):
            raise ValueError(found)
        logits = np.asarray(prediction, dtype=np.float64)
        if parameters.get("multi_label") or len(candidates) == 1:
            scores = _shares(logits[:, [found.contradiction, found.entailment]])[:, 1]
        else:
            scores = _shares(logits[:, found.entailment])
        return super().decode(scores.tolist(), candidates, parameters)

    def columns(self, predictions: Sequence[Any] | np.ndarray) -> "dict[str, pa.Array]":
        """See `AnswerForm.columns`."""
        return super().columns(self.shares(predictions).astype(np.float32) if len(predictions) else [])

    def shares(self, predictions: Sequence[Any] | np.ndarray) -> np.ndarray:
        """See `ClassForm.shares`: of the classes of pairs."""
        return _shares(np.asarray(predictions)) if len(predictions) else np.asarray(predictions)

    def stored(self, table: "pa.Table") -> list[Any]:
        """See `AnswerForm.stored`."""
        return list(table["logits"].to_pylist())


def _shares(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis, float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return shares


FORM: AnswerForm = ZeroShotAnswers()
