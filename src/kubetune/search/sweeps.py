"""The choice among the trials of a sweep: by validation numbers, made once and recorded before a test row is opened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubetune import layout
from kubetune.config.metrics import lower_is_better
from kubetune.errors import ConfigError, RefusedError
from kubetune.storage.base import Store
from kubetune.storage.commits import read_commit
from kubetune.storage.records import create_or_get, find
from kubetune.storage.runs import FORMAT, changed_paths, read_run, recorded_recipe

TRIED = "train"


@dataclass(frozen=True)
class Trial:
    """One line of the comparison.

    Attributes:
        run: Its run.
        value: Validation metric; None: it was not trained to the end or not validated.
        changes: Recipe path → value, where it differs from the first trial.
    """

    run: str
    value: float | None
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """What a sweep came to.

    Attributes:
        winner: The run that goes on.
        metric: Validation metric that decided.
        trials: All of them, the best first.
    """

    winner: str
    metric: str
    trials: tuple[Trial, ...]


def choose(store: Store, sweep: str, runs: Sequence[str]) -> Choice:
    """Choose the best run by the validation metric that its recipe names, and record it as the sweep's.

    The record is the sweep's own `run.json`, created once: a second choice among the same runs gives the same answer,
    also where a trial that failed has meanwhile been finished. Ties go to the run named first.

    Raises:
        RefusedError: No run is trained and validated.
        ConfigError: A run does not exist, runs were judged by different metrics, or the name belongs to a plain run.
    """
    layout.check_run(sweep)
    recipes = {run: _recipe(store, run) for run in runs}
    metrics = {str(recipe["training"]["best_metric"]) for recipe in recipes.values()}
    if len(metrics) != 1:
        raise ConfigError(
            f"The runs were judged by {', '.join(sorted(metrics)) or 'nothing'}: compare runs of one metric."
        )
    metric = metrics.pop()
    first = recipes[runs[0]]
    trials = [Trial(run, _value(store, run, metric), _changes(first, recipe)) for run, recipe in recipes.items()]
    sign = 1.0 if lower_is_better(metric) else -1.0
    trials.sort(key=lambda trial: (trial.value is None, sign * (trial.value or 0.0)))
    if trials[0].value is None:
        raise RefusedError(
            f"None of the {len(trials)} runs of sweep {sweep} has a validation {metric}: see why they failed, and that "
            "data.splits leaves validation rows."
        )
    best = trials[0].run
    record = {"format": FORMAT, "recipe": recipes[best], "winner": best, "trials": list(runs)}
    winner = create_or_get(store, layout.run_record(sweep), record, _winner, required=True)
    if winner not in recipes:
        raise ConfigError(f"Sweep {sweep} has chosen {winner or 'no run, it is a run itself'}: use a new sweep name.")
    return Choice(winner, metric, tuple(trials))


def winner_of(store: Store, sweep: str) -> str:
    """Return the run that a sweep chose.

    Raises:
        ConfigError: It has not chosen.
    """
    found = find(store, layout.run_record(layout.check_run(sweep)), _winner).value
    if not found:
        raise ConfigError(f"Sweep {sweep!r} has not chosen a run: `kubetune choose {sweep} RUN…` does.")
    return found


def _winner(record: Mapping[str, Any]) -> str:
    return str(record.get("winner", ""))


def _recipe(store: Store, run: str) -> dict[str, Any]:
    found = read_run(store, run)
    if found is None:
        raise ConfigError(f"Run {run!r} does not exist in {store.url}, so it cannot be compared.")
    return recorded_recipe({"recipe": found})


def _value(store: Store, run: str, metric: str) -> float | None:
    found = read_commit(store, run, TRIED)
    return found.metrics.get(f"validation_{metric}") if found is not None and found.verdict.passed else None


def _changes(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    changes = {}
    for path in changed_paths(first, other):
        value: Any = other
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        changes[path] = value
    return changes
