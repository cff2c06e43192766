"""What a trigger may ask for: the sentence of each refusal, and names that stay the same for a retry."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from kubetune.config.load import load_recipe, shipped_recipes
from kubetune.errors import ConfigError
from kubetune.orchestration.requests import (
    RunRequest,
    SweepRequest,
    find_recipe,
    read_request,
    run_name,
    sweep_calls,
)

TEXT = shipped_recipes()["tickets"]


def read(**conf: object) -> RunRequest:
    defaults = {"overrides": [], "run": None, "endpoint": None}
    return read_request(RunRequest, {**defaults, **conf}, conf)


def test_a_key_that_is_no_param_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="`overides` is not a known key: did you mean `overrides`"):
        read(recipe="tweets", overides=["training.epochs=1"])


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"`epocs`.*`run`"):
        read(recipe="tweets", epocs=1, run="Not Allowed")


def test_an_error_in_a_recipe_is_the_sentence_of_a_laptop(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as here:
        load_recipe("tickets", ["training.epocs=1", "evaluation.batch=0"])
    with pytest.raises(ConfigError) as there:
        find_recipe("tickets", ["training.epocs=1", "evaluation.batch=0"], tmp_path)
    assert str(there.value) == str(here.value)


def test_a_recipe_is_a_name_or_text_but_never_a_path(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(TEXT.replace("name: tickets", "name: mine"), encoding="utf-8")
    outside = tmp_path / "outside.yaml"
    outside.write_text(TEXT, encoding="utf-8")
    folder = tmp_path / "recipes"
    folder.mkdir()
    (tmp_path / "mine.yaml").rename(folder / "mine.yaml")
    assert find_recipe("mine", [], folder).name == "mine"
    assert find_recipe("tickets", [], folder) == find_recipe(TEXT, [], folder)
    for path in (str(outside), "../outside", "recipes/mine.yaml"):
        with pytest.raises(ConfigError, match=r"does not exist.*mounted are mine"):
            find_recipe(path, [], folder)


def test_a_run_is_named_once_and_for_all() -> None:
    recipe = load_recipe("tweets")
    asked = RunRequest(recipe="tweets", run="mine")
    silent = RunRequest(recipe="tweets")
    assert run_name(asked, recipe, "anything") == "mine"
    assert run_name(silent, recipe, "tweets-7") == "tweets-7"
    made = run_name(silent, recipe, "manual__2026-11-22T16:20:17+00:00")
    assert re.fullmatch(r"tweets-[0-9a-f]{8}", made)
    assert made == run_name(silent, recipe, "manual__2026-11-22T16:20:17+00:00")
    assert made != run_name(silent, recipe, "manual__2026-11-22T16:20:18+00:00")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"grid": {"training.seed": list(range(21))}}, "21 trials: 1 to 20 are allowed"),
        ({"grid": {"training.seed": []}}, "0 trials"),
        ({"grid": {"data.limit": [100, 200]}}, "differ in data"),
        ({"grid": {"training.best_metric": ["accuracy", "loss"]}}, "differ in training.best_metric"),
        ({"grid": {"training.sed": [1]}}, "did you mean `seed`"),
        ({"recipes": ["tickets", "tweets"]}, "state the `endpoint`"),
    ],
)
def test_a_sweep_that_compares_nothing_is_refused(changes: dict[str, object], sentence: str, tmp_path: Path) -> None:
    request = SweepRequest.model_validate({"recipes": ["tickets"], **changes})
    with pytest.raises(ConfigError, match=sentence):
        sweep_calls(request, tmp_path, "manual__1")


def test_a_grid_is_each_value_with_each(tmp_path: Path) -> None:
    grid = {"training.learning_rate": [1e-4, 2e-4], "training.seed": [0, 1, 2]}
    sweep, trials = sweep_calls(SweepRequest(recipes=["tickets"], grid=grid), tmp_path, "manual__1")
    recipes = [trial[0].recipe for trial in trials]
    assert [trial[0].run for trial in trials] == [f"{sweep}-{n}" for n in range(1, 7)]
    assert {(item.training.learning_rate, item.training.seed) for item in recipes} == {
        (rate, seed) for rate in (1e-4, 2e-4) for seed in (0, 1, 2)
    }


def test_pods_learn_where_their_logs_are_read_only_from_an_airflow_that_knows_its_address(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubetune.config.settings import load_settings
    from kubetune.orchestration.airflow import _cluster

    context = {"dag_run": SimpleNamespace(dag_id="finetune", run_id="manual__2026-11-30T04:00:00+00:00")}
    assert "KUBETUNE_LOG_URL" not in _cluster(context, load_settings()).environment.get("default", {})
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/team/")
    told = _cluster(context, load_settings()).environment["default"]["KUBETUNE_LOG_URL"]
    assert told == "https://airflow.example.com/team/dags/finetune/runs/manual__2026-11-30T04%3A00%3A00%2B00%3A00"
