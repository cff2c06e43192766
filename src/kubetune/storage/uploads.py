"""A user's own files in the store, under an address that states their content: `upload:<sha256>/<name>`."""

from pathlib import Path

from kubetune import layout
from kubetune.errors import ConfigError
from kubetune.storage.base import Store, is_plain_name
from kubetune.storage.blobs import HEX, fetch_file

SCHEME = "upload:"


def upload_address(path: Path) -> str:
    """Return the address that a recipe uses for a file: it follows from the content, before anything is sent.

    Raises:
        ConfigError: It is no regular file.
    """
    if not path.is_file() or not is_plain_name(path.name):
        raise ConfigError(f"{path} cannot be uploaded: name a regular file with a printable name.")
    return f"{SCHEME}{layout.file_digest(path)}/{path.name}"


def put_upload(store: Store, path: Path, address: str | None = None) -> str:
    """Store a file, unless it is there, and return its address.

    Args:
        store: Store.
        path: The file.
        address: Its address, where it was asked for already; None: it is read for it.

    Raises:
        ConfigError: It is no regular file.
    """
    address = upload_address(path) if address is None else address
    key = layout.upload(*address.removeprefix(SCHEME).split("/", 1))
    lying = store.stat(key)
    if lying is None or lying.size != path.stat().st_size:
        store.put(key, path)
    return address


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
