"""A small HTTP client for a served model. It takes no proxy: a loopback server is never behind one."""

import http.client
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from kubetune.errors import ConfigError, TemporaryError

UNIX = "http+unix://"
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Reply:
    """An HTTP answer.

    Attributes:
        status: HTTP status.
        headers: Header values by lower-case name.
        value: Decoded JSON; None where the body is not JSON.
    """

    status: int
    headers: Mapping[str, str]
    value: Any


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def address(configured: str) -> str:
    """Return the URL of an address in TorchServe's configuration: `unix:/a/b` becomes `http+unix://%2Fa%2Fb`."""
    return UNIX + quote(configured.removeprefix("unix:"), safe="") if configured.startswith("unix:") else configured


def socket_of(url: str) -> str | None:
    """Return the path of the Unix socket that a URL names; None: it names none."""
    return unquote(urlsplit(url).netloc) if url.startswith(UNIX) else None


def call(url: str, method: str = "GET", value: Any = None, timeout_s: float = 30.0) -> Reply:
    """Send one request and read the whole answer.

    Args:
        url: `http://host:port/path`, or `http+unix://socket/path` with the socket's own path percent-encoded.
        method: HTTP method.
        value: JSON body; None: no body.
        timeout_s: For connecting and for each read.

    Raises:
        ConfigError: The URL is not an http URL.
        OSError: Nothing answers there, or not in time.
    """
    parts, path = urlsplit(url), socket_of(url)
    if path is None and (parts.scheme != "http" or not parts.hostname):
        raise ConfigError(f"URL {url!r:.120} cannot be called: use http://HOST:PORT/predictions/NAME.")
    body = None if value is None else json.dumps(value).encode("utf-8")
    headers = {} if body is None else {"Content-Type": "application/json"}
    connection: http.client.HTTPConnection
    if path is not None:
        connection = _UnixConnection(path, timeout_s)
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
        response = connection.getresponse()
        raw = response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(type(error).__name__) from error
    finally:
        connection.close()
    try:
        decoded = json.loads(raw)
    except ValueError:
        decoded = None
    return Reply(response.status, {name.lower(): text for name, text in response.getheaders()}, decoded)


Ask = Callable[[str, str, Any, float], Reply]
"""What sends a request: URL, method, JSON body and seconds; as `call` does."""


class RequestBounds(NamedTuple):
    """What a request may be.

    Attributes:
        timeout_s: Seconds until it has an answer.
        items: Most items, at most what the archive's `serving.max_items` says.
    """

    timeout_s: float = 30.0
    items: int = 64


BOUNDS = RequestBounds()


def predict(
    url: str,
    items: Sequence[Mapping[str, str]],
    top_k: int | None = None,
    parameters: Mapping[str, Any] = NOTHING,
    bounds: RequestBounds = BOUNDS,
    *,
    ask: Ask = call,
) -> list[Any]:
    """Ask for predictions; more items than one request may hold are sent in several.

    Args:
        url: `http://host:port/predictions/NAME`.
        items: `{"text": …}` or `{"text": …, "text_pair": …}` each.
        top_k: Labels an item, for a task that ranks them; None: all of them.
        parameters: Further ones of the task, by name.
        bounds: Of a request. Fewer items are sent with a list among the parameters: an item may count once for each of
            its values.
        ask: Sends a request; the default knows loopback servers only.

    Returns:
        One entry an item: `{"predictions": the answer}` or `{"error": {"status", "reason"}}`.

    Raises:
        TemporaryError: Nothing answers at `url`, or the server is overloaded.
        ConfigError: The server refused the request as a whole.
    """
    wanted = {**parameters, **({"all_scores": True} if top_k is None else {"top_k": top_k})}
    longest = max((len(value) for value in parameters.values() if isinstance(value, list)), default=1)
    at_once = max(1, bounds.items // max(1, longest))
    results: list[Any] = []
    for start in range(0, len(items), at_once):
        chunk = [dict(item) for item in items[start : start + at_once]]
        try:
            reply = ask(url, "POST", {"inputs": chunk, **wanted}, bounds.timeout_s)
        except OSError as error:
            raise TemporaryError(
                f"Nothing answers at {url} ({type(error).__name__}): is the endpoint running?"
            ) from error
        results += _results(url, reply, len(chunk))
    return results


def _results(url: str, reply: Reply, count: int) -> list[Any]:
    results = reply.value.get("results") if isinstance(reply.value, dict) else None
    if isinstance(results, list) and len(results) == count:
        return results
    reason = _reason(reply.value)
    if reply.status in {401, 403}:
        raise ConfigError(
            f"{url} answered {reply.status} ({reason:.200}): set KUBETUNE_API_KEY to a key that opens it."
        )
    if reply.status >= 500:
        raise TemporaryError(f"{url} answered {reply.status} ({reason}): try again.")
    raise ConfigError(f"{url} answered {reply.status} ({reason:.200}): change the request.")


def _reason(value: Any) -> str:
    """What an error's body says, in our form or in TorchServe's."""
    error = value.get("error", value) if isinstance(value, dict) else None
    found = (error.get("reason") or error.get("message")) if isinstance(error, dict) else error
    return str(found or "no reason given").rstrip(".")
