"""Who becomes the champion: whole toy runs through compare and register, by decision, by word, and by neither."""

from dataclasses import replace
from pathlib import Path

import pytest

import toys
from kubetune import layout
from kubetune.cli.common import override_of
from kubetune.config.recipe import Recipe
from kubetune.errors import (
    ConfigError,
    InterruptedRunError,
    KubetuneError,
    NothingToDoError,
    NotReadyError,
    RefusedError,
)
from kubetune.execution.run import open_configured_store, run_stage
from kubetune.models.effects import champion_of
from kubetune.models.register import at_version, known, promote, roll_back, try_again, withdraw
from kubetune.plan import ManualOverride, call_of
from kubetune.storage.commits import read_commit
from kubetune.storage.endpoints import delete_endpoint
from kubetune.storage.gc import collect
from kubetune.storage.registry import RegisteredModel, read_model
from kubetune.storage.versions import files_of, read_document
from pipelines import Silent, ran, run_plan, settings_of, toy_recipe

RULES = ("promotion.minimum_rows=20", "promotion.slices=[]", "promotion.calibration_margin=null")
WEAK = ("training.epochs=1", "training.learning_rate=1e-6", *RULES)
pytestmark = pytest.mark.slow
LEARNS = ("training.epochs=20",)
GOOD = (*LEARNS, *RULES)
OTHER = (*LEARNS, "training.seed=5", *RULES)
AT = "2026-01-01T00:00:00Z"
ANNA = ManualOverride("anna", "the old one answers customers better")


class World:
    """A store with a weak champion, a better one after it, and what the first runs left behind."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.data = toys.write_jsonl(folder / "rows.jsonl", toys.toy_rows(240))
        self.model = model
        self.settings = settings_of(folder)
        self.store = open_configured_store(self.settings)

    def recipe(self, *overrides: str) -> Recipe:
        return toy_recipe(self.data, self.model, overrides)

    def run(self, run: str, *overrides: str) -> dict[str, str]:
        return run_plan(self.recipe(*overrides), run, self.store, self.settings, until="register")

    def stage(self, name: str, run: str, overrides: tuple[str, ...], word: ManualOverride | None = None):
        call = replace(call_of(name, self.recipe(*overrides), run), override=word)
        return run_stage(call, self.store, self.settings, progress=Silent())

    @property
    def registered(self) -> RegisteredModel:
        return known(self.store, "toy")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> World:
    """The tests of this module run in order."""
    return World(tmp_path_factory.mktemp("promotion"), toy_model)


def test_the_first_model_is_promoted_by_its_thresholds_alone(world: World) -> None:
    world.run("weak", *WEAK)
    assert world.registered.aliases() == {"champion": 1, "candidate": 1}
    assert "There is no champion" in world.registered.history[-1]["why"]


def test_the_champion_itself_is_adopted_and_nothing_changes(world: World) -> None:
    before = world.registered
    assert ran(world.run("weak-again", *WEAK)) == {"register"}
    assert world.registered == before


def test_a_better_model_is_promoted_and_its_comparison_names_the_champion(world: World) -> None:
    world.run("good", *GOOD)
    assert world.registered.aliases() == {"champion": 2, "previous": 1, "candidate": 2}
    compared = read_commit(world.store, "good", "compare")
    assert compared.facts["champion"]["version"] == 1
    assert compared.inputs["champion"]
    document = read_document(world.store, world.registered.version(2))
    assert document["compared"]["version"] == 1
    assert set(document["stages"]) >= {"ingest", "fetch", "train", "evaluate", "behave", "compare", "package"}
    assert document["artifacts"]["model"] == world.registered.version(2).model
    assert [link["stage"] for link in document["chain"]][-1] == "package"


def test_a_decision_against_the_champion_of_another_model_promotes_nobody(world: World) -> None:
    """Both champions are a version 1."""

    def register(run: str, overrides: tuple[str, ...]) -> None:
        call = call_of("register", world.recipe(*overrides), run, "elsewhere")
        run_stage(call, world.store, world.settings, progress=Silent())

    register("weak", WEAK)
    with pytest.raises(NothingToDoError, match="was compared with version 1 of toy, and version 1 is the champion now"):
        register("good", GOOD)
    assert known(world.store, "elsewhere").champion.number == 1


def test_a_comparison_that_too_few_rows_rule_out_is_not_counted(world: World) -> None:
    before = world.store.get(layout.comparisons("toy"))
    assert before is not None
    with pytest.raises(NothingToDoError, match="so nothing was tested and no alpha was spent"):
        world.run("few", *LEARNS, "training.seed=7", *RULES[1:], "promotion.minimum_rows=10000")
    assert world.store.get(layout.comparisons("toy")).data == before.data


def test_a_model_that_is_no_better_ends_with_99_and_changes_nothing(world: World) -> None:
    before = world.registered
    with pytest.raises(NothingToDoError) as caught:
        world.run("other", *OTHER)
    assert caught.value.exit_code == 99
    assert world.registered == before
    assert read_commit(world.store, "other", "package") is None
    for later in ("package", "register", "deploy"):
        with pytest.raises(NothingToDoError):
            world.stage(later, "other", OTHER)


def test_a_repeated_comparison_is_the_same_one_and_is_counted_once(world: World) -> None:
    first = read_commit(world.store, "other", "compare").facts["champion"]
    with pytest.raises(NothingToDoError):
        world.run("other-again", *OTHER)
    assert read_commit(world.store, "other-again", "compare").facts["champion"] == first
    with pytest.raises(NothingToDoError):
        world.run("third", *LEARNS, "training.seed=6", *RULES)
    assert read_commit(world.store, "third", "compare").facts["champion"]["earlier"] == first["earlier"] + 1


def test_a_decision_against_a_former_champion_promotes_nobody(world: World) -> None:
    with pytest.raises(NothingToDoError, match="was promoted by this run before, and another was made the champion"):
        world.run("weak", *WEAK)
    assert world.registered.champion.number == 2


def test_a_person_promotes_what_the_comparison_did_not(world: World) -> None:
    for name in ("package", "register"):
        world.stage(name, "other", OTHER, ANNA)
    assert world.registered.aliases() == {"champion": 3, "previous": 2, "candidate": 3}
    assert world.registered.history[-1]["call"]  # the id by which a repetition would find it
    assert world.registered.history[-1] | {"at": "", "call": ""} == {
        "epoch": 3, "at": "", "event": "promoted", "version": 3, "former": 2, "by": "anna", "why": ANNA.why,
        "request": "", "call": "",
    }  # fmt: skip


def test_a_rollback_restores_the_former_one_and_holds_against_its_own_run(world: World) -> None:
    word = ManualOverride("anna", "complaints", request="dag-run-1")
    for _ in range(2):  # the request is repeated after a kill
        assert roll_back(world.store, "toy", AT, word).champion.number == 2
    # A nightly run makes the very model again; with another decision in its card it is a version of its own.
    with pytest.raises(NothingToDoError, match=r"Version 4 of toy was rolled back.*kubetune promote"):
        world.run("nightly", *OTHER, "promotion.gate=thresholds")
    assert world.registered.champion.number == 2


def test_a_person_promotes_a_version_by_its_number(world: World) -> None:
    for _ in range(2):
        model = promote(world.store, "toy", 3, AT, ANNA)
    assert model.champion.number == 3 and model.version(3).withdrawn == ""
    assert roll_back(world.store, "toy", AT, ANNA).champion.number == 2
    with pytest.raises(ConfigError, match="has no version 9"):
        promote(world.store, "toy", 9, AT, ANNA)
    with pytest.raises(ConfigError, match="'nobody' is not registered"):
        promote(world.store, "nobody", 1, AT, ANNA)


def test_a_promotion_that_is_asked_for_twice_does_not_undo_a_rollback(world: World) -> None:
    word = ManualOverride("anna", "customers asked for it", request="dag-run-2")
    world.stage("register", "other", OTHER, word)
    assert world.registered.champion.number == 3
    roll_back(world.store, "toy", AT, ANNA)
    world.stage("register", "other", OTHER, word)  # its pod was lost after it had registered
    assert world.registered.champion.number == 2


def test_a_champion_that_does_not_become_ready_is_taken_back_and_may_try_again(world: World) -> None:
    promote(world.store, "toy", 1, AT, ANNA)
    promote(world.store, "toy", 2, AT, ANNA)
    champion = champion_of(world.store, "toy")
    assert withdraw(world.store, "toy", champion.archive, AT, "no answer").champion.number == 1
    assert withdraw(world.store, "toy", champion.archive, AT, "no answer").champion.number == 1  # repeated
    assert try_again(world.store, "toy", champion.archive, AT).champion.number == 2
    withdraw(world.store, "toy", champion.archive, AT, "no answer")
    promote(world.store, "toy", 3, AT, ANNA)
    assert try_again(world.store, "toy", champion.archive, AT).champion.number == 3  # somebody decided meanwhile


def test_nothing_to_go_back_to_says_so(world: World) -> None:
    while read_model(world.store, "toy").previous is not None:
        roll_back(world.store, "toy", AT, ANNA)
    with pytest.raises(ConfigError, match="no previous champion to go back to"):
        roll_back(world.store, "toy", AT, ANNA)


def test_gc_keeps_what_a_version_needs_though_its_run_was_deleted(world: World) -> None:
    from kubetune.storage.blobs import missing_blobs
    from kubetune.storage.runs import delete_run

    delete_run(world.store, "good")
    for _ in range(3):
        collect(world.store, grace=0)
    document = read_document(world.store, world.registered.version(2))
    assert not missing_blobs(world.store, files_of(document, "archive"))


def test_approval_is_asked_for_and_recorded(world: World) -> None:
    wanted = ("promotion.approval=true", "promotion.gate=thresholds", "training.seed=8")
    with pytest.raises(ConfigError, match=r"asks for approval before stage register.*--by NAME"):
        world.run("asked", *wanted)
    world.stage("register", "asked", wanted, ManualOverride("berta"))
    line = world.registered.history[-1]
    assert (line["event"], line["by"]) == ("promoted", "berta")


def test_the_champions_weights_in_another_archive_take_its_place(world: World) -> None:
    before = world.registered.champion
    world.run("served-otherwise", "training.seed=8", "serving.split=4")
    after = world.registered.champion
    assert (after.run, after.model) == ("served-otherwise", before.model)
    assert after.archive != before.archive
    roll_back(world.store, "toy", AT, ANNA)
    promote(world.store, "toy", before.number, AT, ANNA)  # the person means these weights: they count again
    world.run("served-otherwise", "training.seed=8", "serving.split=4")
    assert world.registered.champion == after


@pytest.mark.parametrize("error", [NotReadyError("no answer"), InterruptedRunError("stopped")])
def test_a_deploy_that_ends_early_leaves_the_champion_that_serves(
    world: World, error: KubetuneError, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubetune.contract import Result
    from kubetune.stages import deploy

    wanted = world.registered.champion
    delete_endpoint(world.store, "toy")  # nobody has seen it serve
    seen = []

    def fail(config, inputs, outputs, context):
        seen.append(world.registered.champion)
        raise error

    monkeypatch.setattr(deploy, "run", fail)
    with pytest.raises(type(error)):
        world.stage("deploy", "served-otherwise", ("training.seed=8", "serving.split=4"))
    assert seen == [wanted]
    assert world.registered.champion != wanted
    assert world.registered.version(wanted.number).withdrawn == "not-ready"
    monkeypatch.setattr(deploy, "run", lambda *_: Result(facts={"archive": wanted.archive}))
    world.stage("deploy", "served-otherwise", ("training.seed=8", "serving.split=4"))
    assert world.registered.champion == wanted


def test_no_word_stands_above_a_threshold(world: World) -> None:
    refused = ("evaluation.thresholds=[{metric: accuracy, at_least: 1.1}]",)
    with pytest.raises(RefusedError):
        world.run("refused", *refused)
    with pytest.raises(RefusedError):
        world.stage("package", "refused", refused, ANNA)


@pytest.mark.parametrize("why", ["", " ", "two\nlines", "x" * 501, "\x1b[31m"])
def test_a_reason_is_one_printable_line(why: str) -> None:
    with pytest.raises(ConfigError, match="--why has to be one line"):
        override_of(None, why)


def test_versions_are_named_with_an_at_sign() -> None:
    assert at_version("tweets@12") == ("tweets", 12)
    assert at_version("tweets") == ("tweets", None)
    for wrong in ("tweets@x", "tweets@-1", "tweets@1.5", "tweets@٣", "tweets@" + "9" * 5000):
        with pytest.raises(ConfigError, match="MODEL@3"):
            at_version(wrong)
