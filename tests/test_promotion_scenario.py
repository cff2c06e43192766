"""The story of `promotion_toys` on one machine: promoted, promoted, kept out by one slice, rolled back, promoted."""

from pathlib import Path

import pytest

import promotion_toys as story
from kubetune.config.load import parse_recipe
from kubetune.errors import NothingToDoError
from kubetune.execution.run import open_configured_store
from kubetune.models.register import known, roll_back
from kubetune.plan import ManualOverride
from kubetune.storage.commit_record import Commit
from kubetune.storage.commits import read_commit
from kubetune.storage.registry import RegisteredModel
from pipelines import run_plan, settings_of

pytestmark = pytest.mark.slow


class World:
    """A store, and the exports that the runs learn from."""

    def __init__(self, folder: Path) -> None:
        self.addresses = {name: str(path) for name, path in story.write_exports(folder).items()}
        self.settings = settings_of(folder)
        self.store = open_configured_store(self.settings)

    def run(self, name: str) -> None:
        run = story.RUNS[name]
        recipe = parse_recipe(story.recipe_text(self.addresses, run), run.overrides)
        try:
            run_plan(recipe, name, self.store, self.settings, until="register")
        finally:
            print(f"\n{story.told(name, self.accuracy(name), self.compared(name).facts)}")

    def accuracy(self, name: str) -> float:
        return read_commit(self.store, name, "evaluate").metrics["accuracy"]

    def compared(self, name: str) -> Commit:
        return read_commit(self.store, name, "compare")

    @property
    def registered(self) -> RegisteredModel:
        return known(self.store, "promotion")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The tests of this module run in order."""
    return World(tmp_path_factory.mktemp("story"))


def test_a_is_the_first_champion(world: World) -> None:
    world.run("a")
    assert world.registered.aliases() == {"champion": 1, "candidate": 1}
    assert world.accuracy("a") < 0.7


def test_b_is_better_and_promoted(world: World) -> None:
    world.run("b")
    assert world.registered.aliases() == {"champion": 2, "previous": 1, "candidate": 2}
    found = world.compared("b")
    assert found.facts["outcome"] == "promote"
    assert found.metrics["gain_p"] <= found.metrics["gain_level"]


def test_c_is_better_on_average_and_kept_out_by_one_slice(world: World) -> None:
    before = world.registered
    with pytest.raises(NothingToDoError, match="letter") as caught:
        world.run("c")
    assert caught.value.exit_code == 99
    assert world.accuracy("c") > world.accuracy("b") + 0.05
    found = world.compared("c")
    assert (found.facts["outcome"], found.verdict.code) == ("keep", 99)
    assert found.metrics["gain_p"] <= found.metrics["gain_level"], "the gain itself is shown"
    assert "letter" in found.facts["reasons"][0]
    assert read_commit(world.store, "c", "package") is None
    assert world.registered == before


def test_a_rollback_makes_a_the_champion_again(world: World) -> None:
    model = roll_back(
        world.store, "promotion", "2026-01-01T00:00:00Z", ManualOverride("anna", "letters are answered wrongly")
    )
    assert model.aliases() == {"champion": 1, "candidate": 2}
    assert (model.champion.run, model.version(2).withdrawn) == ("a", "person")
    assert model.history[-1]["event"] == "rolled-back"


def test_d_learnt_from_the_mended_export_and_is_promoted_over_a(world: World) -> None:
    world.run("d")
    assert world.registered.aliases() == {"champion": 3, "previous": 1, "candidate": 3}
    assert world.accuracy("d") > world.accuracy("c")
