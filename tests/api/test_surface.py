"""The names that notebooks may rely on, exactly, and that importing them costs nothing."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

import kubetune as kt

FUNCTIONS = {
    "compare": "(first: str | kubetune.api.runs.Run, second: str | kubetune.api.runs.Run, *, "
    "store: str | pathlib.Path | None = None) -> kubetune.api.compared.RunComparison",
    "load_predictor": "(source: str | pathlib.Path | kubetune.api.runs.Run, *, "
    "store: str | pathlib.Path | None = None, device: str = 'cpu') -> kubetune.api.predicting.TextPredictor",
    "load_recipe": "(name_or_path: str, overrides: collections.abc.Iterable[str] = ()) -> "
    "kubetune.config.recipe.Recipe",
    "open_run": "(name: str, *, store: str | pathlib.Path | None = None) -> kubetune.api.runs.Run",
    "parse_recipe": "(text: str, overrides: collections.abc.Iterable[str] = (), origin: str = 'recipe') -> "
    "kubetune.config.recipe.Recipe",
    "plan_run": "(recipe: 'Recipe', run: str | None = None, *, store: str | pathlib.Path | None = None, "
    "until: str | None = None, endpoint: str | None = None) -> kubetune.api.plans.RunPlan",
    "run": "(recipe: 'Recipe', run: str | None = None, *, store: str | pathlib.Path | None = None, "
    "until: str | None = None, endpoint: str | None = None, watcher: kubetune.api.running.Watcher | None = None) -> "
    "kubetune.api.runs.Run",
    "runs": "(store: str | pathlib.Path | None = None) -> 'list[RunLine]'",
    "shipped_recipes": "() -> dict[str, str]",
}
CLASSES = {
    "EndpointClient": ["predict"],
    "LineWatcher": ["advance", "approve", "begin", "note", "progress", "say", "start", "tell"],
    "PlannedStage": ["call", "source", "why", "would"],
    "Run": [
        "attempts", "commits", "document", "endpoints", "metrics", "name", "outcome", "predictions", "recipe", "report",
        "settings", "stages", "state", "store", "warnings", "why",
    ],
    "RunComparison": ["cells", "first", "headings", "rows", "second"],
    "RunPlan": ["calls", "cells", "headings", "run", "stages", "would"],
    "RunReport": ["html", "run", "save"],
    "StageDifference": ["cells", "differ", "headings", "nearest", "run", "sentence", "stage"],
    "StageState": ["artifacts", "key", "size", "stage", "state"],
    "TextPrediction": ["answer", "item", "label", "reason", "scores", "score", "status"],
    "TextPredictor": ["labels", "predict"],
    "Watcher": ["approve", "begin", "progress", "say", "tell"],
}  # fmt: skip
ERRORS = {
    "ConfigError": 78, "CorruptArtifactError": 70, "DataError": 65, "KubetuneError": 70, "NothingToDoError": 99,
    "RefusedError": 77, "TemporaryError": 75,
}  # fmt: skip


def test_the_surface_is_these_names() -> None:
    assert set(kt.__all__) == {*FUNCTIONS, *CLASSES, *ERRORS, "Recipe"}
    assert dir(kt) == sorted(kt.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_keeps_its_signature(name: str) -> None:
    assert str(inspect.signature(getattr(kt, name))) == FUNCTIONS[name]


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_keeps_what_it_offers(name: str) -> None:
    found = getattr(kt, name)
    offered = {*vars(found), *getattr(found, "__annotations__", {})}
    assert sorted(one for one in offered if not one.startswith("_")) == sorted(CLASSES[name])


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_keeps_its_exit_code(name: str) -> None:
    assert getattr(kt, name).exit_code == ERRORS[name] and issubclass(getattr(kt, name), kt.KubetuneError)


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES, *ERRORS])
def test_a_public_name_is_documented_where_it_is_defined(name: str) -> None:
    found = getattr(kt, name)
    assert found.__name__ == name and inspect.getdoc(found)
    assert getattr(import_module(found.__module__), name) is found


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'lod_recipe'"):
        _ = kt.lod_recipe


def loaded_by(program: str) -> set[str]:
    """Return the top-level packages, and modules of ours, that a program loads beyond those of Python's start."""
    code = f"import sys\nbefore = set(sys.modules)\n{program}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_it_loads_no_module_of_ours_and_no_package() -> None:
    loaded = loaded_by("import kubetune as kt; dir(kt)")
    assert {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names} == {"kubetune"}


def test_recipe_and_every_name_load_nothing_heavy() -> None:
    loaded = loaded_by("import kubetune as kt\nfor name in kt.__all__: getattr(kt, name)\nkt.load_recipe('tweets')")
    heavy = {
        "torch",
        "transformers",
        "datasets",
        "sklearn",
        "pyarrow",
        "pandas",
        "matplotlib",
        "minio",
        "mlflow",
        "rich",
    }
    assert "pydantic" in loaded and not heavy & loaded


def test_a_type_checker_sees_the_names() -> None:
    """Each public name is imported for a type checker, from the module that it comes from at run time."""
    import ast
    from pathlib import Path

    tree = ast.parse(Path(kt.__file__).read_text(encoding="utf-8"))
    homes = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {name: f"kubetune.{home}" for home, names in kt._HOMES.items() for name in names} == homes
    assert set(homes) == set(kt.__all__)
