"""Model source `scratch`: no pretrained weights, only the tokenizer of another model and an architecture's sizes."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from kubetune.data.models.completion import check_loads
from kubetune.data.models.freeze import SOURCE_FILE, freeze_tokenizer, stated, write_json

ARCHITECTURE_FILE = "architecture.json"


def identify(source: Any, platform: Mapping[str, Any]) -> str | None:
    """Return the identity of the model whose tokenizer is taken."""
    found: str | None = _inner(source).identify(source.tokenizer, platform)
    return found


def fetch(
    source: Any, platform: Mapping[str, Any], tokenizer_dir: Path, weights_dir: Path, scratch: Path
) -> dict[str, Any]:
    """Copy the tokenizer, and write the sizes from which `train` draws the weights.

    Raises:
        ConfigError: The tokenizer's source cannot be used as asked.
        DataError: It has no tokenizer, or one that asks for code.
        TemporaryError: Its server does not answer.
    """
    checkpoint = _inner(source).locate(source.tokenizer, platform, scratch, weights=False)
    added = freeze_tokenizer(checkpoint, tokenizer_dir)
    check_loads(tokenizer_dir)
    sizes = source.model_dump(mode="json", include={"architecture", "embedding_size", "hidden_size", "layers"})
    write_json(weights_dir / ARCHITECTURE_FILE, sizes)
    facts = {"kind": source.kind, "revision": None, "licence": None, "tokenizer": stated(checkpoint), "added": added}
    write_json(weights_dir / SOURCE_FILE, facts)
    return facts


def _inner(source: Any) -> Any:
    return import_module(f"kubetune.data.models.{source.tokenizer.kind}")
