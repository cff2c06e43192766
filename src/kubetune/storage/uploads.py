"""A user's own files in the store, under an address that states their content: `upload:<sha256>/<name>`."""

from pathlib import Path

from kubetune import layout
from kubetune.errors import ConfigError
from kubetune.storage.base import Store, is_plain_name
from kubetune.storage.blobs import HEX, describe, fetch_file

SCHEME = "upload:"


def put_upload(store: Store, path: Path) -> str:
    """Store a file and return the address that a recipe uses for it.

    Raises:
        ConfigError: It is no regular file.
    """
    if not path.is_file() or not is_plain_name(path.name):
        raise ConfigError(f"{path} cannot be uploaded: name a regular file with a printable name.")
    file = describe(path, path.name)
    key = layout.upload(file.sha256, path.name)
    lying = store.stat(key)
    if lying is None or lying.size != file.size:
        store.put(key, path)
    return f"{SCHEME}{file.sha256}/{path.name}"


def fetch_upload(store: Store, address: str, folder: Path) -> Path:
    """Write an uploaded file below a folder, its digest checked; returns its path.

    Raises:
        ConfigError: The address is none, or nothing was uploaded under it.
        CorruptArtifactError: The stored bytes are not those that were uploaded.
    """
    digest, _, name = address.removeprefix(SCHEME).partition("/")
    well_formed = address.startswith(SCHEME) and len(digest) == 64 and HEX.issuperset(digest) and is_plain_name(name)
    if not well_formed or store.stat(layout.upload(digest, name)) is None:
        raise ConfigError(
            f"Nothing was uploaded as {address!r:.200}: use an address that `kubetune` printed after an upload, "
            f"{SCHEME}<sha256>/<name>."
        )
    fetch_file(store, layout.upload(digest, name), digest, folder / name)
    return folder / name
