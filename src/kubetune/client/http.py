"""HTTP requests to a cluster's front doors: private authorities and proxies are honoured, redirects refused."""

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubetune.config.settings import Settings
from kubetune.errors import ConfigError
from kubetune.redaction import quoted
from kubetune.serving.client import Reply

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Way:
    """How addresses outside this machine are reached.

    Attributes:
        ca_bundle: PEM file of a private certificate authority; None: the system's.
        proxy: Proxy for every address but loopback; None: no proxy.
        no_proxy: Hosts that are reached without it, with commas between.
    """

    ca_bundle: Path | None = None
    proxy: str | None = None
    no_proxy: str | None = None


def way_of(settings: Settings) -> Way:
    """Return how the settings say that addresses outside this machine are reached."""
    return Way(settings.ca_bundle, settings.https_proxy, settings.no_proxy)


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would turn a POST into a GET and carry a password elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        """Leave the answer as it is."""


def request(
    way: Way,
    method: str,
    url: str,
    *,
    value: Any = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
) -> Reply:
    """Send one request and read the whole answer, whatever its status.

    Args:
        way: Proxy and certificate authority.
        method: HTTP method.
        url: `http(s)://…`.
        value: JSON body; None: no body.
        headers: Further headers.
        timeout_s: For connecting and for each read.

    Raises:
        ConfigError: The address is none, redirects, or its certificate cannot be trusted.
        OSError: Nothing answers there, or not in time.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"{quoted(url, 120)} is no address of a server: use http(s)://host[:port].")
    body = None if value is None else json.dumps(value).encode()
    sent = {"Accept": "application/json", **({"Content-Type": "application/json"} if body else {}), **(headers or {})}
    asked = urllib.request.Request(url, body, sent, method=method)  # noqa: S310 (http and https only, see above)
    try:
        with opener(way, parts.hostname).open(asked, timeout=timeout_s) as answer:
            status, received, raw = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, received, raw = error.code, error.headers, error.read()
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise ConfigError(
                f"The certificate of {parts.scheme}://{parts.netloc} cannot be trusted: set KUBETUNE_CA_BUNDLE to the "
                "PEM file of the authority that signed it."
            ) from error
        raise ConnectionError(cause_of(error)) from error
    except http.client.HTTPException as error:
        raise ConnectionError(type(error).__name__) from error
    if 300 <= status < 400:
        raise ConfigError(f"{url:.120} redirects to {quoted(received.get('Location', 'nowhere'), 120)}: use that one.")
    return Reply(status, {name.lower(): text for name, text in received.items()}, json_body(raw))


def opener(way: Way, host: str) -> urllib.request.OpenerDirector:
    """Return what opens addresses at a host."""
    bypassed = host in LOOPBACK or bool(
        way.no_proxy and urllib.request.proxy_bypass_environment(host, {"no": way.no_proxy})  # type: ignore[attr-defined]
    )
    proxies = {"http": way.proxy, "https": way.proxy} if way.proxy and not bypassed else {}
    try:
        context = ssl.create_default_context(cafile=str(way.ca_bundle) if way.ca_bundle else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"KUBETUNE_CA_BUNDLE {way.ca_bundle} is no PEM file of certificates: name one.") from error
    return urllib.request.build_opener(
        urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context), NoRedirects()
    )


def cause_of(error: urllib.error.URLError) -> str:
    """Return in a word or two why nothing answered."""
    reason = error.reason
    return str(getattr(reason, "strerror", None) or type(reason).__name__) if not isinstance(reason, str) else reason


def json_body(raw: bytes) -> Any:
    """Return a JSON body; None if it is none."""
    try:
        return json.loads(raw)
    except ValueError:
        return None
