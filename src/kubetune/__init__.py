"""Kubernetes-native fine-tuning of Hugging Face text models; in a notebook, `import kubetune as kt`.

Importing it loads nothing: a name brings its module when it is first used, so that `kubetune --help` stays fast.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubetune.api.compared import RunComparison, compare
    from kubetune.api.differences import StageDifference
    from kubetune.api.plans import PlannedStage, RunPlan, plan_run
    from kubetune.api.predicting import EndpointClient, TextPrediction, TextPredictor, load_predictor
    from kubetune.api.report import RunReport
    from kubetune.api.running import LineWatcher, Watcher, run
    from kubetune.api.runs import Run, StageState, open_run, runs
    from kubetune.config.load import load_recipe, parse_recipe, shipped_recipes
    from kubetune.config.recipe import Recipe
    from kubetune.errors import (
        ConfigError,
        CorruptArtifactError,
        DataError,
        KubetuneError,
        NothingToDoError,
        RefusedError,
        TemporaryError,
    )

__all__ = [
    "ConfigError",
    "CorruptArtifactError",
    "DataError",
    "EndpointClient",
    "KubetuneError",
    "LineWatcher",
    "NothingToDoError",
    "PlannedStage",
    "Recipe",
    "RefusedError",
    "Run",
    "RunComparison",
    "RunPlan",
    "RunReport",
    "StageDifference",
    "StageState",
    "TemporaryError",
    "TextPrediction",
    "TextPredictor",
    "Watcher",
    "compare",
    "load_predictor",
    "load_recipe",
    "open_run",
    "parse_recipe",
    "plan_run",
    "run",
    "runs",
    "shipped_recipes",
]

if not TYPE_CHECKING:
    _HOMES = {
        "api.compared": ("RunComparison", "compare"),
        "api.differences": ("StageDifference",),
        "api.plans": ("PlannedStage", "RunPlan", "plan_run"),
        "api.predicting": ("EndpointClient", "TextPrediction", "TextPredictor", "load_predictor"),
        "api.report": ("RunReport",),
        "api.running": ("LineWatcher", "Watcher", "run"),
        "api.runs": ("Run", "StageState", "open_run", "runs"),
        "config.load": ("load_recipe", "parse_recipe", "shipped_recipes"),
        "config.recipe": ("Recipe",),
        "errors": (
            "ConfigError", "CorruptArtifactError", "DataError", "KubetuneError", "NothingToDoError", "RefusedError",
            "TemporaryError",
        ),
    }  # fmt: skip

    def __getattr__(name: str) -> object:
        """Import the module that a public name lives in. Not there for a type checker, to which any name would do."""
        from importlib import import_module

        home = next((module for module, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
        return found

    def __dir__() -> list[str]:
        return sorted(__all__)
