"""`kubetune choose SWEEP RUN…`: the best of several runs by validation, recorded so that only it sees the test rows."""

import json
from typing import Annotated

import typer

from kubetune.cli.common import AsJson, StoreUrl, opened, print_json, print_table


def command(
    sweep: Annotated[str, typer.Argument(help="Name under which the choice is recorded.")],
    runs: Annotated[list[str], typer.Argument(help="Runs to choose among.")],
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Choose the best run of a sweep by its validation metric; `stage --winner` goes on with it."""
    from dataclasses import asdict

    from kubetune.cli.answers import MOST
    from kubetune.search.sweeps import choose

    settings, opened_store = opened(store)
    choice = choose(opened_store, sweep, runs)
    if as_json:
        print_json(asdict(choice))
    else:
        print_table(
            ["run", f"validation {choice.metric}", "differs from the first run in", ""],
            [
                [
                    trial.run,
                    "-" if trial.value is None else f"{trial.value:.4f}",
                    ", ".join(f"{path}={value}" for path, value in trial.changes.items()) or "-",
                    "chosen" if trial.run == choice.winner else "",
                ]
                for trial in choice.trials
            ],
        )
    if settings.termination_log.exists():  # in a pod: what Airflow shows as the task's output
        shown = {trial.run: trial.value for trial in choice.trials}
        answer: dict[str, object] = {"winner": choice.winner, "metric": choice.metric, "trials": shown}
        if len(json.dumps(answer)) > MOST:
            answer["trials"] = len(shown)  # all of them are in the store, and a part would be no JSON
        settings.termination_log.write_text(json.dumps(answer), encoding="utf-8")
