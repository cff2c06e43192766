"""`kubetune run`: the whole plan on this machine, and what it came to."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kubetune.cli.common import Overrides, RecipeName, StoreUrl, opened, print_table, say, user_name

if TYPE_CHECKING:
    from kubetune.config.settings import Settings
    from kubetune.notices.walks import Tell
    from kubetune.plan import StageCall
    from kubetune.runner import StageResult
    from kubetune.storage.base import Store

PULLED = Path("kubetune-runs")


def command(
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
) -> None:
    """Run a recipe from data to a served model; stages whose result exists are adopted."""
    from kubetune.cli.progress import progress_for
    from kubetune.config.load import load_recipe
    from kubetune.errors import ConfigError, NothingToDoError, RefusedError
    from kubetune.local import StageFailedError, new_run, require_here, walk
    from kubetune.notices.walks import announced
    from kubetune.plan import plan
    from kubetune.stopping import stop_requests

    loaded = load_recipe(recipe, overrides or [])
    settings, opened_store = opened(store)
    made = run is None
    # Bad options and what cannot be run here must not leave an empty run behind.
    calls = plan(loaded, run or f"{loaded.name}-1", endpoint, until)
    require_here(loaded, [call.stage.name for call in calls], opened_store)
    if run is None:
        run = new_run(opened_store, loaded)
        calls = plan(loaded, run, endpoint, until)
    with stop_requests() as stop:
        stop.raises = True  # between stages; a running one is sent the signal and decides itself
        say(f"run {run}  ·  store {opened_store.url}")
        mirror(settings, run)
        progress = progress_for()
        try:
            with announced(settings, opened_store, run, stop) as noted:
                walk(calls, opened_store, settings, Terminal(noted(tell), store), progress, audit=audit)
        except (RefusedError, NothingToDoError):
            summarize(opened_store, run)
            raise
        except ConfigError:
            forget_empty(opened_store, run, made)
            raise
        except StageFailedError as error:
            sys.exit(error.code)
        finally:
            progress.close()
        summarize(opened_store, run)
    suggest(run, loaded.name, [call.stage.name for call in calls])


def forget_empty(store: "Store", run: str, made: bool) -> None:
    """Remove the record of a run that this command made, if it was refused before any stage."""
    from kubetune.history import commits_of
    from kubetune.storage.runs import delete_run

    if made and not commits_of(store, run):
        delete_run(store, run)


def tell(call: "StageCall", result: "StageResult") -> None:
    """Print one line about a finished stage."""
    words = {"adopted": f"adopted from {result.source}", "kept": "adopted, this run's own", "effect": "done"}
    status = words.get(result.status, result.status)
    say(f"{call.stage.name:<10}{status:<28}{result.seconds:7.1f} s  {result.note}".rstrip())


def mirror(settings: "Settings", run: str) -> None:
    """Start the process that mirrors the run into MLflow; the run neither waits for it nor fails by it."""
    from kubetune.errors import ConfigError
    from kubetune.tracking.beside import start_beside

    try:
        start_beside(settings, run)
    except (ConfigError, OSError) as error:
        say(f"The run is not mirrored into MLflow: {error}")


class Terminal:
    """The person in front of this terminal.

    Attributes:
        tell: Called after each stage.
        store: Store of the command line; advice has to name it again. None: the settings' one.
    """

    def __init__(self, tell: "Tell", store: str | None = None) -> None:
        self.tell, self.store = tell, store

    def approve(self, call: "StageCall") -> "StageCall":
        """Ask; whoever answers is recorded as the one who approved.

        Raises:
            NothingToDoError: The answer was no.
            ConfigError: Nobody is there to ask, or the input ended without an answer.
        """
        from dataclasses import replace
        from uuid import uuid4

        from kubetune.errors import ConfigError, NothingToDoError
        from kubetune.plan import Word

        if not sys.stdin.isatty():
            raise ConfigError(self.advice(call, "nobody is at this terminal"))
        say(f"{call.stage.name:<10}needs your approval: the run passed its thresholds, its comparison said promote.")
        try:
            agreed = typer.confirm(f"Register run {call.run} and let it serve {call.endpoint}?")
        except typer.Abort as error:  # the end of the input is no answer, neither yes nor no
            raise ConfigError(self.advice(call, "the input ended without an answer")) from error
        if not agreed:
            raise NothingToDoError(f"Run {call.run} was not approved by {user_name()}: nothing was changed.")
        # Should the registry's answer be lost, its repetition is known by this; asked anew, it is another approval.
        return replace(call, word=Word(user_name(), request=uuid4().hex))

    def advice(self, call: "StageCall", why: str) -> str:
        """Say how to approve from elsewhere, by a command that acts on this very store and endpoint."""
        words = ["kubetune", "stage", call.stage.name, "--run", call.run]
        words += ["--endpoint", call.endpoint] if call.endpoint != call.recipe.name else []
        words += ["--store", self.store] if self.store is not None else []
        return (
            f"Stage {call.stage.name} of run {call.run} needs a person's approval and {why}: `{shlex.join(words)} "
            f"--by NAME` gives it, then repeat this `kubetune run` with `--run {call.run}`."
        )


def summarize(store: "Store", run: str) -> None:
    """Print the metrics beside the baselines and where the report lies."""
    from kubetune.history import SHOWN, commits_of, pull

    commits = commits_of(store, run)
    evaluated = commits.get("evaluate")
    if evaluated is None:
        return
    metrics = evaluated.metrics

    def cell(name: str) -> str:
        if name not in metrics:
            return "-"
        low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
        return f"{metrics[name]:.3f}" + (f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else "")

    rows = [[name, cell(name), cell(f"baseline_tfidf_{name}"), cell(f"baseline_majority_{name}")] for name in SHOWN]
    say()
    rows_tested = int(metrics.get("test_rows", 0))
    texts = int(metrics.get("test_texts", rows_tested))
    tested = f"{rows_tested:,} test rows" if texts == rows_tested else f"{rows_tested:,} rows of {texts:,} texts"
    print_table([f"{tested}, 95 % interval", "model", "tf-idf + logistic regression", "majority class"], rows)
    for warning in evaluated.facts.get("warnings", ()):
        say(f"warning   {warning}")
    folder = PULLED / run
    artifact = "decision" if "compare" in commits else "report"  # the report with behaviour and comparison in it
    report = folder / artifact / "report.html"
    if not report.is_file():
        pull(store, run, [artifact], folder)
    say(f"report    {report.resolve()}")


def suggest(run: str, name: str, stages: list[str]) -> None:
    """Print the commands that a person may want next."""
    say(f"next      kubetune show {run}   ·   kubetune why {run} train   ·   kubetune pull {run}")
    if "deploy" in stages:
        say(f'          kubetune predict --endpoint {name} "your text"   ·   kubetune stop {name}')
