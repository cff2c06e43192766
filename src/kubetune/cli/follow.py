"""`kubetune follow RUN`: watch a run in the cluster; ends with the run's own exit code."""

from kubetune.cli.cluster import ClusterRun, airflow_of
from kubetune.cli.common import leave, next_lines, say, settings_for

PATIENCE_S = 300.0
"""Seconds for which an api-server may be away, for example while it is upgraded."""
INTERRUPTED = 130  # what a shell says of a command that Ctrl-C ended


def command(run: ClusterRun) -> None:
    """Show the stages of a run with their progress until it is over; exits as the run itself would have here."""
    from kubetune.cli.stages_display import display
    from kubetune.client.watch import outcome, watch

    settings = settings_for(None)
    airflow = airflow_of(settings, PATIENCE_S)
    airflow.run(run)  # an unknown run is said before the screen is touched
    shown = display()
    try:
        for found, stages in watch(airflow, run):
            last = found, stages
            shown.show(stages)
    except KeyboardInterrupt:
        shown.close()
        leave(f"Run {run} goes on in the cluster; `kubetune cancel {run}` ends it.", INTERRUPTED)
    finally:
        shown.close()
    end = outcome(airflow, *last)
    if end.code or end.sentence:
        leave(end.sentence, end.code)
    say(f"run {run} is complete")
    next_lines(settings, ["show", run], ["pull", run])
