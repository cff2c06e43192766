"""The choice among trials: by validation, once, and never among runs that cannot be compared."""

from pathlib import Path
from typing import Any

import pytest

from kubetune.config.load import canonical, load_recipe
from kubetune.contract import Verdict
from kubetune.errors import ConfigError, RefusedError
from kubetune.search.sweeps import choose, winner_of
from kubetune.storage.base import Store
from kubetune.storage.commit_record import Commit
from kubetune.storage.commits import create_commit
from kubetune.storage.open import open_store
from kubetune.storage.runs import create_run, read_run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def tried(store: Store, run: str, overrides: list[str], **metrics: float) -> None:
    """Record a run, and its training where metrics are given."""
    create_run(store, run, canonical(load_recipe("tickets", overrides)))
    if metrics:
        fields: dict[str, Any] = {"key": "k" * 64, "fields": {}, "inputs": {}, "outputs": {}, "facts": {}}
        named = {f"validation_{name}": value for name, value in metrics.items()}
        more: dict[str, Any] = {"verdict": Verdict(), "fingerprint": {}, "image": "", "locks": {}, "attempt": run}
        create_commit(store, Commit(run=run, stage="train", metrics=named, **fields, **more))


def sweep_of(store: Store, values: list[float | None], metric: str = "macro_f1") -> list[str]:
    """Runs whose validation metric is as stated; None: not trained."""
    runs = [f"s-{number}" for number in range(1, len(values) + 1)]
    for number, (run, value) in enumerate(zip(runs, values, strict=True)):
        overrides = [f"training.seed={number}", f"training.best_metric={metric}"]
        tried(store, run, overrides, **({} if value is None else {metric: value}))
    return runs


def test_the_highest_validation_metric_wins_and_a_failed_trial_does_not_count(store: Store) -> None:
    choice = choose(store, "s", sweep_of(store, [0.7, None, 0.9, 0.8]))
    assert choice.winner == winner_of(store, "s") == "s-3"
    assert [trial.run for trial in choice.trials] == ["s-3", "s-4", "s-1", "s-2"]
    assert choice.trials[0].changes == {"training.seed": 2}
    assert read_run(store, "s") == read_run(store, "s-3")


def test_less_loss_is_better_and_a_tie_goes_to_the_first(store: Store) -> None:
    assert choose(store, "s", sweep_of(store, [0.4, 0.2, 0.2], "loss")).winner == "s-2"


def test_a_choice_stands_although_a_better_trial_comes_later(store: Store) -> None:
    """Else two runs would see the test rows."""
    runs = sweep_of(store, [0.7, None])
    assert choose(store, "s", runs).winner == "s-1"
    tried(store, "s-2", ["training.seed=1", "training.best_metric=macro_f1"], macro_f1=0.99)
    assert choose(store, "s", runs).winner == winner_of(store, "s") == "s-1"


def test_what_cannot_be_chosen_says_why(store: Store) -> None:
    with pytest.raises(RefusedError, match=r"None of the 2 runs of sweep s has a validation macro_f1"):
        choose(store, "s", sweep_of(store, [None, None]))
    with pytest.raises(ConfigError, match="has not chosen a run"):
        winner_of(store, "s")
    with pytest.raises(ConfigError, match="'s-9' does not exist"):
        choose(store, "s", ["s-1", "s-9"])


def test_runs_of_two_metrics_are_not_compared(store: Store) -> None:
    tried(store, "a", ["training.best_metric=loss"], loss=0.1)
    tried(store, "b", ["training.best_metric=mcc"], mcc=0.1)
    with pytest.raises(ConfigError, match="judged by loss, mcc"):
        choose(store, "s", ["a", "b"])


def test_the_name_of_a_plain_run_is_no_sweep(store: Store) -> None:
    runs = sweep_of(store, [0.7, 0.8])
    tried(store, "taken", [])
    with pytest.raises(ConfigError, match="it is a run itself"):
        choose(store, "taken", runs)
