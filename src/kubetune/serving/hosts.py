"""Names under which a server of this machine may be asked.

A web page can make a browser connect to 127.0.0.1 under a name of its own (DNS rebinding) and would read the answers as
its own. The name stands in the request's `Host`, which the page cannot choose freely.
"""

import ipaddress
import json
from collections.abc import Iterable
from pathlib import Path

from kubetune.errors import ConfigError

FILE = "hosts.json"
"""Beside the archive in TorchServe's model folder: names besides loopback; without the file every name is allowed."""


def parse_hosts(setting: str) -> tuple[str, ...]:
    """Read names with commas between.

    Raises:
        ConfigError: One has a port, a path or blanks in it.
    """
    names = tuple(name.strip().lower() for name in setting.split(",") if name.strip())
    for name in names:
        if bare(name) != name.strip("[]") or set(name) & set("/ \\t@*"):
            raise ConfigError(
                f"KUBETUNE_SERVE_HOSTS holds {name!r:.80}, which is no host name: write names without port, path or "
                "`*`, commas between."
            )
    return names


def allowed(host: str, more: Iterable[str]) -> bool:
    """Whether a request with this `Host` header is meant for a server of this machine.

    Args:
        host: The header's value; empty: an old client that sends none, which no browser is.
        more: Names besides loopback.
    """
    name = bare(host.strip().lower())
    if not host or name == "localhost" or name.endswith(".localhost"):  # browsers resolve both to loopback alone
        return True
    if name in {bare(one) for one in more}:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def bare(host: str) -> str:
    """Return a host without port and brackets; a dot at its end does not count."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name = host.partition(":")[0] if host.count(":") == 1 else host
    return name.removesuffix(".")


def write(folder: Path, more: Iterable[str]) -> None:
    """Write the names into a model folder."""
    (folder / FILE).write_text(json.dumps(sorted(more)), encoding="utf-8")


def read(folder: Path) -> frozenset[str] | None:
    """Return the names of a model folder; None: every name is allowed."""
    path = folder / FILE
    return frozenset(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
