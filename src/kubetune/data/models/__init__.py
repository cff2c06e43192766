"""Model sources: one module a source kind, found by name so that a stage's key holds the chosen one alone.

Each kind's module has `identify(source, platform)` and `fetch(source, platform, tokenizer_dir, weights_dir, scratch)`.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast


class ModelSource(Protocol):
    """What a module of this package offers."""

    def identify(self, source: Any, platform: Mapping[str, Any]) -> str | None:
        """Return what the model is right now (content digest, commit): equal identities mean equal models."""

    def fetch(
        self, source: Any, platform: Mapping[str, Any], tokenizer_dir: Path, weights_dir: Path, scratch: Path
    ) -> dict[str, Any]:
        """Fill both empty folders and return deterministic facts."""


def load_model_source(kind: str) -> ModelSource:
    """Return the module `kubetune.data.models.<kind>`; the recipe schema has checked `kind`."""
    return cast("ModelSource", import_module(f"kubetune.data.models.{kind}"))


def identify(source: Any, platform: Mapping[str, Any]) -> str | None:
    """Return what the model behind `source` (section `model.source`) is right now, or None where it has no identity.

    Args:
        source: The recipe's section.
        platform: Deployment settings, see `Context.platform`.

    Raises:
        ConfigError: It is not there, or cannot be reached with these settings.
        DataError: What is there is no checkpoint.
        TemporaryError: Its server does not answer.
    """
    return load_model_source(source.kind).identify(source, platform)
