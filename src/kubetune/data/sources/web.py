"""Plain web addresses as files: downloaded whole or not at all, through the configured proxy and CA."""

import socket
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # documented, not in typeshed

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import BaseHTTPResponse

from kubetune.data.bounds import Download, bounds_of, check_allowed, check_host, is_local
from kubetune.data.sources.base import check_file_name
from kubetune.errors import ConfigError, DataError, KubetuneError, TemporaryError
from kubetune.redaction import quoted as clipped

MOST_REDIRECTS = 5
TRANSIENT = [408, 429, 500, 502, 503, 504]


def download_url(address: str, platform: Mapping[str, Any], folder: Path) -> Path:
    """Write what lies at an address below a folder and return its path.

    Redirects are followed inside the host; to others only where the deployment names them, so that a server cannot
    send the stage to its own neighbours.

    Raises:
        DataError: Nothing lies there, its name is none of a file, or it is larger than allowed.
        ConfigError: Settings say offline, the server refuses, or what is named is not to be read here.
        TemporaryError: The server did not deliver all of it in time.
    """
    parts = urlsplit(address)
    shown = f"{parts.scheme}://{parts.hostname}{parts.path}"  # a query may hold a signature
    name = unquote(parts.path.rpartition("/")[2])
    if not parts.hostname or not name or "/" in name or name in {".", ".."}:
        raise ConfigError(f"{shown} names no file: allowed is http(s)://host/…/name.csv or another known suffix.")
    check_file_name(name, shown)
    if platform.get("offline"):
        raise ConfigError(f"{shown} was to be read and settings say offline: unset KUBETUNE_OFFLINE or name a file.")
    try:
        response = _opened(address, shown, platform)
        try:
            # A server that packs a .gz file's bytes once more as content encoding means the file itself.
            packed = response.headers.get("Content-Encoding", "identity") != "identity" and not name.endswith(".gz")
            Download(shown, bounds_of(platform)).write(response, folder / name, decoded=packed)
        finally:
            response.close()
    except urllib3.exceptions.HTTPError as error:
        raise _unreachable(shown, error) from None
    return folder / name


def _opened(address: str, shown: str, platform: Mapping[str, Any]) -> BaseHTTPResponse:
    """Return the response that holds the file, after all redirects."""
    first = urlsplit(address)
    for _ in range(1 + MOST_REDIRECTS):
        parts = urlsplit(address)
        host = str(parts.hostname)
        check_allowed(parts.scheme.lower(), shown, platform)
        check_host(host, shown, platform)
        pool = _pool(parts.scheme.lower(), host, shown, platform)
        response = pool.request("GET", address, preload_content=False, headers={"Accept-Encoding": "identity"})
        target = response.get_redirect_location()
        if response.status == 200:
            return response
        response.close()
        if not target:
            raise _refused(response.status, shown)
        address = urljoin(address, target)
        _check_redirect(first, urlsplit(address), shown, platform)
    raise ConfigError(f"{shown} redirects more than {MOST_REDIRECTS} times: give the address of the file itself.")


def _check_redirect(first: SplitResult, target: SplitResult, shown: str, platform: Mapping[str, Any]) -> None:
    hosts = platform.get("redirect_hosts") or frozenset()
    if target.hostname != first.hostname and target.hostname not in hosts and "*" not in hosts:
        raise ConfigError(
            f"{shown} redirects to another host, {clipped(target.hostname, 120)}: give the address there, or let an "
            "administrator add that host to KUBETUNE_REDIRECT_HOSTS."
        )
    if first.scheme.lower() == "https" and target.scheme.lower() != "https":
        raise ConfigError(f"{shown} redirects to an address without TLS: give the https:// address of the file.")


def _pool(scheme: str, host: str, shown: str, platform: Mapping[str, Any]) -> urllib3.PoolManager:
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=10, read=60),
        "retries": urllib3.Retry(total=4, redirect=False, backoff_factor=0.2, status_forcelist=TRANSIENT),
        "cert_reqs": "CERT_REQUIRED",
        "ca_certs": platform.get("ca_bundle"),  # None: the system's
    }
    proxy = (platform.get("proxies") or {}).get(scheme)
    bypassed = _is_loopback(host) or proxy_bypass_environment(host, {"no": platform.get("no_proxy") or ""})
    if proxy and not bypassed:
        return urllib3.ProxyManager(proxy, **options)
    pool = urllib3.PoolManager(**options)
    pool.pool_classes_by_scheme = _guarded(shown, platform)
    return pool


def _guarded(shown: str, platform: Mapping[str, Any]) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Return pools whose connections look at whom they have reached: a name may mean another address by then."""

    class Guard:
        def _new_conn(self) -> socket.socket:
            reached: socket.socket = super()._new_conn()  # type: ignore[misc]
            if is_local(ip_address(str(reached.getpeername()[0]).partition("%")[0])):
                try:
                    check_allowed("loopback", shown, platform)
                except ConfigError:
                    reached.close()
                    raise
            return reached

    class Plain(Guard, HTTPConnection):
        pass

    class Secure(Guard, HTTPSConnection):
        pass

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refused(status: int, shown: str) -> KubetuneError:
    if status in {404, 410}:
        return DataError("missing-file", f"{shown} does not exist (HTTP {status}): correct the address.")
    if status in TRANSIENT:
        return TemporaryError(f"{shown} answered HTTP {status}: run the same command again later.")
    return ConfigError(f"{shown} answered HTTP {status}: allowed is an address that anybody may read.")


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
