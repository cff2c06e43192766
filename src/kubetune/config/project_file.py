"""`kubetune.toml`: which store a folder's recipes use, found from that folder and from every one below it."""

import os
import tomllib
from pathlib import Path
from typing import Any

from kubetune.errors import ConfigError

TRUSTED = (0,)
"""Users besides our own whose file counts: root's."""
NAME = "kubetune.toml"
ALLOWED = ("store", "state_dir", "port", "checkpoint_hours")
"""Where things lie here. No address and no secret: the file travels with recipes, which others may have written."""


def find_project(start: Path) -> Path | None:
    """Return the nearest `kubetune.toml` in a folder or above it; None: there is none.

    One that belongs to another user is passed over: in a folder that everybody may write, it would lead elsewhere.
    """
    for folder in (start.absolute(), *start.absolute().parents):
        path = folder / NAME
        try:
            if path.is_file() and path.stat().st_uid in (os.getuid(), *TRUSTED):
                return path
        except OSError:
            continue
    return None


def read_project(path: Path) -> dict[str, Any]:
    """Return the settings of a `kubetune.toml`; folders are relative to the file.

    Raises:
        ConfigError: It cannot be read, or names another setting.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML ({error}): correct it, or remove it.") from error
    if unknown := sorted(set(found) - set(ALLOWED)):
        raise ConfigError(
            f"{path} names {', '.join(unknown)[:200]}, which it cannot set: allowed are {', '.join(ALLOWED)}."
        )
    for name in ("store", "state_dir"):
        value = found.get(name)
        if isinstance(value, str) and "://" not in value:
            found[name] = str(path.parent / Path(value).expanduser())
    return found
