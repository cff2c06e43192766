"""Section `task`: which task the model is fine-tuned for."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from kubetune.config.task_columns import CLASS_ROLES, SINGLE_LABEL, TASK_COLUMNS, task_name
from kubetune.schema.section import Section


class TaskSection(Section):
    """Which task the model is fine-tuned for."""

    kind: Literal[
        "text-classification",
        "pair-classification",
        "token-classification",
        "question-answering",
        "feature-extraction",
        "zero-shot-classification",
        "fill-mask",
    ] = "text-classification"
    """Labels or a score a text or a pair of texts, entities in a text, the part of a context that answers a question, a
    vector a text, learnt from pairs that belong together or that have a score, labels that a request names, or tokens
    that are hidden in a text."""
    problem: Literal["single-label", "multi-label", "regression", "scored-pairs"] = "single-label"
    """Classifications: one label a row, any number of labels, or a number. Embeddings: `scored-pairs` learns from pairs
    with a score; left out, from pairs that belong together."""
    thresholds: Literal["tuned", "half"] = "tuned"
    """Multi-label: labels are chosen from the probabilities, one each, that gave the best micro-F1 on the validation
    rows, or from 0.5. A label without a validation row keeps 0.5."""

    entailment: str | None = Field(default=None, min_length=1)
    """Zero-shot classification: the class of pairs whose hypothesis follows. None: the one named `entail…`."""
    contradiction: str | None = Field(default=None, min_length=1)
    """Zero-shot classification: the class of pairs whose hypothesis is excluded. None: the one named `contradict…`, or
    of two classes the other one."""

    mask_probability: float = Field(default=0.15, gt=0, lt=1)
    """Fill-mask: share of the tokens that a pass of the training masks. Measurements always mask 15 of 100."""

    @property
    def name(self) -> str:
        """Of the task, by which its module and tables are found: `text-classification-regression`."""
        return str(task_name(self))

    @property
    def class_roles(self) -> dict[str, str]:
        """Role → the class that has it, of those that the recipe names."""
        return {role: name for role in CLASS_ROLES if (name := getattr(self, role)) is not None}

    @model_validator(mode="after")
    def of_the_kind(self) -> "TaskSection":
        """A problem is one of some kinds, and thresholds belong to several labels."""
        if self.problem != SINGLE_LABEL and self.name not in TASK_COLUMNS:
            kinds = [name.removesuffix(f"-{self.problem}") for name in TASK_COLUMNS if name.endswith(self.problem)]
            raise ValueError(
                f"problem={self.problem} is for {' and '.join(kinds)}, and kind is {self.kind}: leave it out"
            )
        if self.thresholds != "tuned" and self.problem != "multi-label":
            raise ValueError(f"thresholds are for problem=multi-label, and problem is {self.problem}: leave them out")
        if self.mask_probability != type(self).model_fields["mask_probability"].default and self.kind != "fill-mask":
            raise ValueError(f"mask_probability is for kind=fill-mask, and kind is {self.kind}: leave it out")
        return self

    @model_serializer(mode="wrap")
    def as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is not set, so that recipes from before there were problems keep the keys of their stages."""
        found: dict[str, Any] = dump(self)
        fields = type(self).model_fields
        return {name: value for name, value in found.items() if name == "kind" or value != fields[name].default}
