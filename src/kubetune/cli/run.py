"""Running: a whole recipe here, one stage anywhere, and the choice that ends a sweep."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetune.cli.common import (
    AsJson,
    Overrides,
    RecipeName,
    Request,
    StoreUrl,
    failure,
    next_lines,
    note,
    opened,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubetune.config.settings import Settings
    from kubetune.execution.run import StageResult
    from kubetune.plan import StageCall
    from kubetune.storage.cached import CachedRun


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
    from kubetune.config.load import load_recipe
    from kubetune.errors import KubetuneError
    from kubetune.execution.local import StageFailedError, new_run, require_here
    from kubetune.plan import plan
    from kubetune.storage.cached import cached_run

    loaded = load_recipe(recipe, overrides or [])
    settings, opened_store = opened(store, new=True, beside=Path(recipe).parent if Path(recipe).is_file() else None)
    # Bad options and what cannot be run here must not leave an empty run behind.
    calls = plan(loaded, run or f"{loaded.name}-1", endpoint, until)
    require_here(loaded, [call.stage.name for call in calls], opened_store)
    made = run is None
    if run is None:
        run = new_run(opened_store, loaded)
        calls = plan(loaded, run, endpoint, until)
    work = LocalRun(settings, cached_run(opened_store, run), [recipe, *(overrides or [])], as_json)
    try:
        work.execute(calls, store, audit=audit)
    except (KubetuneError, StageFailedError) as error:
        with suppress(KubetuneError):  # a store that is away now must not hide the reason
            work.end(error, made=made)
        if isinstance(error, StageFailedError):
            sys.exit(error.code)  # its process has said why
        raise
    work.end()


class LocalRun:
    """A run under way, and what a person or a program is told of it."""

    def __init__(self, settings: "Settings", store: "CachedRun", recipe: "Sequence[str]", as_json: bool) -> None:
        self.settings, self.store, self.run, self.recipe, self.as_json = settings, store, store.run, recipe, as_json
        self.show = note if as_json else say
        self.stages: list[dict[str, Any]] = []
        self.endpoint: str | None = None

    def execute(self, calls: "tuple[StageCall, ...]", store: str | None, *, audit: bool) -> None:
        """Run the stages.

        Raises:
            KubetuneError, StageFailedError: As `local.execute_plan`.
        """
        from kubetune.cli.display import progress_for
        from kubetune.cli.promote import Terminal
        from kubetune.execution.local import execute_plan
        from kubetune.execution.signals import stop_requests
        from kubetune.notifications.walks import announced

        with stop_requests() as stop:
            stop.raises = True  # between stages; a running one is sent the signal and decides itself
            self.show(f"run {self.run}  ·  store {self.store.url}")
            self.mirror()
            progress = progress_for()
            try:
                with announced(self.settings, self.store, self.run, stop) as noted:
                    person = Terminal(noted(self.tell), store, self.show)
                    execute_plan(calls, self.store, self.settings, person, progress, audit=audit)
            finally:
                progress.close()
        if any(call.stage.name == "deploy" for call in calls):
            self.endpoint = calls[-1].endpoint

    def tell(self, call: "StageCall", result: "StageResult") -> None:
        """Print one line about a finished stage."""
        words = {"adopted": f"adopted from {result.source}", "kept": "adopted, this run's own", "effect": "done"}
        status = words.get(result.status, result.status)
        self.stages.append(
            {"stage": call.stage.name, "status": result.status, "seconds": result.seconds, "note": result.note}
        )
        self.show(f"{call.stage.name:<10}{status:<28}{result.seconds:7.1f} s  {result.note}".rstrip())
        if result.status in {"adopted", "kept"} and "data" in result.commit.facts:
            self.show(f"  data: {result.commit.facts['data']}")  # a stage that ran has said it itself

    def mirror(self) -> None:
        """Start the process that mirrors the run into MLflow; the run neither waits for it nor fails by it."""
        from kubetune.errors import ConfigError
        from kubetune.tracking.beside import start_beside

        try:
            start_beside(self.settings, self.run)
        except (ConfigError, OSError) as error:
            self.show(f"The run is not mirrored into MLflow: {error}")

    def end(self, error: Exception | None = None, *, made: bool = False) -> None:
        """Say what the run came to, and what may be done next.

        Args:
            error: What ended it before its last stage; None: nothing did.
            made: Whether its record was made by this command: refused before any stage, nothing of it is left.
        """
        from kubetune.cli.summary import next_commands, summary_of, summary_text
        from kubetune.errors import ConfigError
        from kubetune.execution.local import StageFailedError
        from kubetune.execution.states import SIGNAL
        from kubetune.layout import run_record
        from kubetune.models.history import commits_of
        from kubetune.storage.runs import delete_run

        self.store.forget(run_record(self.run))  # somebody may have deleted the run meanwhile, which is said here
        if made and isinstance(error, ConfigError) and not commits_of(self.store, self.run):
            delete_run(self.store, self.run)
            if self.as_json:
                print_json({"run": None, "stages": []} | self.reason(error))
            return
        summary = summary_of(self.store, self.run)
        if self.as_json:
            print_json(summary | {"stages": self.stages, "endpoint": self.endpoint} | self.reason(error))
            return
        if isinstance(error, StageFailedError) and error.code > SIGNAL:
            note(f"kubetune: {self.reason(error)['sentence']}")
        summary_text(summary)
        commands = next_commands(summary, self.endpoint, self.recipe, self.reason(error)["code"])
        next_lines(self.settings, *commands)

    def reason(self, error: Exception | None) -> dict[str, Any]:
        """Return exit code and sentence of what ended the run; a stage's process left its own with the run."""
        from kubetune.execution.local import StageFailedError
        from kubetune.storage.runs import list_attempts

        if not isinstance(error, StageFailedError):
            return failure(error)
        attempts = list(list_attempts(self.store, self.run, error.stage).values())
        said = str(attempts[-1].get("reason", "")) if attempts else ""
        return {"code": error.code, "sentence": said or str(error)}


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

    from kubetune.cli.answers import answer_of, leave_answer
    from kubetune.cli.common import opened, override_of
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

    settings, opened_store = opened(store, patient=True, new=True)
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
