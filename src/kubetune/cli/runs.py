"""`kubetune runs`: all runs of the store."""

from collections.abc import Mapping

from kubetune.cli.common import AsJson, StoreUrl, opened, print_json, print_table
from kubetune.cli.live import stages_under_way


def command(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """List the runs, the newest first."""
    import time
    from dataclasses import asdict, replace

    from kubetune.execution.states import run_lines

    settings, opened_store = opened(store)
    lines = run_lines(opened_store)
    live = stages_under_way(settings, [line.run for line in lines if line.state != "complete"])
    lines = [replace(line, state=state_of(live[line.run], line.state)) if line.run in live else line for line in lines]
    if as_json:
        print_json([asdict(line) for line in lines])
        return
    print_table(
        ["run", "recipe", "state", "accuracy", "macro F1", "last change"],
        [
            [
                line.run,
                line.recipe,
                line.state,
                *(f"{line.metrics[name]:.3f}" if name in line.metrics else "-" for name in ("accuracy", "macro_f1")),
                time.strftime("%Y-%m-%d %H:%M", time.localtime(line.modified)),
            ]
            for line in lines
        ],
    )


def state_of(stages: Mapping[str, str], stored: str) -> str:
    """Return the state of a run that a cluster still works on: its last stage there that is under way."""
    name, word = list(stages.items())[-1] if stages else ("", "")
    return f"{word} at {name}" if name else stored
