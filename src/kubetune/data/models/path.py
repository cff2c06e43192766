"""Model source `path`: a folder of this machine in the layout of `save_pretrained`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubetune.data.bounds import check_allowed
from kubetune.data.models.files import PretrainedCheckpoint, checkpoint_digest
from kubetune.data.models.freeze import freeze_checkpoint
from kubetune.data.models.licence import card_licence
from kubetune.errors import ConfigError
from kubetune.redaction import quoted


def identify(source: Any, platform: Mapping[str, Any]) -> str | None:
    """Return the digest of the checkpoint's files.

    Raises:
        ConfigError: The folder does not exist.
        DataError: It holds no checkpoint.
    """
    return checkpoint_digest(_folder(source, platform))


def locate(source: Any, platform: Mapping[str, Any], scratch: Path, *, weights: bool = True) -> PretrainedCheckpoint:
    """Return the checkpoint; without `weights`, only its tokenizer need be there."""
    folder = _folder(source, platform)
    return PretrainedCheckpoint(folder, source.kind, checkpoint_digest(folder, weights=weights), card_licence(folder))


def fetch(
    source: Any, platform: Mapping[str, Any], tokenizer_dir: Path, weights_dir: Path, scratch: Path
) -> dict[str, Any]:
    """See `freeze`."""
    return freeze_checkpoint(locate(source, platform, scratch), tokenizer_dir, weights_dir, scratch)


def _folder(source: Any, platform: Mapping[str, Any]) -> Path:
    check_allowed("path", f"model.source.path {quoted(source.path, 200)}", platform)
    folder = Path(source.path).expanduser()
    if not os.path.isdir(folder):  # noqa: PTH112  (a path that no file system takes is no folder either)
        raise ConfigError(
            f"model.source.path {quoted(source.path, 200)} is no folder: give the one that holds config.json."
        )
    return folder
