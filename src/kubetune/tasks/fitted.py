"""What a task finds out in training beside the weights, such as thresholds or the unit of scores."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch

    from kubetune.tasks.base import Feature, ModelSpec, Task
    from kubetune.tasks.rows import EncodedRows

    Outputs = Callable[[Sequence[Feature]], list[np.ndarray]]
    """Features → the output of each."""


class Fitted(Protocol):
    """The part of `Task` around a training."""

    @property
    def kind(self) -> str:
        """Name of the task, `task.name` of a recipe."""

    def of_model(self, spec: "ModelSpec") -> "Task":
        """Return the task with what a model was fitted with, such as the thresholds of labels; itself where nothing."""

    def begun(self, spec: "ModelSpec", module: "torch.nn.Module", rows: "EncodedRows") -> "ModelSpec":
        """Return the specification of a model before its first step, with what train rows say, such as their mean.

        Args:
            spec: As the recipe has it.
            module: As it was built.
            rows: Of train.
        """

    def finished(
        self, spec: "ModelSpec", module: "torch.nn.Module", rows: "EncodedRows", predict: "Outputs", *, tune: bool
    ) -> "tuple[ModelSpec, list[str]]":
        """Return the specification of a trained model, whose module may be changed in place, and what to say of it.

        Args:
            spec: Of `begun`.
            module: With the weights that are kept.
            rows: Of validation; there may be none.
            predict: Returns the outputs of features.
            tune: Whether the recipe asks for thresholds of its own a label.
        """
