"""The settings and the store that a command or a notebook means."""

from pathlib import Path
from typing import TYPE_CHECKING

from kubetune.errors import ConfigError

if TYPE_CHECKING:
    from kubetune.config.settings import Settings
    from kubetune.storage.base import Store


def settings_for(store: str | Path | None, beside: Path | None = None) -> "Settings":
    """Return the settings, with the named store if one is named.

    Args:
        store: A folder or `s3://bucket/prefix`; None: the settings' one.
        beside: Folder of the recipe at hand, which may hold a `kubetune.toml`.

    Raises:
        ConfigError: A setting is not allowed.
    """
    from kubetune.config.settings import load_settings

    settings = load_settings(beside)
    return settings if store is None else settings.model_copy(update={"store": str(store)})


def require_store(settings: "Settings") -> None:
    """Refuse to read a store that is not there: an empty answer would say that nothing was ever run.

    Raises:
        ConfigError: The folder holds none; says where it was looked for.
    """
    from kubetune.config.settings import store_places
    from kubetune.layout import PLACES
    from kubetune.tracking.target import store_folder

    folder = store_folder(settings.store)
    if folder is None or any((folder / place).exists() for place in PLACES):
        return
    raise ConfigError(
        f"There is no store in {folder}; looked at, in this order: {store_places()}. Name it with --store, or once for "
        "all folders with `kubetune store use FOLDER`; `kubetune run RECIPE` makes a new one."
    )


def opened(
    store: str | Path | None,
    *,
    retry: bool = False,
    probe: bool = True,
    new: bool = False,
    beside: Path | None = None,
) -> "tuple[Settings, Store]":
    """Return the settings and the opened store.

    Args:
        store: A folder or `s3://bucket/prefix`; None: the settings' one.
        retry: Whether a store that is away is asked again for as long as a stage asks, not as a person would.
        probe: Whether to learn if it honours conditional writes; False where only reads follow.
        new: Whether the caller may make the store; False: one that is not there is an error.
        beside: Folder of the recipe at hand, which may hold a `kubetune.toml`.

    Raises:
        ConfigError: The store is not there, or cannot be used as asked.
        StoreUnavailableError: It does not answer.
    """
    from kubetune.execution.platform import open_answering_store, open_configured_store

    settings = settings_for(store, beside)
    if not new:
        require_store(settings)
    return settings, (open_configured_store if retry else open_answering_store)(settings, probe=probe)
