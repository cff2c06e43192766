"""Labels that a request names: a model of premise and hypothesis says of each whether it follows from the text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kubetune.tasks import entailment
from kubetune.tasks.base import Encoding, Task
from kubetune.tasks.classification import Classification
from kubetune.tasks.named import ClassNames

CANDIDATES, TEMPLATE, SEVERAL = "candidate_labels", "hypothesis_template", "multi_label"
"""Parameters of a request, as in Hugging Face's `zero-shot-classification`."""
HYPOTHESIS = "This example is {}."


class ZeroShotClassification(Classification):
    """Implements `Task` for pairs with a class each (NLI), which is asked with a hypothesis a candidate label.

    A prediction is the logits by class number: candidate labels are compared by that of entailment, which the
    probabilities of one pair alone do not tell.
    """

    def class_names(self, labels: Sequence[str], roles: Mapping[str, str]) -> ClassNames:
        """See `Task.class_names`: entailment and contradiction must be among them."""
        return entailment.named(labels, roles)

    def asked(self, item: tuple[object, ...], parameters: Mapping[str, Any]) -> tuple[tuple[object, ...], ...] | str:
        """See `Task.asked`: a text with a hypothesis for each candidate label, or a pair as it is."""
        candidates = parameters.get(CANDIDATES)
        if len(item) == 1 and candidates is not None:
            template = str(parameters.get(TEMPLATE, HYPOTHESIS))
            return tuple((item[0], template.replace("{}", label)) for label in candidates)
        if len(item) == 1:
            return f"`{CANDIDATES}` must list the labels to choose from, or the item have a `hypothesis`"
        if given := [name for name in (CANDIDATES, TEMPLATE, SEVERAL) if name in parameters]:
            return f"an item with a `hypothesis` has an answer of its own: leave out `{given[0]}` or the `hypothesis`"
        return (item,)

    def predictions(
        self,
        outputs: Sequence[np.ndarray],
        encoding: Encoding,
        items: Sequence[tuple[str, ...]],
        labels: Sequence[str],
    ) -> np.ndarray:
        """See `Task.predictions`: logits (items, classes), float32."""
        del encoding, items
        return np.stack(outputs).astype(np.float32) if len(outputs) else np.zeros((0, len(labels)), dtype=np.float32)


TASK: Task = ZeroShotClassification(kind="zero-shot-classification", columns=("premise", "hypothesis"))
