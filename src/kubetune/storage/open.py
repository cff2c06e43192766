"""Opens the store at an address."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from kubetune.errors import ConfigError
from kubetune.storage.base import S3Settings, Store
from kubetune.storage.local import LocalStore


def open_store(url: str, s3: S3Settings | None = None, *, probe: bool = True) -> Store:
    """Open the store at an address.

    Args:
        url: A folder, `file:///folder` or `s3://bucket[/prefix]`.
        s3: How the S3 server is reached; needed by `s3://`.
        probe: Whether to ask an S3 server at once if it honours conditional writes; False where only reads follow.

    Raises:
        ConfigError: The address is not one of these, credentials are missing or wrong, the bucket does not exist, or
            the store ignores conditions.
        StoreUnavailableError: The server does not answer.
    """
    if "://" not in url:
        return LocalStore(Path(url))
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError(
            f"Store {parts.scheme + '://…'!r} cannot be used: allowed are a folder, file:///folder and "
            "s3://bucket/prefix; set KUBETUNE_STORE to one of them."
        )
    if s3 is None:
        raise ConfigError(
            "Store s3:// needs a server and credentials: set KUBETUNE_S3_ENDPOINT, KUBETUNE_S3_ACCESS_KEY and "
            "KUBETUNE_S3_SECRET_KEY."
        )
    from kubetune.storage.s3 import S3Store

    store = S3Store(parts.netloc, parts.path.strip("/"), s3)
    if probe:
        store.probe()
    return store
