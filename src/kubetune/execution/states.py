"""How far each run is, in a word: complete, open, running, waiting, or how it ended before that."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubetune import layout
from kubetune.errors import ConfigError, KubetuneError, NothingToDoError, TemporaryError
from kubetune.stages import STAGES
from kubetune.storage.base import Stat, Store
from kubetune.storage.commit_record import Commit
from kubetune.storage.commits import committed
from kubetune.storage.endpoints import list_endpoints
from kubetune.storage.registry import list_models
from kubetune.storage.runs import last_attempt, list_runs, read_run

SIGNAL = 128
"""A process that a signal ended leaves this and the signal's number, as a shell says it."""
QUIET_S = 60.0
"""A stage uploads what it measured every 15 s: one that has not for this long works no more.

Measured against this machine's clock: a listing must not need the right to write into the store."""


@dataclass(frozen=True)
class RunLine:
    """One line of `kubetune runs`.

    Attributes:
        run: Run id.
        recipe: Recipe name.
        state: `complete`, `open, next STAGE`, or what happened `at STAGE`: `refused`, `kept back`, `undecided`,
            `failed`, `interrupted`, `running`, `waiting for approval`; or `its record is broken`.
        metrics: Metrics of `evaluate`, if it is committed.
        modified: Seconds since the epoch.
    """

    run: str
    recipe: str
    state: str
    metrics: dict[str, float]
    modified: float


@dataclass(frozen=True)
class Placed:
    """Runs whose effects are done: those that gave a version, and those that an endpoint was seen to serve."""

    registered: frozenset[str]
    served: frozenset[str]


def run_lines(store: Store) -> list[RunLine]:
    """Return all runs, the newest first."""
    lines, placed = [], placed_runs(store)
    for item in list_runs(store):
        try:
            recipe = read_run(store, item.run)
        except (TemporaryError, ConfigError):
            raise
        except KubetuneError:  # one that is broken must not hide the others
            lines.append(RunLine(item.run, "-", "its record is broken", {}, item.modified))
            continue
        if recipe is None:
            continue
        commits = committed(store, item.run, item.stages)
        evaluated = commits.get("evaluate")
        metrics = dict(evaluated.metrics) if evaluated else {}
        state = state_of(store, item.run, recipe, commits, placed, item.entries)
        lines.append(RunLine(item.run, str(recipe["name"]), state, metrics, item.modified))
    return lines


def placed_runs(store: Store) -> Placed:
    """Return the runs whose effects are done; a record that is broken names none."""
    try:
        models, endpoints = list_models(store), list_endpoints(store)
    except (TemporaryError, ConfigError):
        raise
    except KubetuneError:
        return Placed(frozenset(), frozenset())
    served = {str(line["run"]) for found in endpoints for line in found.history if line["event"] == "serving"}
    return Placed(frozenset(version.run for model in models for version in model.versions), frozenset(served))


def state_of(
    store: Store,
    run: str,
    recipe: Mapping[str, Any],
    commits: Mapping[str, Commit],
    placed: Placed,
    entries: Sequence[Stat],
) -> str:
    """Say in a few words how far a run is.

    Args:
        store: Where it lives.
        run: Run id.
        recipe: Its recorded recipe.
        commits: Its commits by stage.
        placed: Runs whose effects are done.
        entries: What the store lists below the run, in the order of keys.
    """
    for number, stage in enumerate(STAGES):
        found = commits.get(stage.name)
        if found is not None and not found.verdict.passed:
            overruled = found.verdict.code == NothingToDoError.exit_code and any(
                later.name in commits for later in STAGES[number + 1 :]
            )
            if not overruled:  # a person may go on from a decision that kept a model back, not from a refusal
                return f"{verdict_word(found)} at {stage.name}"
        if found is None and not stage.effect:
            return state_at(store, run, stage.name, entries)
    return after_effects(store, run, recipe, placed, entries)


def state_at(store: Store, run: str, stage: str, entries: Sequence[Stat]) -> str:
    """Say how a stage stands that has not been committed: by its last try, or by what it measured last."""
    measured = [entry.modified for entry in entries if entry.key.startswith(layout.telemetry_prefix(run, stage))]
    failed = [entry.modified for entry in entries if entry.key.startswith(layout.attempts_prefix(run, stage))]
    if measured and max(measured) > max(failed, default=0.0):  # a later try has begun, and left no reason
        return f"{'running' if time.time() - max(measured) < QUIET_S else 'interrupted'} at {stage}"
    attempts = last_attempt(store, run, stage, entries)
    return f"{attempt_word(attempts)} at {stage}" if attempts else f"open, next {stage}"


def after_effects(store: Store, run: str, recipe: Mapping[str, Any], placed: Placed, entries: Sequence[Stat]) -> str:
    """Say how a run stands whose artifacts are all there: its effects may still wait, or have failed."""
    if run not in placed.registered and run not in placed.served:
        if attempts := last_attempt(store, run, "register", entries):
            return f"{attempt_word(attempts)} at register"
        if (recipe.get("promotion") or {}).get("approval"):
            return "waiting for approval at register"
    if run not in placed.served and (attempts := last_attempt(store, run, "deploy", entries)):
        return f"{attempt_word(attempts)} at deploy"
    return "complete"


def verdict_word(commit: Commit) -> str:
    """Return in a word or two what a stage's verdict is; only a gate refuses, a comparison keeps back or is open."""
    if commit.verdict.passed:
        return "committed"
    if commit.verdict.code != NothingToDoError.exit_code:
        return "refused"
    return {"keep": "kept back", "undecided": "undecided"}.get(str(commit.facts.get("outcome")), "not promoted")


def attempt_word(attempts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how the last attempt of a stage ended that has not been committed: what was stopped goes on."""
    if not attempts:
        return "-"
    code = list(attempts.values())[-1].get("exit_code")
    stopped = code == TemporaryError.exit_code or (isinstance(code, int) and code > SIGNAL)
    return "interrupted" if stopped else "failed"
