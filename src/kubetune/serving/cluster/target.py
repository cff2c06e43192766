"""An endpoint as a Deployment that the chart installed; which archive it serves is one annotation of its pods.

The annotation `kubetune.io/archive` of the pod template pins each revision to an archive, and only this module writes
it. `kubetune.io/served-archive` of the Deployment itself is the last archive whose rollout was seen to end well: what
is restored when a process was killed half-way and the next archive turns out bad.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kubetune.errors import ConfigError, InterruptedRunError, NotReadyError, TemporaryError
from kubetune.serving.archive.manifest import archive_digest, read_archive
from kubetune.serving.cluster.deployments import ConflictError, Deployments, Json
from kubetune.serving.cluster.rollout import ARCHIVE, annotation, is_ready, pod_reasons, unfinished, unrecoverable
from kubetune.serving.target import Observed

SERVED = "kubetune.io/served-archive"
POLL_S = 1.0
ATTEMPTS = 5
LINGER_S = 60.0
"""Seconds that former pods get to finish; one on a lost node never does."""
PORT = 8080


class ClusterTarget:
    """Implements `Target`. The former pods answer until the new ones are ready; how is the Deployment's strategy."""

    def __init__(self, namespace: str, release: str, endpoint: str, client: Any = None) -> None:
        """Describe the endpoint; touches nothing.

        Args:
            namespace: Namespace of the Deployment.
            release: Full name of the Helm release.
            endpoint: Endpoint name.
            client: `kubernetes.client.ApiClient`; None: the pod's own account.

        Raises:
            ConfigError: This process has no account of a cluster.
        """
        self.endpoint, self.namespace = endpoint, namespace
        self.name = f"{release}-serve-{endpoint}"
        self._api = Deployments(namespace, client)
        self._applied: str | None = None
        self._former: str | None = None
        self._hurried = False

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """See `Target.exclusive`; nothing is held, since the patch itself notices another deployment."""
        yield

    def observe(self) -> Observed:
        """See `Target.observe`; a pod that is ready has reproduced its golden vectors."""
        deployment = self._api.read(self.name)
        digest, why = annotation(deployment), unfinished(deployment)
        if digest is None:
            return Observed(None, ("nothing was deployed yet",), self._facts(deployment))
        return Observed(digest, (why,) if why else (), self._facts(deployment))

    def apply(self, archive: Path, timeout_s: float, should_stop: Callable[[], bool]) -> None:
        """See `Target.apply`.

        Raises:
            ConfigError: There is no such Deployment, it has no replicas, or another deployment took it over meanwhile.
            TemporaryError: Another deployment of this endpoint is under way, or the API is away.
        """
        read_archive(archive, verify=False)
        digest = archive_digest(archive)
        deployment = self._api.read(self.name)
        if deployment["spec"].get("replicas", 1) == 0:
            raise ConfigError(
                f"Deployment {self.name} is scaled to 0 replicas, so nothing can become ready: scale it up first."
            )
        self._former = self._restorable(deployment, digest)
        self._applied = digest  # before the patch: a signal may come when it has landed and its answer has not
        try:
            self._move(annotation(deployment), digest)
            self._wait(digest, timeout_s, should_stop)
        except InterruptedRunError:
            self._hurried = True
            raise
        with suppress(ConflictError, TemporaryError, ConfigError):  # it serves: nothing below may undo that
            self._remember(digest)
            self._linger(should_stop)

    def rollback(self, timeout_s: float) -> None:
        """See `Target.rollback`; where nothing was served before, the endpoint answers so again.

        After an interruption the annotation is restored and not watched: the pod is killed soon.
        """
        if self._applied is None:
            return
        try:
            self._move(self._applied, self._former)
        except TemporaryError as error:
            raise NotReadyError(f"the annotation of {self.name} could not be restored: {error}") from error
        if not self._hurried:
            self._wait(self._former, timeout_s, lambda: False)

    def _restorable(self, deployment: Json, digest: str) -> str | None:
        """Return what to serve again if `digest` is bad: what serves now, else what was last seen to serve."""
        current = annotation(deployment)
        if current != digest and not unfinished(deployment):
            return current
        served: str | None = (deployment["metadata"].get("annotations") or {}).get(SERVED)
        if served is not None:
            return served if served != digest else current
        return current if current != digest else None

    def _move(self, former: str | None, wanted: str | None) -> None:
        """Change the annotation if it is still `former`.

        Raises:
            TemporaryError: It is something else now.
        """
        for _ in range(ATTEMPTS):
            deployment = self._api.read(self.name)
            current = annotation(deployment)
            if current == wanted:  # also where the reply to our patch was lost
                return
            if current != former:
                break
            with suppress(ConflictError):
                self._api.patch(self.name, change(deployment, wanted))
                return
        raise TemporaryError(
            f"Endpoint {self.endpoint} is being changed by another deployment: it was to go from "
            f"{archive_text(former)} to {archive_text(wanted)} and names {archive_text(current)} now; look at it, then "
            "run this again."
        )

    def _wait(self, digest: str | None, timeout_s: float, should_stop: Callable[[], bool]) -> None:
        """Return once every pod of the Deployment is ready and of this archive."""
        deadline = time.monotonic() + timeout_s
        while True:
            deployment = self._api.read(self.name)
            if annotation(deployment) != digest:
                self._applied = None  # what is there now is the other's to restore
                raise ConfigError(  # another try would take it back, and the two would go on for ever
                    f"Endpoint {self.endpoint} was taken over by another deployment while this one waited: it names "
                    f"{archive_text(annotation(deployment))} now, not {archive_text(digest)}; submit this one again to "
                    "serve it."
                )
            why = unfinished(deployment)
            alive, _ = self._api.pods(selector(deployment))
            pods = [pod for pod in alive if annotation(pod) == digest]
            if not why and pods and all(is_ready(pod) for pod in pods):
                return
            if never := unrecoverable(pods):
                raise NotReadyError(f"Endpoint {self.endpoint} cannot become ready: {never}.")
            if should_stop():
                raise InterruptedRunError(f"Waiting for endpoint {self.endpoint} was interrupted: run this again.")
            if time.monotonic() > deadline:
                reasons = "; ".join([why or "a pod is not ready", *pod_reasons(deployment, pods)[:2]])
                raise NotReadyError(f"Endpoint {self.endpoint} was not ready in {timeout_s:g} s: {reasons}.")
            time.sleep(POLL_S)

    def _linger(self, should_stop: Callable[[], bool]) -> None:
        """Let former pods finish, so that whoever asks after `deploy` has ended is answered by the new archive."""
        deadline = time.monotonic() + LINGER_S
        labels = selector(self._api.read(self.name))
        while self._api.pods(labels)[1] and time.monotonic() < deadline and not should_stop():
            time.sleep(POLL_S)

    def _remember(self, digest: str) -> None:
        """Note that this archive was seen to serve; no pod changes."""
        deployment = self._api.read(self.name)
        place = "/metadata/annotations"
        operations = [{"op": "test", "path": f"/spec/template{place}/{escaped(ARCHIVE)}", "value": digest}]
        operations.append(put_annotation(deployment["metadata"], place, SERVED, digest))
        self._api.patch(self.name, operations)

    def _facts(self, deployment: Json) -> dict[str, Any]:
        """Return what is worth recording."""
        annotations = deployment["metadata"].get("annotations") or {}
        return {
            "url": f"http://{self.name}.{self.namespace}.svc:{PORT}/predictions/{self.endpoint}",
            "deployment": self.name,
            "namespace": self.namespace,
            "revision": annotations.get("deployment.kubernetes.io/revision"),
        }


def change(deployment: Json, wanted: str | None) -> list[Json]:
    """Return the JSON patch that changes the annotation of the pods, if the Deployment is still as it was read."""
    place, pods = "/spec/template/metadata/annotations", deployment["spec"]["template"]["metadata"]
    path, current = f"{place}/{escaped(ARCHIVE)}", annotation(deployment)
    if current is not None:
        test: Json = {"op": "test", "path": path, "value": current}
    else:  # absence has no test of its own
        version = deployment["metadata"]["resourceVersion"]
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
    return [test, {"op": "remove", "path": path} if wanted is None else put_annotation(pods, place, ARCHIVE, wanted)]


def put_annotation(metadata: Json, place: str, name: str, value: str) -> Json:
    """Return the operation that sets an annotation, also where there is none yet."""
    if metadata.get("annotations"):
        return {"op": "add", "path": f"{place}/{escaped(name)}", "value": value}
    return {"op": "add", "path": place, "value": {name: value}}


def selector(deployment: Json) -> dict[str, str]:
    """Return the labels by which a Deployment knows its pods."""
    labels: dict[str, str] = deployment["spec"]["selector"]["matchLabels"]
    return labels


def escaped(name: str) -> str:
    """Return a name as one part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def archive_text(digest: str | None) -> str:
    """Return an archive as a person reads it."""
    return f"archive {digest[:12]}" if digest else "no archive"
