"""What a task makes of names that others choose: those of classes in a recipe, those of labels in a request."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class ClassNames(NamedTuple):
    """How a model calls its classes.

    Attributes:
        names: By class number.
        said: What was decided about them, a sentence each.
    """

    names: list[str]
    said: tuple[str, ...] = ()


class Named(Protocol):
    """A part of `tasks.base.Task`."""

    def class_names(self, labels: Sequence[str], roles: Mapping[str, str]) -> ClassNames:
        """Return what the model calls the classes of its data.

        Args:
            labels: Their names in the data, by class number.
            roles: `TaskSection.class_roles`.

        Raises:
            DataError: A class that the task needs is not among them.
        """

    def asked(self, item: tuple[object, ...], parameters: Mapping[str, Any]) -> tuple[tuple[object, ...], ...] | str:
        """Return the items that the model is asked for an item of a request, or why that cannot be asked.

        Args:
            item: Texts, unchecked.
            parameters: Of the request, checked.

        Returns:
            One item, whose prediction `AnswerForm.decode` is given; or, where a parameter is `each`, one for each of
            its values, and `decode` is given a tuple of predictions.
        """
