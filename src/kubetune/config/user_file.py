"""One block of settings in a user's own file, which `kubetune login` writes and nobody else may read."""

import os
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from kubetune.errors import ConfigError
from kubetune.schema.yaml_text import YamlTextError, read_yaml

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


HEAD = "# Written by `kubetune login`. KUBETUNE_ variables and mounted files come before what stands here.\n"


def read_block(path: Path, known: Collection[str]) -> dict[str, Any]:
    """Return the settings of a file; empty if there is none.

    Raises:
        ConfigError: Others may read it, it is no map of settings, or it names one that does not exist.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path} holds secrets and others may read it: run `chmod 600 {path}`.")
        found = read_yaml(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, YamlTextError) as error:
        raise ConfigError(f"{path} cannot be read as settings: run `kubetune login` again, or remove it.") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is no map of settings: run `kubetune login` again, or remove it.")
    unknown = sorted(set(map(str, found)) - set(known))
    if unknown:
        raise ConfigError(f"{path} names {', '.join(unknown)[:200]}: allowed are {', '.join(sorted(known))}.")
    return found


def write_block(path: Path, values: Mapping[str, Any]) -> None:
    """Replace a file by these settings, readable by its owner alone.

    Raises:
        ConfigError: It cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(HEAD + yaml.safe_dump(dict(values), sort_keys=True, allow_unicode=True))
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}): free it, or use KUBETUNE_ variables."
        ) from error
