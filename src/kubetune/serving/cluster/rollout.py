"""What a Deployment and its pods say of a rollout, in sentences."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

ARCHIVE = "kubetune.io/archive"
SPOKEN = re.compile(r"^(?:kubetune: |exit=\d+ )")
"""How a last line begins, in the log and in the termination message."""
UNRECOVERABLE_AFTER = {65: 1, 78: 1, 69: 2, 70: 2}
"""After so many restarts with such an exit code the next one will end the same way."""

Json = Mapping[str, Any]


def annotation(thing: Json) -> str | None:
    """Archive that a Deployment's template or a pod names; None: none."""
    source = thing["spec"]["template"] if "template" in thing.get("spec", {}) else thing
    found: str | None = (source.get("metadata", {}).get("annotations") or {}).get(ARCHIVE)
    return found or None


def unfinished(deployment: Json) -> str:
    """Return why a Deployment does not yet run its newest template everywhere; empty: it does."""
    wanted = deployment["spec"].get("replicas", 1)
    status = deployment.get("status") or {}
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return "the change was not taken up yet"
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if wanted == 0:
        return "it is scaled to 0 replicas"
    if updated < wanted:
        return f"{updated} of {wanted} pods were started"
    if status.get("replicas", 0) > updated:
        return f"{status['replicas'] - updated} former pods still run"
    if available < updated or available < wanted:
        return f"{available} of {wanted} pods are ready"
    return ""


def is_ready(pod: Json) -> bool:
    """Whether a pod's readiness probe holds."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def pod_reasons(deployment: Json, pods: Iterable[Json]) -> list[str]:
    """Return what keeps the pods of a revision from being ready, one sentence each, the surest first."""
    found = [_pod_reason(pod) for pod in pods if not is_ready(pod)]
    conditions = (deployment.get("status") or {}).get("conditions") or []
    failed = [item for item in conditions if item["type"] == "ReplicaFailure" and item["status"] == "True"]
    found += [(0, plain_line(item.get("message", "pods cannot be created"))) for item in failed]
    return [text for _, text in sorted(found)]


def unrecoverable(pods: Iterable[Json]) -> str:
    """Return the reason of a pod that will never be ready; empty: there is none."""
    for pod in pods:
        for status in _statuses(pod):
            ended = _ended(status)
            if ended and status.get("restartCount", 0) >= UNRECOVERABLE_AFTER.get(ended["exitCode"], 1 << 30):
                return _ended_sentence(status, ended)
    return ""


def _pod_reason(pod: Json) -> tuple[int, str]:
    for status in _statuses(pod):
        if ended := _ended(status):
            return 0, _ended_sentence(status, ended)
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            return 1, plain_line(f"{status['name']} waits: {waiting['reason']} {waiting.get('message', '')}")
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return 2, plain_line(f"a pod has no node: {condition.get('message', condition.get('reason', ''))}")
    return 3, "a pod is starting"


def _statuses(pod: Json) -> list[Json]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _ended(status: Json) -> Json | None:
    for state in (status.get("state") or {}, status.get("lastState") or {}):
        ended: Json | None = state.get("terminated")
        if ended and ended.get("exitCode"):
            return None if (status.get("state") or {}).get("running") and status.get("ready") else ended
    return None


def _ended_sentence(status: Json, ended: Json) -> str:
    message = str(ended.get("message") or ended.get("reason") or "it gave no reason").strip().splitlines()
    return plain_line(f"{status['name']} ended with {ended['exitCode']}: {SPOKEN.sub('', message[-1])}")


def plain_line(text: str) -> str:
    """Return text from a cluster as one printable line of at most 400 characters."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())[:400]
