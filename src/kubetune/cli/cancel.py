"""`kubetune cancel RUN`: end a run in the cluster."""

from kubetune.cli.cluster import ClusterRun, airflow_of
from kubetune.cli.common import say, settings_for


def command(run: ClusterRun) -> None:
    """End a run: its pods are deleted, what it has committed stays."""
    from kubetune.client.watch import CANCELLED, outcome, stages_of

    settings = settings_for(None)
    airflow = airflow_of(settings)
    found = airflow.run(run)
    if found.finished:
        end = outcome(airflow, found, stages_of(airflow, run))
        say(f"run {run} is over already ({end.word}), nothing was changed. {end.sentence}".rstrip())
        return
    running = [view.name for view in stages_of(airflow, run) if view.state in {"running", "queued", "scheduled"}]
    airflow.fail(run, f"{CANCELLED} by {settings.airflow_user}")
    say(f"run {run} is cancelled; {ended(running)}")
    say("What it has committed stays and is adopted by the next run of the same recipe.")


def ended(stages: list[str]) -> str:
    """Say what happens to the stages that were under way."""
    if not stages:
        return "no stage was under way."
    return f"{' and '.join(stages)} {'was' if len(stages) == 1 else 'were'} under way: Airflow deletes the pods."
