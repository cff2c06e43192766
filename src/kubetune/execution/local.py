"""Executes a plan on one machine: adopt what exists, run the rest, one process a stage."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Protocol

from kubetune import layout
from kubetune.config.environment import child_environment
from kubetune.config.load import canonical
from kubetune.config.recipe import Recipe
from kubetune.config.settings import Settings
from kubetune.contract import Progress
from kubetune.data.column_names import LABELLED, check_names, wanted_columns
from kubetune.errors import ConfigError, DataError
from kubetune.execution.machine import require
from kubetune.execution.policies import asks_for_approval, policies_of
from kubetune.execution.run import StageResult, adopt_stage, new_attempt, raise_for_verdict, record_failure, run_stage
from kubetune.execution.states import SIGNAL
from kubetune.plan import ManualOverride, StageCall
from kubetune.storage.base import Store
from kubetune.storage.cached import CachedRun, cached_run
from kubetune.storage.commits import lookup, read_commit
from kubetune.storage.records import encode
from kubetune.storage.registry import NOT_READY, read_model
from kubetune.storage.runs import FORMAT, list_runs, record_attempt
from kubetune.storage.versions import archive_digest_of

REPAIRS = 2
"""How often an execution goes back to a producer whose bytes were found broken."""
DECIDED = ("promoted", "rolled-back")
"""Events of a model's history by which somebody chose its champion."""


class Person(Protocol):
    """Who watches an execution.

    Attributes:
        tell: Called after each stage.
    """

    tell: Callable[[StageCall, StageResult], None]

    def approve(self, call: StageCall) -> StageCall:
        """Return the call with the person's approval.

        Raises:
            NothingToDoError: It was refused.
            ConfigError: Nobody is there to ask.
        """


class StageFailedError(Exception):
    """A stage's process has said its reason and ended with this code.

    Attributes:
        stage: Its name.
        code: Its exit code.
    """

    def __init__(self, stage: str, code: int) -> None:
        super().__init__(f"stage {stage} ended with {code}")
        self.stage, self.code = stage, code


def new_run(store: Store, recipe: Recipe) -> str:
    """Create the next free run of a recipe, `<name>-<n>`, and return its id; safe against others who do the same."""
    run = next_run(store, recipe)
    while not store.create(layout.run_record(run), encode({"format": FORMAT, "recipe": canonical(recipe)})):
        name, _, number = run.rpartition("-")
        run = f"{name}-{int(number) + 1}"
    return run


def next_run(store: Store, recipe: Recipe) -> str:
    """Return the next free run id of a recipe. Only `new_run` takes it: somebody else may do so first."""
    prefix = f"{recipe.name}-"
    numbers = [run.run.removeprefix(prefix) for run in list_runs(store) if run.run.startswith(prefix)]
    return f"{prefix}{max((int(text) for text in numbers if text.isdigit()), default=0) + 1}"


def require_here(recipe: Recipe, stages: Iterable[str], store: Store) -> None:
    """Refuse a run that cannot be made here, before a record of it exists.

    Stages of which the store holds a result may be adopted, which needs no GPU: `execute_plan` asks again once
    one has to run. The store is asked only where this machine lacks something.

    Raises:
        ConfigError: A stage that no run of this store ever made asks for more than this machine has.
    """
    names = list(stages)
    try:
        require(recipe, names)
    except ConfigError:
        require(recipe, [name for name in names if next(iter(store.list(layout.stage_keys(name))), None) is None])


def execute_plan(
    calls: tuple[StageCall, ...],
    store: Store,
    settings: Settings,
    person: Person,
    progress: Progress,
    *,
    audit: bool = False,
) -> list[StageResult]:
    """Run the calls in order.

    Args:
        calls: A plan.
        store: Where results live.
        settings: Deployment settings; stage processes inherit them from the environment.
        person: Told of each stage, and asked before one that needs approval and has none.
        progress: For effects, which run in this process: they are light, and an endpoint that serves already is
            recognised before a new Python has started.
        audit: Run every stage and compare it with the result that exists.

    Raises:
        NothingToDoError, ConfigError: A person refused, or nobody is there to ask.
        ConfigError: A stage that has to run asks for more than this machine has; said before the first one runs.
        RefusedError: A verdict was not good (also an adopted one).
        DataError: The recipe names a column that the data does not have.
        StageFailedError: A stage's process failed; it has said why.
    """
    store = cached_run(store, calls[0].run)
    results: list[StageResult] = []
    position, repairs, checked = 0, 0, False
    while position < len(calls):
        call = calls[position]
        if call.stage.approval is not None and asks_for_approval(policies_of(settings, store, call.endpoint), call):
            # Asked again by `register` itself: a person may take a day to answer, and a policy holds from then on.
            call = approved(call, store, person)
        result = None if audit else adopt_stage(call, store, settings)
        if call.stage.effect:
            result = run_stage(call, store, settings, progress=progress)
        if result is None:
            if not checked:  # only now, since what is adopted needs no GPU
                require(call.recipe, [later.stage.name for later in calls[position:]])
                checked = True
            code, seconds = run_process(call, settings, audit=audit)
            broken = first_broken(calls[:position], store) if code == 70 and repairs < REPAIRS else None
            if broken is not None:
                repairs, position = repairs + 1, broken  # its input was found broken: the producer runs again
                results = results[:broken]
                continue
            if code not in (0, 77, 99):
                note_killed(store, call, code, new_attempt(settings))
                raise StageFailedError(call.stage.name, code)
            result = finished(call, store, seconds, audit=audit)
            if result is None:
                raise StageFailedError(call.stage.name, code)
        results.append(result)
        person.tell(call, result)
        raise_for_verdict(result)
        position += 1
        if position < len(calls):
            check_ahead(calls[position], result, store, settings)
    return results


def approved(call: StageCall, store: CachedRun, person: Person) -> StageCall:
    """Return the call with the approval that was given already, or with the one that the person gives now."""
    override = agreement(call, store)
    if override is not None:
        return replace(call, override=override)
    call = person.approve(call)
    store.forget_all()  # the answer may have taken a day: the run may be gone
    return call


def check_ahead(following: StageCall, result: StageResult, store: Store, settings: Settings) -> None:
    """Stop before the next stage, which may download a model, where the columns that were read lack a named one.

    Raises:
        DataError: The recipe names a column that is not there; kept as the next stage's reason.
    """
    read = result.commit.facts.get("columns", {})
    wanted = wanted_columns(following.recipe.data.columns)
    try:
        for split in sorted(read.keys() & LABELLED):
            check_names(split, read[split], wanted)
    except DataError as error:
        record_failure(store, following, new_attempt(settings), error.exit_code, error)
        raise


def agreement(call: StageCall, store: Store) -> ManualOverride | None:
    """Return the override by which this run's archive became the champion; None: a person has to be asked.

    It holds while the archive is the champion, whoever made it that: registering it again changes nothing. Where it was
    taken back only because it did not become ready, a manual override holds still. Once somebody chose another version,
    it no longer does.

    Raises:
        KubetuneError: The model's record is broken.
    """
    package, model = read_commit(store, call.run, "package"), read_model(store, call.endpoint)
    if package is None or model is None:
        return None
    version = model.of_archive(archive_digest_of(package.outputs["archive"]))
    if version is None:
        return None
    choices = [line for line in model.history if line["event"] in DECIDED]
    if version == model.champion:
        # The history is bounded, so that the line may be gone; the version names its run for ever.
        by = [str(line["by"]) for line in choices if line["version"] == version.number]
        return ManualOverride(by[-1] if by else version.run)
    if version.withdrawn != NOT_READY or not choices or choices[-1]["version"] != version.number:
        return None
    by_whom = str(choices[-1]["by"])
    # A run whose recipe asks nobody may have made the same archive; its name is no person's.
    runs = {version.run, *(run.run for run in list_runs(store))}
    return None if by_whom in runs else ManualOverride(by_whom)


def run_process(call: StageCall, settings: Settings, *, audit: bool) -> tuple[int, float]:
    """Run one stage in a process of its own and return its exit code and wall seconds; signals are passed on."""
    command = [sys.executable, "-m", "kubetune", "stage", call.stage.name]
    command += ["--run", call.run, "--store", settings.store, "--endpoint", call.endpoint]
    started = time.monotonic()
    command += ["--audit"] if audit else []
    with subprocess.Popen(command, env=child_environment({})) as process, forwarded(process):
        code = process.wait()
    # A negative code is the signal that ended the process; 128 + n is what a shell would say.
    return (code if code >= 0 else SIGNAL - code), time.monotonic() - started


def note_killed(store: Store, call: StageCall, code: int, attempt: str) -> None:
    """Keep the reason of a stage that a signal ended: it could not say one itself."""
    if code > SIGNAL:
        reason = f"Signal {code - SIGNAL} ended stage {call.stage.name}: out of memory is the usual cause of signal 9."
        record_attempt(store, call.run, call.stage.name, attempt, {"exit_code": code, "reason": reason})


def finished(call: StageCall, store: Store, seconds: float, *, audit: bool) -> StageResult | None:
    """Return what a stage's process left behind."""
    found = read_commit(store, call.run, call.stage.name)
    return None if found is None else StageResult("audited" if audit else "ran", found, seconds=seconds)


def first_broken(calls: tuple[StageCall, ...], store: Store) -> int | None:
    """Return the position of the first call whose commit can no longer be trusted."""
    for position, call in enumerate(calls):
        found = read_commit(store, call.run, call.stage.name)
        if found is not None and lookup(store, call.stage.name, found.key).commit is None:
            return position
    return None


@contextmanager
def forwarded(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass SIGTERM on to a stage's process. Ctrl-C reaches it from the terminal; here it only must not end us first."""

    def forward(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTERM or os.getpgid(process.pid) != os.getpgrp():
            process.send_signal(number)

    former = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
