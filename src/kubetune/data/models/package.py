"""Model source `package`: a folder inside an installed distribution, which is read as files and never imported."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from kubetune.data.bounds import check_allowed
from kubetune.data.models.files import PretrainedCheckpoint, checkpoint_digest
from kubetune.data.models.freeze import freeze_checkpoint
from kubetune.data.models.licence import card_licence, distribution_licence
from kubetune.errors import ConfigError
from kubetune.redaction import quoted


def identify(source: Any, platform: Mapping[str, Any]) -> str | None:
    """Return the digest of the checkpoint's files: two builds of one version may differ.

    Raises:
        ConfigError: The distribution is not installed, not in this version, or has no such folder.
        DataError: The folder holds no checkpoint.
    """
    return checkpoint_digest(_folder(_distribution(source, platform), source))


def locate(source: Any, platform: Mapping[str, Any], scratch: Path, *, weights: bool = True) -> PretrainedCheckpoint:
    """Return the checkpoint; without `weights`, only its tokenizer need be there."""
    distribution = _distribution(source, platform)
    folder = _folder(distribution, source)
    licence = card_licence(folder) or distribution_licence(distribution.metadata)  # type: ignore[arg-type]
    return PretrainedCheckpoint(folder, source.kind, distribution.version, licence)


def fetch(
    source: Any, platform: Mapping[str, Any], tokenizer_dir: Path, weights_dir: Path, scratch: Path
) -> dict[str, Any]:
    """See `freeze`."""
    return freeze_checkpoint(locate(source, platform, scratch), tokenizer_dir, weights_dir, scratch)


def _distribution(source: Any, platform: Mapping[str, Any]) -> metadata.Distribution:
    check_allowed("package", f"Distribution {quoted(source.distribution)}", platform)
    try:
        found = metadata.distribution(source.distribution)
    except metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"Distribution {source.distribution!r:.80} is not installed: install it where `fetch` runs."
        ) from error
    if source.version is not None and found.version != source.version:
        raise ConfigError(
            f"Distribution {source.distribution} is installed in version {found.version} and the recipe asks for "
            f"{source.version}: install that one, or change model.source.version."
        )
    return found


def _folder(distribution: metadata.Distribution, source: Any) -> Path:
    """Return the folder, which must hold files that the distribution's own record lists."""
    wanted = PurePosixPath(source.path)
    if not any(wanted in file.parents for file in distribution.files or ()) or ".." in wanted.parts:
        raise ConfigError(
            f"Distribution {source.distribution} {distribution.version} has no folder {source.path!r:.200}: see its "
            "list of files."
        )
    return Path(str(distribution.locate_file(wanted)))
