"""Target types: one module a kind of truth, found by name so that the key of `prepare` holds the chosen one alone."""

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from kubetune.data.targets.base import TargetType


def load_target_type(name: str) -> "TargetType":
    """Return the target type `kubetune.data.targets.<name>`; a task's schema names it."""
    return cast("TargetType", import_module(f"{__name__}.{name}").TARGET_TYPE)
