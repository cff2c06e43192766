"""What an operator's policy binds besides Airflow: hand-made calls, commands, a laptop with the store's keys."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import chain_toys
from champion_toys import World, served_world
from kubetune import layout
from kubetune.cli.app import app
from kubetune.config.load import canonical
from kubetune.config.policy import parse_policies
from kubetune.config.recipe import Recipe
from kubetune.errors import ConfigError, KubetuneError, NothingToDoError, RefusedError
from kubetune.execution.local import execute_plan
from kubetune.execution.policies import asks_for_approval, policies_of, put_policies, stored_policies
from kubetune.execution.run import run_stage
from kubetune.models.register import known
from kubetune.plan import ManualOverride, StageCall, call_of
from kubetune.storage import commits
from kubetune.storage.blobs import put_tree, tree_digest
from kubetune.storage.local import LocalStore
from kubetune.storage.registry import (
    Event,
    RegisteredModel,
    Version,
    change_model,
    read_model,
    set_champion,
    with_version,
)
from kubetune.storage.runs import create_run
from pipelines import Silent, settings_of, toy_recipe


class Desk:
    """A store with run toy-1, whose comparison said promote and whose archive is packaged."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.settings = settings_of(folder)
        self.store = LocalStore(folder / "store")
        self.recipe: Recipe = toy_recipe(folder / "rows", folder / "model", overrides)
        create_run(self.store, "toy-1", canonical(self.recipe))
        (folder / "decision").mkdir()
        (folder / "decision" / "decision.json").write_text('{"outcome": "promote", "reasons": ["better"]}')
        found = chain_toys.commits("toy-1")
        decision = put_tree(self.store, folder / "decision")
        nobody = {"name": "", "version": None}
        facts = {"champion": nobody, "outcome": "promote", "reasons": ["better"]}
        found["compare"] = replace(found["compare"], outputs={"decision": decision}, facts=facts)
        inputs = found["package"].inputs | {"decision": tree_digest(decision)}
        found["package"] = replace(found["package"], inputs=inputs)
        for commit in found.values():
            commits.create_commit(self.store, commit)

    def bind(self, **rules: object) -> None:
        found = parse_policies({"toy": rules}, "values").filled(lambda name: self.recipe)
        put_policies(self.store, found)

    def register(self, word: ManualOverride | None = None, recipe: Recipe | None = None) -> int | None:
        call = replace(call_of("register", recipe or self.recipe, "toy-1", "toy"), override=word)
        run_stage(call, self.store, self.settings, progress=Silent())
        champion = known(self.store, "toy").champion
        return champion.number if champion is not None else None


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_without_a_policy_a_laptop_is_open(desk: Desk) -> None:
    assert policies_of(desk.settings, desk.store, "toy") == ()
    assert desk.register() == 1


def test_a_hand_made_call_is_bound_by_what_the_store_holds(desk: Desk) -> None:
    """No Airflow had a part in it: whoever has the keys of `register` reads the same record and may not write it."""
    desk.bind(recipes=["toy"])
    other = toy_recipe(Path("/elsewhere/rows"), Path("/elsewhere/model"))
    put_policies(desk.store, parse_policies({"toy": {"recipes": ["toy"]}}, "v").filled(lambda name: other))
    with pytest.raises(RefusedError, match=r"Recipe toy differs from toy in data\.source.*, model\.source"):
        desk.register()
    with pytest.raises(RefusedError, match="differs from toy"):
        desk.register(ManualOverride("ada", "I want it all the same"))
    assert read_model(desk.store, "toy") is None, "nothing of it is registered"
    desk.bind(recipes=["toy"])
    assert desk.register() == 1


def test_a_gate_that_the_policy_forbids_registers_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "promotion.gate=thresholds")
    desk.bind(gates=["champion"])
    with pytest.raises(RefusedError, match=r"promotion\.gate=thresholds may not change endpoint toy"):
        desk.register()
    assert read_model(desk.store, "toy") is None


def test_approval_is_forced_although_the_recipe_does_not_ask(desk: Desk) -> None:
    desk.bind(approval=True, approvers=["ada"])
    with pytest.raises(ConfigError, match="The policy of toy asks for approval before stage register"):
        desk.register()
    with pytest.raises(RefusedError, match="bob may not decide who serves endpoint toy: its policy allows ada"):
        desk.register(ManualOverride("bob"))
    assert desk.register(ManualOverride("ada")) == 1
    assert desk.register(ManualOverride("toy-1")) == 1, "it is the champion: registering it again moves nobody"


def test_the_policy_of_a_pod_counts_beside_that_of_the_store(desk: Desk) -> None:
    desk.settings = desk.settings.model_copy(update={"policies": '{"toy": {"gates": ["thresholds"]}}'})
    with pytest.raises(RefusedError, match=r"promotion\.gate=champion may not"):
        desk.register()
    desk.settings = desk.settings.model_copy(update={"policies": "{}"})
    desk.bind(gates=["thresholds"])
    with pytest.raises(RefusedError, match=r"promotion\.gate=champion may not"):
        desk.register()
    with pytest.raises(ConfigError, match="are no YAML"):
        policies_of(desk.settings.model_copy(update={"policies": "{a: b: c"}), desk.store, "toy")


def test_a_broken_record_opens_nothing(desk: Desk) -> None:
    desk.bind(gates=["champion"])
    stored = desk.store.get(layout.POLICIES)
    desk.store.put(layout.POLICIES, stored.data.replace(b"champion", b"thresholds"))
    with pytest.raises(KubetuneError, match=r"policies\.json .* is broken") as caught:
        desk.register()
    assert caught.value.exit_code == 70 and read_model(desk.store, "toy") is None
    desk.bind(gates=["champion"])
    assert desk.register() == 1, "an operator may put it right"


def test_who_is_asked_on_a_laptop_follows_from_the_policy(desk: Desk) -> None:
    asked: list[str] = []

    class Person:
        def tell(self, *_: object) -> None:
            pass

        def approve(self, call: StageCall) -> StageCall:
            asked.append(call.stage.name)
            return replace(call, override=ManualOverride("ada"))

    call = call_of("register", desk.recipe, "toy-1", "toy")
    assert not asks_for_approval(policies_of(desk.settings, desk.store, "toy"), call)
    desk.bind(approval=True)
    assert asks_for_approval(policies_of(desk.settings, desk.store, "toy"), call)
    execute_plan((call,), desk.store, desk.settings, Person(), Silent())
    assert asked == ["register"]
    assert known(desk.store, "toy").history[-1]["by"] == "ada"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Its champion is version 3, after 2, after 1."""
    return served_world(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "words",
    [
        ("promote", "toy@1", "--why", "mine"),
        ("rollback", "toy", "--why", "mine"),
        ("revoke", "toy@1", "--why", "mine"),
        ("revoke", "toy@1", "--why", "mine", "--undo"),
    ],
)
def test_words_of_strangers_move_nothing(world: World, words: tuple[str, ...]) -> None:
    put_policies(world.store, parse_policies({"*": {"approvers": ["ada"]}}, "v"))
    before = world.model
    with pytest.raises(RefusedError, match="mallory may not decide who serves endpoint toy"):
        world.say(*words, "--by", "mallory")
    assert (world.model, world.serving) == (before, 3)
    if "--undo" not in words:
        world.say(*words, "--by", "ada")
        assert world.model != before


def test_the_policy_is_shown_and_set_by_a_command(tmp_path: Path) -> None:
    place = ("--store", str(tmp_path / "store"))

    def say(*words: str) -> str:
        done = CliRunner().invoke(app, ["store", "promotion", *words, *place])
        if isinstance(done.exception, KubetuneError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    assert say() == "{}\n"
    (tmp_path / "policies.yaml").write_text("tickets: {recipes: [tickets, mine], approvers: [ada]}\n")
    with pytest.raises(ConfigError, match="Recipe 'mine' does not exist"):
        say(str(tmp_path / "policies.yaml"))
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.yaml").write_text(Path("src/kubetune/recipes/cola.yaml").read_text())
    given = (str(tmp_path / "policies.yaml"), "--recipes", str(tmp_path / "recipes"))
    assert say(*given) == "policies bind tickets\n"
    assert say(*given) == "policies bound tickets already\n"
    assert '"mine"' in say() and "documents" not in say()
    stored = stored_policies(LocalStore(tmp_path / "store"))
    assert stored is not None and set(stored.of("tickets").documents) == {"tickets", "mine"}
    (tmp_path / "policies.yaml").write_text("'*': {}\n")
    say(*given)
    assert stored_policies(LocalStore(tmp_path / "store")).of("tickets").approvers is None
    with pytest.raises(ConfigError, match="cannot be read as text"):
        say(str(tmp_path / "nothing.yaml"))


def test_the_decision_of_a_run_is_carried_out_once_and_that_of_another_run_anew(tmp_path: Path) -> None:
    """Whatever the gate: a task that is tried again would else move the champion over what a person chose since."""
    desk = Desk(tmp_path, "promotion.gate=thresholds")
    assert desk.register() == 1

    def another_is_chosen(model: RegisteredModel) -> tuple[RegisteredModel, Event]:
        model, version = with_version(model, Version(0, "other-1", "e" * 64, "f" * 64, "d" * 64, "promote", ""))
        return set_champion(model, version.number), Event("promoted", "", "bob", "this one")

    change_model(desk.store, "toy", another_is_chosen)
    with pytest.raises(NothingToDoError, match="Version 1 of toy was promoted by this run before, and another"):
        desk.register()
    assert known(desk.store, "toy").champion.number == 2
    create_run(desk.store, "toy-2", canonical(desk.recipe))
    for commit in commits.committed(desk.store, "toy-1", list(chain_toys.INPUTS)).values():
        commits.create_commit(desk.store, replace(commit, run="toy-2"))
    run_stage(call_of("register", desk.recipe, "toy-2", "toy"), desk.store, desk.settings, progress=Silent())
    assert known(desk.store, "toy").champion.number == 1, "another run of the same model decides for itself"
