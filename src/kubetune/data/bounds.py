"""What a deployment lets a source read, and how much: the recipe comes from whoever may start a run."""

import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from urllib3.response import BaseHTTPResponse

from kubetune.errors import ConfigError, DataError, TemporaryError

PIECE = 1 << 20
SMALL = 256 << 20
"""Bytes up to which nothing counts as a bomb: whatever they unpack from, any machine has room for them."""
WORDS = {
    "path": "files and folders of this machine",
    "package": "installed packages",
    "upload": "uploaded files",
    "s3": "objects of the configured S3 server",
    "http": "http:// addresses",
    "https": "https:// addresses",
    "hub": "the hub",
    "sql": "databases",
    "loopback": "addresses of this machine and of its link",
}


@dataclass(frozen=True)
class SourceBounds:
    """How much one source may be.

    Attributes:
        most_bytes: Of a download, and of what is unpacked from it.
        most_ratio: Unpacked bytes for each byte that lies there.
        most_seconds: Of one download.
    """

    most_bytes: int = 64 << 30
    most_ratio: float = 250.0
    most_seconds: float = 7200.0


STANDARD = SourceBounds()


def bounds_of(platform: Mapping[str, Any]) -> SourceBounds:
    """Return the bounds of a deployment."""
    found: SourceBounds = platform.get("bounds") or STANDARD
    return found


def check_allowed(word: str, what: str, platform: Mapping[str, Any]) -> None:
    """Refuse a kind of source that this deployment does not let recipes read.

    Args:
        word: One of `WORDS`.
        what: What the recipe names, for the sentence.
        platform: Deployment settings; without `allowed_sources`, everything is allowed.

    Raises:
        ConfigError: It is not allowed here.
    """
    allowed = platform.get("allowed_sources")
    if allowed is None or word in allowed:
        return
    known = ", ".join(word for word in WORDS if word in allowed) or "none"
    raise ConfigError(
        f"{what} is not read here, as recipes may not name {WORDS[word]} (allowed are {known}): give the data by "
        f"another source, or let an administrator add `{word}` to KUBETUNE_ALLOWED_SOURCES."
    )


def is_local(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is this machine's or its link's, where metadata services of clouds answer."""
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified or mapped.is_multicast)


def check_host(host: str, what: str, platform: Mapping[str, Any]) -> None:
    """Refuse a host that is, or resolves to, an address of this machine or its link, where that is not allowed.

    Raises:
        ConfigError: It is one.
    """
    allowed = platform.get("allowed_sources")
    if allowed is not None and "loopback" not in allowed and any(is_local(found) for found in _resolved(host)):
        check_allowed("loopback", what, platform)


def _resolved(host: str) -> Iterator[IPv4Address | IPv6Address]:
    try:
        found: Iterable[str] = {str(item[4][0]) for item in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return  # who cannot be found cannot be reached either; a proxy may know it
    for text in found:
        yield ip_address(text.partition("%")[0])


def check_size(size: int, name: str, bounds: SourceBounds) -> None:
    """Refuse a source that is larger than allowed.

    Raises:
        DataError: It is.
    """
    if size > bounds.most_bytes:
        raise DataError(
            "too-large",
            f"{name} has {size:,} bytes and {bounds.most_bytes:,} are allowed: give a part of it, or raise "
            "KUBETUNE_SOURCE_MAX_BYTES.",
        )


def check_expansion(unpacked: int, packed: int, name: str, bounds: SourceBounds) -> None:
    """Refuse a file that becomes far larger when it is read, as real text never does.

    Args:
        unpacked: Bytes so far, or as the file states them.
        packed: Bytes of the file as it lies there.
        name: Its name for messages.
        bounds: What is allowed.

    Raises:
        DataError: It is a bomb, or larger than allowed.
    """
    if unpacked > SMALL and unpacked > bounds.most_ratio * packed:
        raise DataError(
            "expansion",
            f"{name} has {packed:,} bytes and unpacks to more than {bounds.most_ratio:g} times as many: give data "
            "without such repetition, or raise KUBETUNE_SOURCE_MAX_RATIO.",
        )
    check_size(unpacked, f"{name}, unpacked,", bounds)


@dataclass
class Download:
    """One download within the bounds.

    Attributes:
        name: For messages.
        bounds: What is allowed.
    """

    name: str
    bounds: SourceBounds
    _began: float = field(default_factory=time.monotonic)

    def write(self, response: BaseHTTPResponse, path: Path, *, decoded: bool = False) -> int:
        """Write a body to a file as it arrives, so that one that drips is noticed; returns its bytes.

        Raises:
            DataError: It is larger than allowed.
            TemporaryError: It takes longer than allowed.
        """
        size = 0
        with path.open("wb") as stream:
            while piece := response.read1(PIECE, decode_content=decoded):
                size += stream.write(piece)
                check_size(size, self.name, self.bounds)
                if time.monotonic() - self._began > self.bounds.most_seconds:
                    raise TemporaryError(
                        f"{self.name} was not delivered within {self.bounds.most_seconds:g} s: nothing is kept of it, "
                        "run the same command again, or raise KUBETUNE_SOURCE_TIMEOUT_S."
                    )
        return size
