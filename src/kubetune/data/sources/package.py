"""Source `package`: a file of an installed distribution, found in its record; nothing of it is imported."""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from kubetune.config.data_sources import PackageData
from kubetune.data.bounds import bounds_of, check_allowed
from kubetune.data.sources.base import Facts, Reading, digest_of_parts
from kubetune.errors import ConfigError, DataError
from kubetune.layout import file_digest
from kubetune.redaction import quoted


def identify(source: PackageData, platform: Mapping[str, Any]) -> str | None:
    """Return the digest of version and content."""
    installed, path = _find(source, platform)
    return digest_of_parts([installed.version, path.name, file_digest(path)])


def read(source: PackageData, encoding: str, platform: Mapping[str, Any], scratch: Path) -> Reading:
    """Return the rows of the file as one pool.

    Raises:
        ConfigError: The distribution is not installed in that version.
        DataError: It has no such file, or the file breaks a rule.
    """
    from kubetune.data.sources.dialect import Dialect
    from kubetune.data.sources.tables import TableFile, TableReader

    installed, path = _find(source, platform)
    facts = Facts(
        identity=identify(source, platform),
        revision=f"{source.distribution}=={installed.version}",
        licence=_licence(installed),
    )
    reader = TableReader(Dialect.of(source, encoding), scratch, facts, bounds_of(platform))
    return Reading(reader.read([TableFile("all", path.name, path)]), facts)


def _find(source: PackageData, platform: Mapping[str, Any]) -> tuple[metadata.Distribution, Path]:
    check_allowed("package", f"Distribution {quoted(source.distribution)}", platform)
    wanted = source.distribution + (f"=={source.version}" if source.version else "")
    try:
        installed = metadata.distribution(source.distribution)
    except (metadata.PackageNotFoundError, ValueError):
        raise ConfigError(f"Distribution {wanted} is not installed: install it (pip install {wanted}).") from None
    if source.version not in {None, installed.version}:
        raise ConfigError(
            f"Distribution {source.distribution} is installed as {installed.version} and the recipe wants "
            f"{source.version}: install that (pip install {wanted}) or change data.source.version."
        )
    listed = [file for file in installed.files or [] if file.as_posix() == source.path]
    path = Path(str(listed[0].locate())) if listed else None
    if path is None or not path.is_file():
        raise DataError(
            "missing-file", f"Distribution {wanted} has no file {source.path!r:.200}: name one that its RECORD lists."
        )
    return installed, path


def _licence(installed: metadata.Distribution) -> str | None:
    """Licence that the distribution states of itself, on one line."""
    for field in ("License-Expression", "License"):
        stated = installed.metadata[field].strip() if field in installed.metadata else ""
        if stated and stated != "UNKNOWN" and "\n" not in stated:
            return stated
    return None
