"""Tasks: one module a task kind, found by name so that a stage's key holds the chosen one alone."""

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from kubetune.tasks.base import Task


def load_task(kind: str) -> "Task":
    """Return the task object of `kubetune.tasks.<kind>`; the recipe schema has checked `kind`."""
    return cast("Task", import_module(f"kubetune.tasks.{kind.replace('-', '_')}").TASK)
