"""The Kubernetes API as far as `deploy` uses it: read and patch one Deployment, list pods. Plain dicts, few errors."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubetune.errors import ConfigError, TemporaryError

TIMEOUT_S = (5.0, 30.0)
"""For connecting, and without a byte."""
PATIENCE_S = 90.0
"""Seconds for which the API may be away: its servers are restarted one by one when a cluster is upgraded."""
PAUSE_S = 1.0
CONFLICT = (409, 422)
"""422 is what a `test` of a JSON patch that does not hold is answered with; one with `causes` is a wrong object."""

Json = dict[str, Any]


class ConflictError(Exception):
    """The object is not what the patch was made for."""


class Deployments:
    """One namespace.

    Args:
        client: `kubernetes.client.ApiClient`; None: the pod's own account, else the user's kubeconfig.
        namespace: Namespace.
    """

    def __init__(self, namespace: str, client: Any = None) -> None:
        from kubernetes import client as kubernetes

        client = client or connect_to_cluster()
        self.namespace = namespace
        self._apps, self._core = kubernetes.AppsV1Api(client), kubernetes.CoreV1Api(client)

    def read(self, name: str) -> Json:
        """Return a Deployment.

        Raises:
            ConfigError: It does not exist, or our account may not read it.
            TemporaryError: The API was away too long.
        """
        return self._call(name, lambda: self._apps.read_namespaced_deployment(name, self.namespace, **RAW))

    def patch(self, name: str, operations: Sequence[Json]) -> Json:
        """Apply a JSON patch and return the Deployment.

        Raises:
            ConflictError: A `test` in it does not hold.
            ConfigError: It does not exist, or our account may not patch it.
            TemporaryError: The API was away too long.
        """
        body = list(operations)
        return self._call(name, lambda: self._apps.patch_namespaced_deployment(name, self.namespace, body, **RAW))

    def pods(self, labels: Mapping[str, str]) -> tuple[list[Json], list[Json]]:
        """Return the pods with these labels that run or are about to, and those that are ending; no evicted ones."""
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        found = self._call(
            "its pods", lambda: self._core.list_namespaced_pod(self.namespace, label_selector=selector, **RAW)
        )
        alive = [pod for pod in found["items"] if (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded")]
        ending = [pod for pod in alive if "deletionTimestamp" in pod["metadata"]]
        return [pod for pod in alive if pod not in ending], ending

    def _call(self, what: str, call: Callable[[], Any]) -> Json:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                value: Json = json.loads(call().data)
                return value
            except ApiException as error:
                self._raise_if_final(what, int(error.status or 0), error.body)
                reason = str(error.status)
            except (HTTPError, OSError, ValueError) as error:
                reason = type(error).__name__
            if time.monotonic() > deadline:
                raise TemporaryError(
                    f"The Kubernetes API has not answered for {PATIENCE_S:g} s ({reason}): run the stage again."
                )
            time.sleep(PAUSE_S)

    def _raise_if_final(self, what: str, status: int, body: Any) -> None:
        if status in (400, 405, 415) or (status == 422 and b"causes" in _bytes(body)):
            message = " ".join(_message(body).split())[:300]
            raise ConfigError(
                f"The Kubernetes API does not accept our request for {what} ({status}): {message or 'no reason given'}"
            )
        if status in CONFLICT:
            raise ConflictError(str(status))
        if status == 404:
            raise ConfigError(
                f"Deployment {what} does not exist in namespace {self.namespace}: name the endpoint in the chart's "
                "value `serving.endpoints` and upgrade the release, or deploy to an endpoint that is there."
            )
        if status in (401, 403):
            raise ConfigError(
                f"The Kubernetes API refuses us {what} in namespace {self.namespace} ({status}): stage deploy needs "
                "the account `<release>-deploy`, to which the chart gives `get` and `patch` of the endpoints it has."
            )


def _message(body: Any) -> str:
    """The sentence in an answer of the API; all of it where it is none of the API's own."""
    text = _bytes(body).decode(errors="replace")
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return str(found.get("message") or text) if isinstance(found, dict) else text


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else str(body or "").encode()


RAW: dict[str, Any] = {"_preload_content": False, "_request_timeout": TIMEOUT_S}


def connect_to_cluster() -> Any:
    """Return a client of the pod's own account, else of the user's kubeconfig.

    Raises:
        ConfigError: There is neither.
    """
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        try:
            config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            raise ConfigError(
                "KUBETUNE_SERVING is `cluster`, but this process has no account of a cluster: run stage deploy in a "
                "pod with a service account token, or set KUBETUNE_SERVING to `local`."
            ) from error
    configuration.retries = False  # we wait ourselves, and a patch must not be sent twice
    return client.ApiClient(configuration)
