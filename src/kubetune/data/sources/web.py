"""Plain web addresses as files: downloaded whole or not at all, through the configured proxy and CA."""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # documented, not in typeshed

import urllib3
from urllib3.response import BaseHTTPResponse

from kubetune.data.sources.base import CHUNK
from kubetune.errors import ConfigError, DataError, TemporaryError

TRANSIENT = [408, 429, 500, 502, 503, 504]


def download(address: str, platform: Mapping[str, Any], folder: Path) -> Path:
    """Write what lies at an address below a folder and return its path.

    Raises:
        DataError: Nothing lies there.
        ConfigError: Settings say offline, or the server refuses.
        TemporaryError: The server did not deliver all of it.
    """
    parts = urlsplit(address)
    shown = f"{parts.scheme}://{parts.hostname}{parts.path}"  # a query may hold a signature
    name = unquote(parts.path.rpartition("/")[2])
    if not parts.hostname or not name or "/" in name or name in {".", ".."}:
        raise ConfigError(f"{shown} names no file: allowed is http(s)://host/…/name.csv or another known suffix.")
    if platform.get("offline"):
        raise ConfigError(f"{shown} was to be read and settings say offline: unset KUBETUNE_OFFLINE or name a file.")
    pool = _pool(parts.scheme, parts.hostname, platform)
    try:
        response = pool.request("GET", address, preload_content=False, headers={"Accept-Encoding": "identity"})
        try:
            _check(response.status, shown)
            _write(response, folder / name)
        finally:
            response.close()
    except urllib3.exceptions.HTTPError as error:
        raise _unreachable(shown, error) from None
    return folder / name


def _write(response: BaseHTTPResponse, path: Path) -> None:
    # A server that packs a .gz file's bytes once more as content encoding means the file itself.
    packed = response.headers.get("Content-Encoding", "identity") != "identity" and path.suffix != ".gz"
    with path.open("wb") as stream:
        stream.writelines(response.stream(CHUNK, decode_content=packed))


def _pool(scheme: str, host: str, platform: Mapping[str, Any]) -> urllib3.PoolManager:
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=10, read=60),
        "retries": urllib3.Retry(total=4, redirect=5, backoff_factor=0.2, status_forcelist=TRANSIENT),
        "cert_reqs": "CERT_REQUIRED",
        "ca_certs": platform.get("ca_bundle"),  # None: the system's
    }
    proxy = (platform.get("proxies") or {}).get(scheme)
    bypassed = _is_loopback(host) or proxy_bypass_environment(host, {"no": platform.get("no_proxy") or ""})
    return urllib3.PoolManager(**options) if not proxy or bypassed else urllib3.ProxyManager(proxy, **options)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check(status: int, shown: str) -> None:
    if status in {404, 410}:
        raise DataError("missing-file", f"{shown} does not exist (HTTP {status}): correct the address.")
    if status in TRANSIENT:
        raise TemporaryError(f"{shown} answered HTTP {status}: run the same command again later.")
    if status != 200:
        raise ConfigError(f"{shown} answered HTTP {status}: allowed is an address that anybody may read.")


def _unreachable(shown: str, error: urllib3.exceptions.HTTPError) -> ConfigError | TemporaryError:
    cause = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else error
    if isinstance(cause, urllib3.exceptions.SSLError):
        return ConfigError(
            f"The certificate of {shown} cannot be trusted: set KUBETUNE_CA_BUNDLE to the PEM file of the authority "
            "that signed it."
        )
    return TemporaryError(
        f"{shown} was not delivered whole ({type(cause).__name__}): nothing is kept of it, run the same command again."
    )
