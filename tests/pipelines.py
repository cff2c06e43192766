"""A whole toy pipeline in the test's own process: real stages, a real store in a folder, no server."""

from collections.abc import Iterable
from pathlib import Path

from kubetune.config.load import parse_recipe
from kubetune.config.recipe import Recipe
from kubetune.config.settings import Settings
from kubetune.execution.run import audit_stage, raise_for_verdict, run_stage
from kubetune.plan import plan
from kubetune.storage.base import Store

TOY = """
name: toy
data:
  source: {{kind: files, paths: {{all: {data}}}}}
  splits: {{validation: 0.2, test: 0.3}}
model:
  source: {{kind: path, path: {model}}}
  max_length: 32
training: {{epochs: 4, batch: 16, learning_rate: 5.0e-3, precision: fp32}}
evaluation:
  bootstrap_samples: 100
  refuse_collapsed: false
"""


class Silent:
    """Progress for nobody."""

    def start(self, what: str, total: int | None = None) -> None: ...

    def advance(self, by: int = 1, **facts: float | str) -> None: ...

    def note(self, line: str) -> None: ...


def toy_recipe(data: Path, model: Path, overrides: Iterable[str] = ()) -> Recipe:
    return parse_recipe(TOY.format(data=data, model=model), overrides)


def settings_of(folder: Path) -> Settings:
    return Settings(store=str(folder / "store"), state_dir=folder / "state")


def run_plan(
    recipe: Recipe, run: str, store: Store, settings: Settings, until: str = "package", audit: bool = False
) -> dict[str, str]:
    """Run the plan up to a stage and return stage → status (`ran`, `adopted`, …)."""
    statuses = {}
    for call in plan(recipe, run, until=until):
        result = (audit_stage if audit else run_stage)(call, store, settings, progress=Silent())
        statuses[call.stage.name] = result.status
        raise_for_verdict(result)
    return statuses


def ran(statuses: dict[str, str]) -> set[str]:
    return {name for name, status in statuses.items() if status not in {"adopted", "kept"}}
