"""The pods of a sweep: shared stages once a group, a training a trial, and the winner's remaining stages."""

import json
from typing import Any

from kubetune.config.cluster import ClusterSettings
from kubetune.config.load import canonical
from kubetune.orchestration.pods import RUN_LABEL, Pod, PodWork, literal, stage_pod, task_pod
from kubetune.orchestration.requests import sharing
from kubetune.plan import StageCall
from kubetune.stages import BY_NAME, STAGES, Stage, before


def _before(stage: Stage) -> set[str]:
    return set(before(stage)).union(*(_before(BY_NAME[name]) for name in before(stage)))


TRIED = BY_NAME["train"]
"""The stage whose validation metrics choose; those after it are the winner's alone."""
SHARED = tuple(stage for stage in STAGES if stage.name in _before(TRIED))
TRIALS = (*SHARED, TRIED)
WINNERS = tuple(stage for stage in STAGES if stage not in TRIALS)


def sweep_pods(sweep: str, trials: list[tuple[StageCall, ...]], cluster: ClusterSettings) -> dict[str, Any]:
    """Return pods by task: a list for the shared stages and `train`, one for `choose` and each stage of the winner.

    Args:
        sweep: Name of the sweep.
        trials: The plan of each trial.
        cluster: Platform settings.
    """
    pods: dict[str, Any] = {}
    for stage in SHARED:
        calls = [call for trial in trials for call in trial if call.stage == stage]
        pods[stage.name] = [_shared_pod(group, cluster) for group in sharing(calls)]
    pods[TRIED.name] = [stage_pod(call, cluster) for trial in trials for call in trial if call.stage == TRIED]
    last = {call.stage: call for call in trials[0]}
    runs = [trial[0].run for trial in trials]
    for stage in WINNERS:
        arguments = ["stage", stage.name, "--run", sweep, "--winner", "--endpoint", last[stage].endpoint]
        pods[stage.name] = _with(stage_pod(last[stage], cluster), sweep, arguments)
    reader = WINNERS[0]  # its user may read what trainings recorded; a GPU for it would be waste
    work = PodWork(reader.name, reader.image, ("choose", sweep, *runs), {RUN_LABEL: sweep})
    pods["choose"] = task_pod(work, cluster)
    return pods


def _shared_pod(group: list[StageCall], cluster: ClusterSettings) -> Pod:
    """One container does the stage for the first run; for the others it finds the same key and adopts the result."""
    first, *others = group
    pod = stage_pod(first, cluster)
    for call in others:
        recipe = literal(json.dumps(canonical(call.recipe), sort_keys=True, separators=(",", ":")))
        pod["spec"]["containers"][0]["args"] += ["--also", f"{call.run}={recipe}"]
    return pod


def _with(pod: Pod, run: str, arguments: list[str]) -> Pod:
    """The same pod for another run, with other arguments."""
    pod["metadata"]["labels"][RUN_LABEL] = run
    pod["spec"]["containers"][0]["args"] = arguments
    return pod
