"""Tasks: one module a task kind, found by name so that a stage's key holds the chosen one alone."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from kubetune.metrics.base import Baseline
    from kubetune.tasks.answers import AnswerForm
    from kubetune.tasks.base import Task


def load_task(kind: str) -> "Task":
    """Return the task object of `kubetune.tasks.<kind>`; the recipe schema has checked `kind`."""
    return cast("Task", import_module(f"kubetune.tasks.{kind.replace('-', '_')}").TASK)


def load_form(kind: str) -> "AnswerForm":
    """Return the answers of a task kind, `kubetune.tasks.forms.<kind>`, which no training has in its key."""
    return cast("AnswerForm", import_module(f"kubetune.tasks.forms.{kind.replace('-', '_')}").FORM)


def dataset_texts(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of artifact `dataset` with an item's cleaned texts, in order; raw ones are `raw_…`.

    Args:
        columns: See `Task.columns`.
    """
    return ("text", "text_pair")[: len(columns)]


def load_baselines(kind: str) -> "Callable[..., list[Baseline]]":
    """Return the function `baselines` of `kubetune.tasks.baselines.<kind>`, which only `evaluate` has in its key."""
    found: Any = import_module(f"kubetune.tasks.baselines.{kind.replace('-', '_')}")
    return cast("Callable[..., list[Baseline]]", found.baselines)
