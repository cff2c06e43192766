"""Running: a whole recipe here, one stage anywhere, and the choice that ends a sweep."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetune.api.opening import opened
from kubetune.cli.common import (
    AsJson,
    Overrides,
    RecipeName,
    Request,
    StoreUrl,
    failure,
    next_lines,
    note,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubetune.config.settings import Settings
    from kubetune.execution.run import StageResult
    from kubetune.plan import StageCall
    from kubetune.storage.base import Store


def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Run id; the default is the next free RECIPE-N.", show_default=False)
    ] = None,
    store: StoreUrl = None,
    until: Annotated[str | None, typer.Option("--until", help="Last stage to run.", show_default=False)] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Endpoint to deploy to; the default is the recipe's name.")
    ] = None,
    audit: Annotated[bool, typer.Option("--audit", help="Run every stage again and compare every byte.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe from data to a served model; stages whose result exists are adopted."""
    from kubetune.api.running import LocalRequest, execute_request
    from kubetune.config.load import load_recipe
    from kubetune.errors import KubetuneError

    loaded = load_recipe(recipe, overrides or [])
    settings, opened_store = opened(store, new=True, beside=Path(recipe).parent if Path(recipe).is_file() else None)
    shown = ShownRun([recipe, *(overrides or [])], store, as_json=as_json)
    request = LocalRequest(loaded, run, until, endpoint, audit)
    try:
        execute_request(request, settings, opened_store, shown)
    except KubetuneError as error:
        shown.progress.close()  # bars redirect what is printed
        with suppress(KubetuneError):  # a store that is away now must not hide the reason
            shown.end(error)
        if (code := process_code(error)) is not None:
            sys.exit(code)  # its process has said why
        raise
    finally:
        shown.progress.close()
    shown.end()


def process_code(error: Exception) -> int | None:
    """Return the exit code of the stage's process that an error stands for; None: it stands for none."""
    from kubetune.execution.local import StageFailedError

    return error.__cause__.code if isinstance(error.__cause__, StageFailedError) else None


class ShownRun:
    """A run under way, and what a person or a program is told of it: see `api.running.Watcher`."""

    def __init__(self, recipe: "Sequence[str]", store: str | None = None, *, as_json: bool = False) -> None:
        from kubetune.cli.display import progress_for
        from kubetune.cli.promote import Terminal

        self.recipe, self.as_json = recipe, as_json
        self.say = note if as_json else say
        self.approve = Terminal(self.tell, store, self.say).approve
        self.progress = progress_for()
        self.stages: list[dict[str, Any]] = []
        self.endpoint: str | None = None
        self.begun: tuple[Settings, Store, str] | None = None

    def begin(self, settings: "Settings", store: "Store", run: str) -> None:
        """Say where it lies."""
        from kubetune.api.running import run_line

        self.begun = settings, store, run
        self.say(run_line(store, run))

    def tell(self, call: "StageCall", result: "StageResult") -> None:
        """Print a line about a finished stage."""
        from kubetune.api.running import stage_lines

        self.stages.append(
            {"stage": call.stage.name, "status": result.status, "seconds": result.seconds, "note": result.note}
        )
        if call.stage.name == "deploy":
            self.endpoint = call.endpoint
        for line in stage_lines(call, result):
            self.say(line)

    def end(self, error: Exception | None = None) -> None:
        """Say what the run came to, and what may be done next.

        Args:
            error: What ended it before its last stage; None: nothing did.
        """
        from kubetune.api.runs import read_opened
        from kubetune.cli.summary import next_commands, summary_of, summary_text
        from kubetune.execution.states import SIGNAL
        from kubetune.storage.runs import read_run

        if self.begun is None:
            return
        settings, store, name = self.begun
        if error is not None and read_run(store, name) is None:
            if self.stages:
                return  # somebody deleted it meanwhile, which the error says
            # Refused before any stage: nothing of it is left.
            if self.as_json:
                print_json({"run": None, "stages": []} | failure(error))
            return
        summary = summary_of(read_opened(settings, store, name))
        reason = failure(error)
        code = None if error is None else process_code(error)
        reason |= {} if code is None else {"code": code}
        if self.as_json:
            print_json(summary | {"stages": self.stages, "endpoint": self.endpoint} | reason)
            return
        if code is not None and code > SIGNAL:
            note(f"kubetune: {reason['sentence']}")
        summary_text(summary)
        next_lines(settings, *next_commands(summary, self.endpoint, self.recipe, reason["code"]))


def stage(
    name: Annotated[str, typer.Argument(help="Stage, as listed by `kubetune plan`.")],
    run: Annotated[str, typer.Option("--run", help="Run id.")],
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Recipe; needed by the run's first call only.", show_default=False)
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="section.key=value, with --recipe.")] = None,
    resolved: Annotated[
        str | None,
        typer.Option("--resolved", help="The whole recipe as JSON text, as pods are given it.", show_default=False),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", help="RUN=RECIPE-JSON: a run that shares this result; adopted right after."),
    ] = None,
    winner: Annotated[
        bool, typer.Option("--winner", help="--run names a sweep: act on the run that `kubetune choose` chose.")
    ] = False,
    store: StoreUrl = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Endpoint for `deploy`.")] = None,
    why: Annotated[
        str | None,
        typer.Option("--why", help="A person's reason to go on although the comparison did not say promote."),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="Who approves, or gives the reason.")] = None,
    request: Request = "",
    audit: Annotated[bool, typer.Option("--audit", help="Run although the result exists, and compare it.")] = False,
) -> None:
    """Run one stage: adopt its result if it exists, else produce and commit it."""
    from contextlib import nullcontext
    from dataclasses import replace

    from kubetune.api.opening import opened
    from kubetune.cli.answers import answer_of, leave_answer
    from kubetune.cli.common import override_of
    from kubetune.cli.display import progress_for
    from kubetune.config.load import parse_recipe
    from kubetune.errors import ConfigError
    from kubetune.execution.run import audit_stage, raise_for_verdict, run_stage
    from kubetune.execution.signals import stop_requests
    from kubetune.models.history import recipe_of_run
    from kubetune.models.pending import remembered
    from kubetune.plan import call_of
    from kubetune.search.sweeps import winner_of
    from kubetune.storage.cached import cached_run

    settings, opened_store = opened(store, retry=True, new=True)
    if resolved is not None and (recipe is not None or overrides):
        raise ConfigError("--resolved holds a whole recipe: give either it or --recipe with --set.")
    run = winner_of(opened_store, run) if winner else run
    opened_store = cached_run(opened_store, run)
    given = None if resolved is None else parse_recipe(resolved)
    found = given or recipe_of_run(opened_store, run, recipe, overrides or [])
    calls = [call_of(name, found, run, endpoint)]
    for other, _, text in (item.partition("=") for item in also or []):
        calls.append(call_of(name, parse_recipe(text), other, endpoint))
    progress = progress_for()
    override = override_of(by, why, request)
    remembering = (
        nullcontext() if override is None else remembered(settings, f"stage {name}", f"{run} {endpoint}", override)
    )
    with stop_requests() as stop, remembering as override:
        calls[0] = replace(calls[0], override=override)
        stop.raises = not calls[0].stage.resumable
        try:
            results = [
                (audit_stage if audit else run_stage)(call, opened_store, settings, progress=progress, should_stop=stop)
                for call in calls
            ]
        finally:
            progress.close()
    for result in results:
        if result.note:
            progress.note(result.note)
    if len(results) == 1:
        leave_answer(settings, answer_of(results[0]))
    for result in results:
        raise_for_verdict(result)


def choose(
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
