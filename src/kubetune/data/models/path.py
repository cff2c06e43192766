"""Model source `path`: a folder of this machine in the layout of `save_pretrained`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubetune.data.models.files import Checkpoint, checkpoint_digest
from kubetune.data.models.freeze import freeze
from kubetune.data.models.licence import card_licence
from kubetune.errors import ConfigError


def identify(source: Any, platform: Mapping[str, Any]) -> str | None:
    """Return the digest of the checkpoint's files.

    Raises:
        ConfigError: The folder does not exist.
        DataError: It holds no checkpoint.
    """
    return checkpoint_digest(_folder(source))


def locate(source: Any, platform: Mapping[str, Any], scratch: Path, *, weights: bool = True) -> Checkpoint:
    """Return the checkpoint; without `weights`, only its tokenizer need be there."""
    folder = _folder(source)
    return Checkpoint(folder, source.kind, checkpoint_digest(folder, weights=weights), card_licence(folder))


def fetch(
    source: Any, platform: Mapping[str, Any], tokenizer_dir: Path, weights_dir: Path, scratch: Path
) -> dict[str, Any]:
    """See `freeze`."""
    return freeze(locate(source, platform, scratch), tokenizer_dir, weights_dir, scratch)


def _folder(source: Any) -> Path:
    folder = Path(source.path).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"model.source.path {source.path!r:.200} is no folder: give the one that holds config.json.")
    return folder
