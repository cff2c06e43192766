"""Predictions from a cluster's endpoint, through its gateway."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from kubetune.client.http import Way, request
from kubetune.errors import ConfigError, TemporaryError
from kubetune.redaction import quoted
from kubetune.serving import client
from kubetune.serving.client import Reply

NAME = "{endpoint}"
PREDICTIONS = "/predictions/"


def url_of(setting: str | None, endpoint: str) -> str:
    """Return where an endpoint answers.

    Args:
        setting: `endpoint_url`: a server, or a whole address; `{endpoint}` in it stands for the name.
        endpoint: Name.

    Raises:
        ConfigError: The setting is no address.
    """
    setting = setting or ""
    whole = setting if PREDICTIONS in setting else f"{setting.rstrip('/')}{PREDICTIONS}{NAME}"
    url = whole.replace(NAME, endpoint)
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"KUBETUNE_ENDPOINT_URL {quoted(setting, 120)} is no address: use http(s)://host[:port].")
    return url


def predict_in_cluster(
    way: Way,
    url: str,
    items: Sequence[Mapping[str, str]],
    top_k: int | None,
    parameters: Mapping[str, Any] = client.NOTHING,
    api_key: str | None = None,
) -> list[Any]:
    """Ask a cluster's endpoint; see `serving.client.predict`.

    Args:
        way: How it is reached.
        url: Its address.
        items: Texts by name.
        top_k: Labels an item; None: all.
        parameters: Further ones.
        api_key: Of the endpoint.

    Raises:
        ConfigError: The key does not open it, or it refused the request.
        TemporaryError: It does not answer, or nothing was deployed to it yet.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def ask(url: str, method: str, value: Any, timeout_s: float) -> Reply:
        return request(way, method, url, value=value, headers=headers, timeout_s=timeout_s)

    return client.predict(url, items, top_k, parameters, ask=ask)


def check_endpoints(setting: str, way: Way) -> str:
    """Say whether the gateway answers; one that has nothing to serve yet does, too.

    Raises:
        TemporaryError: Nothing answers there.
    """
    parts = urlsplit(url_of(setting, "x"))
    if NAME in urlsplit(setting).netloc:
        return "one address an endpoint, not asked"
    url = f"{parts.scheme}://{parts.netloc}/healthz"
    try:
        reply = request(way, "GET", url, timeout_s=10.0)
    except OSError as error:
        raise TemporaryError(f"Nothing answers at {url} ({error}): is the address right?") from error
    return "answers" if reply.status == 200 else f"answers {reply.status}"
