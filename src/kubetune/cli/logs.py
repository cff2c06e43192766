"""What stages write and how far they are, in a cluster."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from kubetune.api.opening import settings_for
from kubetune.cli.cluster import ClusterRun, airflow_of, tell
from kubetune.cli.common import say

if TYPE_CHECKING:
    from kubetune.client.airflow import Airflow
    from kubetune.client.watch import StageView
    from kubetune.config.settings import Settings


POLL_S = 5.0
LATE_S = 3.0
"""Airflow writes the last lines of a task into the object store a moment after it says that the task has ended."""
PATIENCE_S = 300.0


def logs(
    run: ClusterRun,
    stage: Annotated[str, typer.Argument(help="Stage, or `resolve`.")],
    follow: Annotated[bool, typer.Option("--follow", help="Wait for the stage and print until it is over.")] = False,
    attempt: Annotated[int | None, typer.Option("--try", min=1, help="Attempt; the default is the last.")] = None,
    everything: Annotated[bool, typer.Option("--airflow", help="Airflow's own lines as well.")] = False,
) -> None:
    """Print the log of a stage in the cluster."""
    from kubetune.errors import TemporaryError

    airflow = airflow_of(settings_for(None), PATIENCE_S if follow else 20.0)
    printed: tuple[int, int] = (0, 0)
    while True:
        view = view_of(airflow, run, stage)
        if view is None or view.attempt == 0:
            if not follow or airflow.run(run).finished:
                raise TemporaryError(
                    f"Stage {stage} of run {run} has not started yet: wait for it with --follow, or look at "
                    f"`kubetune follow {run}`."
                )
        else:
            printed = show(airflow, run, stage, attempt or view.attempt, printed, everything=everything)
        over = view is not None and view.state in {"success", "failed", "skipped"}
        if not follow or over or airflow.run(run).finished:
            break
        time.sleep(POLL_S)
    if view is not None and (printed[1] == 0 or follow):
        time.sleep(LATE_S)
        printed = show(airflow, run, stage, attempt or view.attempt, printed, everything=everything)
    if printed[1] == 0 and view is not None:
        say_nothing_written(airflow, run, view, attempt or view.attempt)


def show(
    airflow: "Airflow", run: str, stage: str, attempt: int, printed: tuple[int, int], *, everything: bool
) -> tuple[int, int]:
    """Print what is new of an attempt's log; returns the attempt and how many of its lines are printed."""
    from kubetune.client.watch import pod_lines

    lines = airflow.log(run, stage, attempt)
    if not everything:
        lines = pod_lines(lines) or ([] if stage != "resolve" else lines)
    done = printed[1] if printed[0] == attempt else 0
    for line in lines[done:]:
        say(line)
    return attempt, max(done, len(lines))


def say_nothing_written(airflow: "Airflow", run: str, view: "StageView", attempt: int) -> None:
    """Say why there is nothing to print: the stage waits, wrote nothing, or its log is gone.

    Raises:
        ConfigError: Its log is gone.
    """
    from kubetune.client.watch import own_lines, task_wait
    from kubetune.errors import ConfigError

    lines = airflow.log(run, view.name, attempt)
    if reason := task_wait(lines):
        tell(f"Stage {view.name} has not started: {reason}")
    elif view.state not in {"success", "failed", "skipped", "up_for_retry"}:
        tell(f"Stage {view.name} has written nothing yet.")
    elif own_lines(lines):
        tell(f"Try {attempt} of stage {view.name} wrote nothing; --airflow shows what Airflow says of it.")
    else:
        raise ConfigError(
            f"The log of try {attempt} of stage {view.name} of run {run} is gone: Airflow's scheduler held it, which "
            "was replaced since. Set the chart's value airflow.logs.enabled, which keeps logs in the object store."
        )


def view_of(airflow: "Airflow", run: str, stage: str) -> "StageView | None":
    """Return a stage of a run.

    Raises:
        ConfigError: There is no such run or stage.
    """
    from kubetune.client.watch import ORDER, stages_of
    from kubetune.errors import ConfigError

    if stage not in ORDER:
        raise ConfigError(f"Stage {stage!r:.60} does not exist: allowed are {', '.join(ORDER)}.")
    airflow.run(run)
    return next((view for view in stages_of(airflow, run) if view.name == stage), None)


LISTING_PATIENCE_S = 3.0
"""Seconds that a listing of the store waits for an Airflow that does not answer."""


def stages_under_way(settings: "Settings", runs: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return of each run that Airflow has not ended: stage → `running`, `waiting` or when it is tried again.

    The store records a try that failed, not that another one is due. Without a cluster, and for stores in a folder,
    there is nothing to ask; an Airflow that does not answer is said in one line.
    """
    from kubetune.client.watch import under_way
    from kubetune.errors import KubetuneError

    if not settings.airflow_url or "://" not in settings.store:
        return {}
    try:
        return under_way(airflow_of(settings, LISTING_PATIENCE_S), runs)
    except KubetuneError as error:
        tell(f"What the cluster does now is not known, states are those of the store: {error}")
        return {}
