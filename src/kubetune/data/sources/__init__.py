"""Data sources: one module a kind, found by name so that the key of `ingest` holds the chosen one alone."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from kubetune.data.sources.base import Source


def load_source(kind: str) -> "Source":
    """Return the module `kubetune.data.sources.<kind>`; the recipe schema has checked `kind`."""
    return cast("Source", import_module(f"{__name__}.{kind.replace('-', '_')}"))


def identify(source: Any, platform: Mapping[str, Any]) -> str | None:
    """Return what the outside thing is right now; None where only reading it again can tell.

    Args:
        source: Section `data.source` of a recipe.
        platform: Deployment settings, see `contract.Context.platform`.

    Raises:
        DataError: It does not exist.
        ConfigError: It cannot be reached as configured.
        TemporaryError: It does not answer.
    """
    return load_source(source.kind).identify(source, platform)
