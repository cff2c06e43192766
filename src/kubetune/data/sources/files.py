"""Source `files`: local paths and globs, `s3://bucket/key`, `http(s)://…` and `upload:<digest>/<name>`."""

import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubetune.config.data_sources import FilesData
from kubetune.data.bounds import bounds_of, check_allowed
from kubetune.data.sources.base import Facts, Reading, digest_of_parts, is_file
from kubetune.errors import ConfigError, DataError
from kubetune.layout import file_digest
from kubetune.redaction import quoted

if TYPE_CHECKING:
    from kubetune.data.sources.tables import TableFile

UPLOAD = "upload:"


def identify(source: FilesData, platform: Mapping[str, Any]) -> str | None:
    """Return the digest of names, order and contents; None as soon as one file is a plain web address.

    Raises:
        DataError: A file does not exist.
    """
    parts = []
    for split, address in _addresses(source, platform):
        known = address_identity(address, platform)
        if known is None:
            return None
        parts.append([split, *known])
    return digest_of_parts(parts)


def read(source: FilesData, encoding: str, platform: Mapping[str, Any], scratch: Path) -> Reading:
    """Return the rows of the files; what is remote is downloaded to scratch first.

    Raises:
        DataError: A file does not exist or breaks a rule.
        ConfigError: An address cannot be used as configured.
        TemporaryError: A server did not deliver.
    """
    from kubetune.data.sources.dialect import Dialect
    from kubetune.data.sources.tables import TableReader

    facts = Facts(identity=identify(source, platform))
    files = [
        bring(split, address, platform, scratch / f"{number}")
        for number, (split, address) in enumerate(_addresses(source, platform))
    ]
    reader = TableReader(Dialect.of(source, encoding), scratch, facts, bounds_of(platform))
    return Reading(reader.read(files), facts)


def _addresses(source: FilesData, platform: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (split, address) in the recipe's order; what a glob finds is sorted."""
    given = [
        (split, address)
        for split, found in source.paths.items()
        for address in ([found] if isinstance(found, str) else found)
    ]
    for _, address in given:  # all of them before any is looked at
        check_allowed(scheme_of(address) or "path", quoted(address, 120), platform)
    for split, address in given:
        if scheme_of(address):
            yield split, address
        else:
            yield from ((split, path) for path in _local(address))


def scheme_of(address: str) -> str:
    """Return `s3`, `http`, `https`, `upload`, or nothing for a local path.

    Raises:
        ConfigError: It is another scheme.
    """
    scheme, found, _ = address.partition("://")
    scheme = scheme.lower()
    if found and scheme not in {"s3", "http", "https"}:
        raise ConfigError(
            f"Address {scheme}://… cannot be read: allowed are local paths, s3://bucket/key, http(s)://… and "
            "upload:<digest>/<name>."
        )
    return "upload" if address.startswith(UPLOAD) else scheme if found else ""


def _local(address: str) -> list[str]:
    if is_file(Path(address)):
        return [address]
    try:
        matches = glob.glob(address, recursive=True)  # noqa: PTH207  (Path.glob takes no absolute pattern)
    except (OSError, ValueError):
        matches = []  # no file system takes such a path
    found = sorted(path for path in matches if is_file(Path(path)))
    if not found:
        what = "is a folder" if os.path.isdir(address) else "does not exist"  # noqa: PTH112  (no path either: False)
        raise DataError(
            "missing-file",
            f"{address:.300} {what}: name a file, or a pattern such as {Path(address).parent / '*.csv'}.",
        )
    return found


def address_identity(address: str, platform: Mapping[str, Any]) -> list[str] | None:
    """Return what a file is right now, as part of an identity; None: only reading it tells.

    Raises:
        DataError: It does not exist or cannot be read.
    """
    match scheme_of(address):
        case "upload":
            return [address]
        case "s3":
            from kubetune.data.sources.s3_objects import identity as object_identity

            return object_identity(address, platform)
        case "":
            return [Path(address).name, _digest(Path(address))]
    return None


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise DataError("unreadable-file", f"{path.name} cannot be read: {error.strerror or error}.") from None


def bring(split: str, address: str, platform: Mapping[str, Any], folder: Path) -> "TableFile":
    """Return a file as one of this machine's disk; `folder` is made for what is downloaded.

    Raises:
        DataError: It does not exist.
        ConfigError: The address cannot be used as configured.
        TemporaryError: A server did not deliver.
    """
    from kubetune.data.sources.tables import TableFile

    scheme = scheme_of(address)
    if not scheme:
        return TableFile(split, Path(address).name, Path(address))
    folder.mkdir()
    if scheme == "upload":
        resolve = platform.get("resolve_upload")
        if resolve is None:
            raise ConfigError(f"{address:.120} is in a store and none is open: name the store.")
        path: Path = resolve(address, folder)
    elif scheme == "s3":
        from kubetune.data.sources.s3_objects import download_object

        path = download_object(address, platform, folder)
    else:
        from kubetune.data.sources.web import download_url

        path = download_url(address, platform, folder)
    return TableFile(split, path.name, path)
