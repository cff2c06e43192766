"""Every event in every state of a version, by the operations themselves on a store: they do what the table says."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import lifecycle_toys as toys
from kubetune.cli.app import app
from kubetune.config.policy import parse_policies
from kubetune.config.settings import Settings
from kubetune.errors import ConfigError, KubetuneError, NothingToDoError, RefusedError
from kubetune.execution.policies import put_policies
from kubetune.models.event_rules import RULES, Actor
from kubetune.models.lifecycle import apply_event, transition_of, version_state
from kubetune.models.transitions import (
    DECISIONS,
    DEMOTED,
    REPLACED,
    Mark,
    Position,
    Transition,
    VersionEvent,
    VersionState,
)
from kubetune.provenance.keys import write_key_pair
from lifecycle_toys import EVENTS, RECORDS, STATES, Scene, Watched

E = VersionEvent
BY_REGISTER = (*DECISIONS, E.OVERRIDE)
"""Events that come after `register` in the same change of the record."""
OF_CHAMPION = {E.ROLL_BACK, E.SERVE}
"""Events that name no version, so that they are about the champion."""
ELSEWHERE = {E.DECISION_SAME_WEIGHTS, E.UNDO_ROLLBACK}
"""Events that need a scene of their own: see the tests below."""
UNPROMOTED = {
    "absent, no mark",
    "absent, rolled back",
    "absent, revoked",
    "registered, no mark",
    "registered, not ready",
}
"""Where no promotion by the run stands, so that what its decision says was not carried out before."""
CELLS = [
    (state, event)
    for state in STATES
    for event in EVENTS
    if event not in ELSEWHERE
    and (event not in OF_CHAMPION or state.startswith("champion"))
    and (event is not E.DECISION_CARRIED_OUT or state not in UNPROMOTED)
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """What is registered is signed."""
    folder = tmp_path_factory.mktemp("keys")
    write_key_pair(folder / "pair")
    return Settings(signing_key=folder / "pair" / "signing.key", trusted_keys=folder / "pair" / "signing.pub")


@pytest.fixture
def scene(state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Scene:
    """In the state that the test's parameter names."""
    return toys.kept_scene(tmp_path, monkeypatch, settings, state)


def carry_out(scene: Scene, event: VersionEvent) -> KubetuneError | None:
    try:
        EVENTS[event](scene)
    except KubetuneError as error:
        return error
    return None


def check_other(scene: Scene, row: Transition, former: VersionState | None, previous: int | None) -> None:
    """The champion that was replaced, or the one that came back, is where the row says."""
    champion = scene.model.champion
    if row.other == REPLACED:
        assert champion == scene.version()
        assert former is None or former.position is Position.FORMER
    elif row.other == DEMOTED:
        assert (champion.number if champion else None) == previous


def test_every_event_is_tried_in_every_state_that_it_can_meet() -> None:
    assert len(STATES) == 13
    assert {*EVENTS, *ELSEWHERE, E.REGISTER} == set(VersionEvent)
    assert len(CELLS) == 13 * 11 + 3 * 2 + (13 - 5)


@pytest.mark.parametrize("state", STATES)
def test_a_state_is_what_led_to_it_says(scene: Scene, state: str) -> None:
    assert ", ".join(scene.state()) == state
    assert scene.model.previous is None or not scene.model.is_revoked(scene.model.previous.model)


@pytest.mark.parametrize(
    ("state", "event"),
    [pytest.param(*cell, marks=() if cell[0].endswith("no mark") else pytest.mark.slow) for cell in CELLS],
)
def test_an_event_does_what_its_row_says_and_its_repetition_nothing(
    scene: Scene, state: str, event: VersionEvent
) -> None:
    model, subject, store = scene.model, scene.version(), scene.store
    if event in BY_REGISTER:
        model = (apply_event(model, E.REGISTER, subject) or (model, ""))[0]
    before, row = version_state(model, subject), transition_of(model, event, subject)
    champion, previous = model.champion, model.previous
    written: set[str] = set()
    scene.store = Watched(store, lambda key: written.add(RECORDS[key.partition("/")[0] + "/"]))
    error = carry_out(scene, event)
    scene.store = store
    if row.error is None:
        assert error is None
        assert scene.state() == row.after(before)
        check_other(scene, row, champion and version_state(scene.model, champion), previous and previous.number)
    else:
        assert type(error) is type(row.error(""))
        # What a decision does not promote is registered all the same; everything else is refused whole.
        position, mark = state.split(", ")
        whole = VersionState(Position(position), Mark(mark))
        assert scene.state() == (before if isinstance(error, NothingToDoError) else whole)
    rules = [RULES[event], *([RULES[E.REGISTER]] if event in BY_REGISTER else [])]
    assert written <= {name for name in RECORDS.values() if any(getattr(rule, name) for rule in rules)}
    if row.change is not None and row.history:
        assert scene.model.history[-1]["event"] == row.history or row.after(before) == before
        assert "model" in written or row.after(before) == before
    after, scene.asked = toys.summary(store), 100
    carry_out(scene, event)
    assert toys.summary(store) == after


TYPED = {E.PROMOTE: ("promote", "toy@2"), E.ROLL_BACK: ("rollback", "toy")}
"""Events that their command alone permits."""


@pytest.mark.parametrize(("state", "event"), [("registered, no mark", event) for event in EVENTS])
def test_who_may_cause_an_event_is_whom_its_rule_names(
    scene: Scene, event: VersionEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a policy that names another approver."""
    put_policies(scene.store, parse_policies({"toy": {"approvers": ["ada"]}}, "the test's policy"))
    monkeypatch.setattr("kubetune.cli.models.user_name", lambda: scene.person)
    before, error = toys.summary(scene.store), None
    if event in TYPED:
        words = [*TYPED[event], "--why", "asked for", "--by", scene.person, "--store", scene.store.url]
        error = CliRunner().invoke(app, words).exception
    elif event is not E.SERVE:  # of the champion that there is
        error = carry_out(scene, event)
    if RULES[event].by is Actor.APPROVER:
        assert isinstance(error, RefusedError) and "anna may not decide who serves endpoint toy" in str(error)
        after = toys.summary(scene.store)
        assert {name: after[name] for name in before if name != "statements"} == {
            name: before[name] for name in before if name != "statements"
        }
    else:
        assert not isinstance(error, RefusedError)


def test_without_a_champion_there_is_nothing_to_serve_and_nothing_to_go_back_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = toys.scene_in(tmp_path, monkeypatch)
    with pytest.raises(NothingToDoError):
        scene.register(toys.SUBJECT, "keep")
    with pytest.raises(ConfigError, match="has no champion, so there is nothing to serve"):
        scene.deploy()
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"no previous champion to go back to: .* any of its 1 versions"):
            scene.roll_back()
        scene.register(toys.SUBJECT, run="now", override=scene.override())
