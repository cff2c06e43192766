"""A whole recipe on this machine: refused early, begun under a free name, mirrored, announced, executed."""

import shlex
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kubetune.api.opening import opened
from kubetune.api.runs import Run, read_opened
from kubetune.errors import ConfigError, DataError, KubetuneError, NotReadyError, RefusedError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubetune.config.recipe import Recipe
    from kubetune.config.settings import Settings
    from kubetune.contract import Progress
    from kubetune.execution.adopt import StageResult
    from kubetune.execution.local import StageFailedError
    from kubetune.notifications.local_run import Tell
    from kubetune.plan import StageCall
    from kubetune.storage.base import Store

STATUS = {"adopted": "adopted from {source}", "kept": "adopted, this run's own", "effect": "done"}
TYPED = {error.exit_code: error for error in (NotReadyError, TemporaryError, RefusedError, ConfigError)}


class Watcher(Protocol):
    """Who watches a run, and is asked where a recipe wants a person's approval."""

    @property
    def progress(self) -> "Progress":
        """Progress of what runs in this process; a stage's own process shows its own on standard error."""

    def begin(self, settings: "Settings", store: "Store", run: str) -> None:
        """Called once, when the run has a name and before its first stage."""

    def say(self, line: str) -> None:
        """Show one line."""

    def tell(self, call: "StageCall", result: "StageResult") -> None:
        """Called after each stage."""

    def approve(self, call: "StageCall") -> "StageCall":
        """Return the call with a person's approval.

        Raises:
            NothingToDoError: It was refused.
            ConfigError: Nobody is there to ask.
        """


class LineWatcher:
    """Shows a run as plain lines on standard output. Approves nothing: it says by which command a person does."""

    def __init__(self, store: str | Path | None = None) -> None:
        self._store = None if store is None else str(store)

    @property
    def progress(self) -> "LineWatcher":
        """This object: sentences are shown, steps are not."""
        return self

    def start(self, what: str, total: int | None = None) -> None:
        """See `contract.Progress`."""

    def advance(self, by: int = 1, **facts: float | str) -> None:
        """See `contract.Progress`."""

    def note(self, line: str) -> None:
        """See `contract.Progress`."""
        self.say(f"  {line}")

    def begin(self, settings: "Settings", store: "Store", run: str) -> None:
        """See `Watcher`."""
        self.say(run_line(store, run))

    def say(self, line: str) -> None:
        """See `Watcher`."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def tell(self, call: "StageCall", result: "StageResult") -> None:
        """See `Watcher`."""
        for line in stage_lines(call, result):
            self.say(line)

    def approve(self, call: "StageCall") -> "StageCall":
        """See `Watcher`."""
        raise ConfigError(approval_advice(call, "nobody is at a terminal", self._store))


@dataclass(frozen=True)
class LocalRequest:
    """What is to be run on this machine.

    Attributes:
        recipe: A validated recipe.
        run: Run id; None: the next free one of the recipe.
        until: Last stage to run; None: all.
        endpoint: Endpoint to deploy to; None: the recipe's name.
        audit: Run every stage again and compare every byte.
    """

    recipe: "Recipe"
    run: str | None = None
    until: str | None = None
    endpoint: str | None = None
    audit: bool = False


class _Person:
    """The watcher as an execution knows it (`execution.local.Person`), with each stage announced."""

    def __init__(self, tell: "Tell", approve: "Callable[[StageCall], StageCall]") -> None:
        self.tell = tell
        self._approve = approve

    def approve(self, call: "StageCall") -> "StageCall":
        return self._approve(call)


def run(
    recipe: "Recipe",
    run: str | None = None,
    *,
    store: str | Path | None = None,
    until: str | None = None,
    endpoint: str | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Run a recipe on this machine, from data to a served model; stages whose result exists are adopted.

    Each stage is a process of its own. Its progress goes to standard error, which a notebook shows below the cell.

    Args:
        recipe: A validated recipe.
        run: Run id; None: the next free one of the recipe. One that was interrupted goes on.
        store: A folder, which is made if it is not there, or `s3://bucket/prefix`; None: the settings' one.
        until: Last stage to run; None: all, so that an endpoint of this machine serves the model.
        endpoint: Endpoint to deploy to; None: the recipe's name.
        watcher: Told of each stage; None: a line each on standard output.

    Raises:
        ConfigError: The recipe cannot be run here as asked, or a person has to approve; nothing is left of a run that
            was refused before its first stage.
        DataError: The data broke a rule.
        RefusedError: A threshold was missed; the run has its report.
        NothingToDoError: The comparison did not say promote: the champion stays.
        TemporaryError: The store or a source does not answer, or the run was interrupted: the same call goes on.
        KubetuneError: A stage failed otherwise.
    """
    settings, opened_store = opened(store, new=True)
    request = LocalRequest(recipe, run, until, endpoint)
    return execute_request(request, settings, opened_store, watcher or LineWatcher(store))


def execute_request(request: LocalRequest, settings: "Settings", store: "Store", watcher: Watcher) -> Run:
    """Run a recipe on this machine.

    Args:
        request: What.
        settings: Deployment settings.
        store: Where results live.
        watcher: Told of it.

    Raises:
        KubetuneError: As `run`. Its cause is a `StageFailedError` where a stage's process failed, which has said why.
    """
    from kubetune.execution.local import StageFailedError, execute_plan, new_run, require_here
    from kubetune.execution.signals import stop_requests
    from kubetune.layout import run_record
    from kubetune.notifications.local_run import announced
    from kubetune.plan import plan
    from kubetune.storage.cached import cached_run

    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("A run hears Ctrl-C and SIGTERM, which reach the main thread alone: start it there.")
    recipe = request.recipe
    # Bad options and what cannot be run here must not leave an empty run behind.
    calls = plan(recipe, request.run or f"{recipe.name}-1", request.endpoint, request.until)
    require_here(recipe, [call.stage.name for call in calls], store)
    name = new_run(store, recipe) if request.run is None else request.run
    calls, store = plan(recipe, name, request.endpoint, request.until), cached_run(store, name)
    try:
        with stop_requests() as stop:
            stop.raises = True  # between stages; a running one is sent the signal and decides itself
            watcher.begin(settings, store, name)
            mirror(settings, name, watcher)
            with announced(settings, store, name, stop) as noted:
                person = _Person(noted(watcher.tell), watcher.approve)
                execute_plan(calls, store, settings, person, watcher.progress, audit=request.audit)
    except ConfigError:
        if request.run is None:
            with suppress(KubetuneError):  # a store that is away now must not hide the reason
                forget_unused(store, name)
        raise
    except StageFailedError as error:
        raise typed(store, name, error) from error
    finally:
        store.forget(run_record(name))  # somebody may have deleted the run meanwhile, which its end is to say
    return read_opened(settings, store, name)


def mirror(settings: "Settings", run: str, watcher: Watcher) -> None:
    """Start the process that mirrors the run into MLflow; the run neither waits for it nor fails by it."""
    from kubetune.tracking.beside import start_beside

    try:
        start_beside(settings, run)
    except (ConfigError, OSError) as error:
        watcher.say(f"The run is not mirrored into MLflow: {error}")


def forget_unused(store: "Store", run: str) -> None:
    """Delete the record of a run of which no stage was committed."""
    from kubetune.models.history import commits_of
    from kubetune.storage.runs import delete_run

    if not commits_of(store, run):
        delete_run(store, run)


def typed(store: "Store", run: str, failed: "StageFailedError") -> KubetuneError:
    """Return the error that a stage's process ended with, with the sentence that it left in the store."""
    from kubetune.execution.states import SIGNAL
    from kubetune.storage.runs import list_attempts

    try:
        attempts = list_attempts(store, run, failed.stage)
    except KubetuneError:  # a store that is away now must not hide what failed
        attempts = {}
    last = attempts.get(max(attempts, default=""), {})
    # A process that was killed leaves no attempt: an older one's reason would be wrong.
    sentence = str(last.get("reason", "")) if last.get("exit_code") == failed.code else ""
    if failed.code == DataError.exit_code:
        message, _, rule = sentence.removesuffix("]").rpartition(" [rule: ")
        return DataError(rule, message) if message else DataError("unknown", sentence or str(failed))
    stopped = failed.code - SIGNAL in (signal.SIGINT, signal.SIGTERM)
    kind = TemporaryError if stopped else TYPED.get(failed.code, KubetuneError)
    return kind(sentence or str(failed))


def run_line(store: "Store", run: str) -> str:
    """Return the line that a run begins with."""
    return f"run {run}  ·  store {store.url}"


def stage_lines(call: "StageCall", result: "StageResult") -> list[str]:
    """Return what is said of a finished stage, a line or two."""
    status = STATUS.get(result.status, result.status).format(source=result.source)
    lines = [f"{call.stage.name:<10}{status:<28}{result.seconds:7.1f} s  {result.note}".rstrip()]
    if result.status in {"adopted", "kept"} and "data" in result.commit.facts:
        lines.append(f"  data: {result.commit.facts['data']}")  # a stage that ran has said it itself
    return lines


def approval_advice(call: "StageCall", why: str, store: str | None) -> str:
    """Say how to approve from elsewhere, by a command that acts on this very store and endpoint.

    Args:
        call: What needs approval.
        why: Why nobody can be asked here.
        store: Store as it was named; None: the settings' one.
    """
    words = ["kubetune", "stage", call.stage.name, "--run", call.run]
    words += ["--endpoint", call.endpoint] if call.endpoint != call.recipe.name else []
    words += ["--store", store] if store is not None else []
    return (
        f"Stage {call.stage.name} of run {call.run} needs a person's approval and {why}: `{shlex.join(words)} "
        f"--by NAME` gives it, then repeat this `kubetune run` with `--run {call.run}`."
    )
