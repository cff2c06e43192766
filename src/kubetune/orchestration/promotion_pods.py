"""The pods by which a person moves the champion: of a run that was kept back, of an older version, or back by one."""

import re

from kubetune.config.cluster import ClusterSettings
from kubetune.execution.access import all_before
from kubetune.orchestration.pods import RUN_LABEL, SIGNER, Pod, PodWork, task_pod
from kubetune.orchestration.requests import PromoteRequest, RevokeRequest, RollbackRequest
from kubetune.stages import BY_NAME, STAGES, Stage

DECIDES = next(stage for stage in STAGES if stage.champion)
"""A manual override stands above its verdict."""
PROMOTED = tuple(stage for stage in STAGES if DECIDES.name in all_before(stage))
"""Stages that a run which was kept back has not seen."""
MOVES = next(stage for stage in STAGES if stage.reaches_kubernetes)
"""Its image, account and user move the champion and the endpoint together."""
SIGNS = BY_NAME[SIGNER]


def promotion_pods(request: PromoteRequest, by: str, request_id: str, cluster: ClusterSettings) -> dict[str, Pod]:
    """Return a pod for each of `PROMOTED`; an empty one is not needed.

    Args:
        request: What a person asked for.
        by: Who.
        request_id: The same for all tries of one request.
        cluster: Platform settings.
    """
    word = ("--why", request.why, "--by", by, "--request", request_id)
    if "@" in request.what:
        version = _moving(("promote", request.what, *word), request.what.partition("@")[0], cluster)
        return {stage.name: version if stage == MOVES else {} for stage in PROMOTED}
    return {stage.name: _stage_pod(stage, request, word, cluster) for stage in PROMOTED}


def rollback_pod(request: RollbackRequest, by: str, request_id: str, cluster: ClusterSettings) -> Pod:
    """Return the pod that brings back the champion before this one; for the arguments see `promotion_pods`."""
    args = ("rollback", request.model, "--why", request.why, "--by", by, "--request", request_id)
    return _moving(args, request.model, cluster)


def revocation_pod(request: RevokeRequest, by: str, request_id: str, cluster: ClusterSettings) -> Pod:
    """Return the pod that ends a version's signature: that of the stage that signs, since it alone has the key."""
    undo = ("--undo",) if request.undo else ()
    args = ("revoke", request.version, *undo, "--why", request.why, "--by", by, "--request", request_id)
    return task_pod(PodWork(SIGNS.name, SIGNS.image, args, endpoint=request.version.partition("@")[0]), cluster)


def _stage_pod(stage: Stage, request: PromoteRequest, word: tuple[str, ...], cluster: ClusterSettings) -> Pod:
    """A stage of a run that the store knows: its recipe is read there, so resources are the platform's defaults."""
    endpoint = ("--endpoint", request.endpoint) if request.endpoint is not None else ()
    args = ("stage", stage.name, "--run", request.what, *endpoint, *word)
    work = PodWork(
        name=stage.name,
        image=stage.image,
        args=args,
        labels={RUN_LABEL: request.what},
        kubernetes=stage.reaches_kubernetes,
        endpoint=request.endpoint or "",
    )
    return task_pod(work, cluster)


def _moving(args: tuple[str, ...], endpoint: str, cluster: ClusterSettings) -> Pod:
    return task_pod(PodWork(MOVES.name, MOVES.image, args, kubernetes=True, endpoint=endpoint), cluster)


def recordable_name(person: str | None) -> str:
    """Return a user's name as a record can hold it: one printable line, never empty."""
    return re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in person or "")).strip()[:200] or "airflow"
