"""The order in which somebody writes the keys of a map means nothing: not to a key, an identity, a run or its name."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import toys
from kubetune.config.load import canonical, load_recipe, parse_recipe, shipped_recipes
from kubetune.config.recipe import Recipe
from kubetune.execution.run import audit_stage, open_configured_store
from kubetune.keys import key_fields, key_of
from kubetune.models.history import recipe_of_run
from kubetune.orchestration.requests import SweepRequest, sharing, sweep_calls
from kubetune.plan import plan
from kubetune.stages import STAGES
from pipelines import Silent, run_plan, settings_of

SEED = int(os.environ.get("KUBETUNE_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
SHUFFLES = 4
QUICK = ("emotion-multilingual", "snli", "tweets")
OWN_SUITE = {
    "name": "own", "description": "Two words.", "labels": ["negative", "positive"],
    "lexicons": {"zebra": ["a", "b"], "apple": ["c", "d"]},
    "capabilities": {"words": {"at_most": 0.5}, "again": {"at_most": 0.9}},
    "tests": [
        {"name": "z", "capability": "words", "kind": "mft", "templates": ["good {zebra}"], "expect": "positive"},
        {"name": "a", "capability": "again", "kind": "mft", "templates": ["bad {apple}"], "expect": "negative"},
    ],
}  # fmt: skip


@pytest.fixture
def draw() -> random.Random:
    print(f"KUBETUNE_TEST_SEED={SEED}")  # shown where a test fails
    return random.Random(SEED)


def shuffled(value: Any, draw: random.Random) -> Any:
    """The same value with each map in another order; `kind` stays first, as which class it is must be known."""
    if isinstance(value, dict):
        names = list(value)
        draw.shuffle(names)
        return {name: shuffled(value[name], draw) for name in names}
    return [shuffled(item, draw) for item in value] if isinstance(value, list) else value


def whole(name: str, folder: Path) -> dict[str, Any]:
    """A shipped recipe with all its defaults, its data in files of three splits, and maps wherever one may be."""
    paths = {split: f"{folder}/{split}.jsonl" for split in ("train", "validation", "test")}
    document = canonical(load_recipe(name))
    document["data"]["source"] = {"kind": "files", "paths": paths}
    return document


def as_written(document: dict[str, Any], draw: random.Random) -> Recipe:
    return parse_recipe(yaml.safe_dump(shuffled(document, draw), sort_keys=False))


def keys_of(recipe: Recipe) -> dict[str, str]:
    digests = {artifact: "0" * 64 for stage in STAGES for artifact in (*stage.inputs, *stage.outputs)}
    return {stage.name: key_of(key_fields(stage, recipe, digests, "identity")) for stage in STAGES}


def in_their_tiers() -> list[Any]:
    """Each shipped recipe; those that the default tier tries hold maps in each section that has some."""
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in sorted(shipped_recipes())]


@pytest.mark.parametrize("name", in_their_tiers())
def test_a_recipe_is_the_same_in_every_order_of_its_maps(name: str, tmp_path: Path, draw: random.Random) -> None:
    document = whole(name, tmp_path)
    first = as_written(document, draw)
    # Text, and not value: what a stage body is handed keeps its order, and so does what is written from it.
    text = json.dumps(canonical(first))
    stored = parse_recipe(json.dumps(canonical(first), sort_keys=True))
    assert json.dumps(canonical(stored)) == text
    for _ in range(SHUFFLES):
        again = as_written(document, draw)
        assert json.dumps(canonical(again)) == text
        assert [repr(view) for view in again] == [repr(view) for view in first]
    assert keys_of(again) == keys_of(first) == keys_of(stored)


def test_maps_of_every_source_and_of_an_own_suite_have_one_order(tmp_path: Path, draw: random.Random) -> None:
    document = whole("sst2", tmp_path)
    sources = [
        {"kind": "hub", "name": "a/b", "splits": {"train": "x", "validation": "y", "test": "z"}},
        {"kind": "files", "paths": {"validation": ["b", "a"], "train": ["d", "c"], "test": "e"}},
    ]
    for source in sources:
        document["data"]["source"] = source
        document["behaviour"] = {"suite": OWN_SUITE, "bars": {"words": 0.1, "again": 0.2}}
        texts = {json.dumps(canonical(as_written(document, draw))) for _ in range(SHUFFLES)}
        assert len(texts) == 1
    assert json.loads(texts.pop())["data"]["source"]["paths"]["train"] == ["d", "c"]  # a list's order is its meaning


def test_trials_of_a_sweep_have_one_number_in_every_order_of_the_grid(tmp_path: Path, draw: random.Random) -> None:
    grid = {"training.seed": [1, 2], "training.batch": [16, 32], "training.learning_rate": [1e-4, 2e-4]}
    seen = set()
    for _ in range(SHUFFLES):
        request = SweepRequest(recipes=["sst2"], grid=shuffled(grid, draw))
        _, trials = sweep_calls(request, tmp_path, "r")
        seen.add(json.dumps([(calls[0].run, canonical(calls[0].recipe)) for calls in trials]))
        assert len(sharing([calls[0] for calls in trials])) == 1
    assert len(seen) == 1


def light(recipe: Recipe, run: str, store: Any, settings: Any) -> dict[str, str]:
    return run_plan(recipe, run, store, settings, until="prepare")


FITTED = (
    "model.source.kind=path", "data.labels=null", "data.columns={text: text, label: label}", "behaviour={}",
    "task={kind: text-classification}", "data.group_by=auto", "data.score_range=null", "data.encoding=utf-8",
    "evaluation.slices=[length, label]", "data.limit=null", "data.weak_labels=null", "data.label_numbers=auto",
    "promotion.slices=[{column: label}]", "evaluation.thresholds=[]", "data.languages=null",
)  # fmt: skip


def run_of_files(name: str, folder: Path, toy_model: Path, order: list[str]) -> Recipe:
    for seed, split in enumerate(("train", "validation", "test")):
        toys.write_jsonl(folder / f"{split}.jsonl", toys.toy_rows(60, seed))
    given = [f"data.source.paths.{split}={folder}/{split}.jsonl" for split in order]
    return load_recipe(name, [*FITTED, f"model.source.path={toy_model}", "data.source={kind: files}", *given])


NAMES = [name if name == "sst2" else pytest.param(name, marks=pytest.mark.slow) for name in sorted(shipped_recipes())]


@pytest.mark.parametrize("name", NAMES)
def test_light_stages_are_hit_again_in_every_order_and_under_every_name(
    name: str, tmp_path: Path, toy_model: Path, draw: random.Random
) -> None:
    settings = settings_of(tmp_path)
    store = open_configured_store(settings)
    order = ["train", "validation", "test"]  # not the alphabet's, which is the stored one
    first = run_of_files(name, tmp_path, toy_model, order)
    assert set(light(first, "a", store, settings).values()) == {"ran"}
    assert set(light(first, "a", store, settings).values()) == {"kept"}
    assert set(light(recipe_of_run(store, "a"), "a", store, settings).values()) == {"kept"}
    draw.shuffle(order)
    other = run_of_files(name, tmp_path, toy_model, order)
    assert set(light(other, "a", store, settings).values()) == {"kept"}
    assert set(light(other, "b", store, settings).values()) == {"adopted"}
    # What reads the stored order, as a stage's own process does, writes the very same bytes.
    stored = recipe_of_run(store, "b")
    for call in plan(stored, "b", until="prepare"):
        assert audit_stage(call, store, settings, progress=Silent()).status == "audited"


@pytest.mark.slow
def test_the_same_command_twice_is_the_same_run(tmp_path: Path, toy_model: Path) -> None:
    run_of_files("sst2", tmp_path, toy_model, ["train"])
    paths = [f"data.source.paths.{split}={tmp_path}/{split}.jsonl" for split in ("train", "validation", "test")]
    words = ["run", "sst2", *FITTED, f"model.source.path={toy_model}", "data.source={kind: files}", *paths]
    for run, hits in (("a", 0), ("a", 3), ("b", 3)):
        done = subprocess.run(
            [sys.executable, "-m", "kubetune", *words, "--run", run, "--until", "prepare"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("adopted") == hits, done.stdout
