"""Answers of any number of labels an item: the probability of each label, and which are chosen."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.tasks.answers import AnswerForm, HubForm, Parameter
from kubetune.tasks.forms.classes import ClassAnswers

if TYPE_CHECKING:
    import pyarrow as pa

HUB = HubForm(
    pipeline="text-classification",
    arguments="truncation=True, top_k=None",
    because="a longer text than the model can read fails otherwise, and one label alone is answered",
    classes="SEQUENCE_CLASSIFICATION",
    client="text_classification",
    in_list=True,
)
PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "top_k": Parameter({"type": "integer", "minimum": 1}, "a whole number from 1", all_unless_asked=True),
        "threshold": Parameter(
            {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"enum": ["tuned"]}]},
            "a number from 0 to 1, or tuned: labels with at least that probability, or those that the model chooses",
        ),
        "function_to_apply": Parameter(
            {"enum": ["sigmoid"]},
            "sigmoid: the scores are probabilities of labels that do not exclude each other",
            default="sigmoid",
            hub_only=True,
        ),
    }
)


class LabelAnswers(ClassAnswers):
    """Implements `AnswerForm`; a prediction is `{"probabilities", "chosen"}`, see `MultiLabel.predictions`."""

    says = (
        "An answer is all labels with the probability of each by itself, the most probable first; `chosen` says which "
        "of them the model gives, by thresholds of their own."
    )
    hub = HUB
    parameters = PARAMETERS
    judged_by: frozenset[str] = frozenset({"label-sets"})
    stored_in: tuple[str, ...] = ("probabilities", "prediction")

    @property
    def schema(self) -> Mapping[str, Any]:
        """See `AnswerForm.schema`."""
        score = {"type": "number", "minimum": 0, "maximum": 1}
        entry = {"label": {"type": "string"}, "score": score, "chosen": {"type": "boolean"}}
        return {"type": "array", "items": {"type": "object", "properties": entry}}

    def caveat(self, labels: Sequence[str]) -> str:
        """See `AnswerForm.caveat`."""
        return f"It knows its {len(labels)} labels alone; a text that gets none of them may well be about another one."

    def decode(self, prediction: Any, labels: Sequence[str], parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `AnswerForm.decode`: `chosen` is told in our own form alone, as the Hub's has no such key."""
        scores, chosen = prediction["probabilities"], set(prediction["chosen"])
        least = parameters.get("threshold")
        order = sorted(range(len(labels)), key=lambda number: (-scores[number], number))
        if least == "tuned":
            order = [number for number in order if number in chosen]
        elif least is not None:
            order = [number for number in order if scores[number] >= least]
        marked = parameters.get("own_form", False)
        return [
            {"label": labels[number], "score": float(scores[number])} | ({"chosen": number in chosen} if marked else {})
            for number in order[: parameters.get("top_k")]
        ]

    def chosen_labels(self, prediction: Any, labels: Sequence[str]) -> dict[str, float]:
        """See `LabelSetForm.chosen_labels`."""
        return {labels[number]: float(prediction["probabilities"][number]) for number in prediction["chosen"]}

    def columns(self, predictions: Sequence[Any] | np.ndarray) -> "dict[str, pa.Array]":
        """See `AnswerForm.columns`; the confidence is that of the least certain label, in the decision on it."""
        import pyarrow as pa

        scores = [np.asarray(each["probabilities"], dtype=np.float32) for each in predictions]
        decided = []
        for each, found in zip(scores, predictions, strict=True):
            sure = 1 - each
            sure[found["chosen"]] = each[found["chosen"]]
            decided.append(float(sure.min(initial=1.0)))
        return {
            "prediction": pa.array([each["chosen"] for each in predictions], pa.list_(pa.int32())),
            "confidence": pa.array(decided, pa.float32()),
            "probabilities": pa.array(scores, pa.list_(pa.float32())),
        }

    def stored(self, table: "pa.Table") -> list[Any]:
        """See `AnswerForm.stored`."""
        pairs = zip(*(table[name].to_pylist() for name in self.stored_in), strict=True)
        return [{"probabilities": scores, "chosen": chosen} for scores, chosen in pairs]

    def groups(self, table: "pa.Table", labels: Sequence[str]) -> "dict[str, pa.Array]":
        """See `AnswerForm.groups`: by chosen label, and rows without one."""
        import pyarrow as pa

        chosen = [set(each) for each in table["prediction"].to_pylist()]
        found = {"unlabelled": pa.array([not each for each in chosen], pa.bool_())}
        return found | {
            f"label-{number}": pa.array([number in each for each in chosen], pa.bool_())
            for number in range(len(labels))
        }


FORM: AnswerForm = LabelAnswers()
