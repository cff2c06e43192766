"""Moves of a champion that cannot be served are taken back whole, and who serves it in the end serves the champion."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from champion_toys import World, served_world
from kubetune.errors import (
    ConfigError,
    CorruptArtifactError,
    DataError,
    InterruptedRunError,
    KubetuneError,
    NotReadyError,
    TemporaryError,
)
from kubetune.models import effects
from kubetune.models import register as registration
from kubetune.plan import ManualOverride
from kubetune.stages import deploy
from kubetune.storage.local import LocalStore

AT = "2026-01-01T00:00:00Z"
PERMANENT: list[Callable[[], KubetuneError]] = [
    lambda: NotReadyError("no answer"),
    lambda: DataError("statement", "no statement"),
    lambda: ConfigError("no Java"),
    lambda: CorruptArtifactError("0" * 64, "damaged"),
]
REQUESTS: list[tuple[str, ...]] = [(), ("--request", "dag-run-1")]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Its champion is version 3, after 2, after 1."""
    return served_world(tmp_path, monkeypatch)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What people are told of."""
    found: list[Any] = []
    monkeypatch.setattr("kubetune.cli.answers.tell_people", lambda _, answer: found.append(answer))
    return found


@pytest.mark.parametrize("error", PERMANENT)
@pytest.mark.parametrize("request_id", REQUESTS)
def test_a_rollback_to_a_version_that_cannot_serve_is_undone_whole_however_often_it_is_tried(
    world: World,
    error: Callable[[], KubetuneError],
    request_id: tuple[str, ...],
    told: list[Any],
) -> None:
    before = world.model
    for _ in range(3):
        world.fails = [error()]
        with pytest.raises(type(error()), match=r"version 3 is the champion again, and the one last seen to serve\. "):
            world.rollback(*request_id)
        found = world.model
        assert (found.versions, found.line, world.serving) == (before.versions, (1, 2, 3), 3)
        last = found.history[-1]
        assert (last["event"], last["version"], last["former"]) == ("rollback-undone", 3, 2)
        assert last["why"] == str(error())
    assert told == []
    assert "went from version 3 to version 2, which serves" in world.rollback(*request_id)
    assert (world.serving, world.model.line) == (2, (1, 2))
    assert [(answer["event"], answer["from"], answer["to"]) for answer in told] == [("rolled back", 3, 2)]


def test_the_last_step_of_a_line_is_undone_too(world: World) -> None:
    world.rollback()
    for _ in range(2):
        world.fails = [NotReadyError("no answer")]
        with pytest.raises(NotReadyError):
            world.rollback()
        assert (world.serving, world.model.line) == (2, (1, 2))
        assert [version.withdrawn for version in world.model.versions] == ["", "", "person"]


def test_what_the_rule_of_bad_data_is_still_stands_at_the_end(world: World) -> None:
    world.fails = [DataError("statement", "no statement")]
    with pytest.raises(DataError, match=r"\[rule: statement\]$"):
        world.rollback()


def test_a_rollback_that_was_undone_is_not_made_once_somebody_moved_the_champion(world: World) -> None:
    world.fails = [NotReadyError("no answer")]
    with pytest.raises(NotReadyError):
        world.rollback("--request", "dag-run-1")
    world.promote(1)
    before = world.model
    with pytest.raises(ConfigError, match="was undone, and its champion was moved since"):
        world.rollback("--request", "dag-run-1")
    assert (world.model, world.serving) == (before, 1)


@pytest.mark.parametrize("error", PERMANENT)
def test_a_champion_that_served_before_stays_though_it_does_not_now(
    world: World,
    error: Callable[[], KubetuneError],
) -> None:
    """Neither is its rollback of long ago undone, nor does each call go one step back."""
    world.rollback()
    before = world.model
    world.fails = [error(), error()]
    for _ in range(2):
        with pytest.raises(type(error())):
            world.promote(2)
    assert world.model == before


def test_a_run_that_is_stopped_while_it_serves_what_a_person_went_back_to_leaves_it(world: World) -> None:
    registration.roll_back(world.store, "toy", AT, ManualOverride("anna", "complaints"))
    world.fails = [InterruptedRunError("stopped")]
    with pytest.raises(InterruptedRunError):
        world.deploy_own(2)
    assert world.model.line == (1, 2)


@pytest.mark.parametrize("error", PERMANENT)
@pytest.mark.parametrize("request_id", REQUESTS)
def test_a_promotion_that_cannot_be_served_is_taken_back_and_may_be_asked_for_again(
    world: World,
    error: Callable[[], KubetuneError],
    request_id: tuple[str, ...],
) -> None:
    world.rollback()
    for _ in range(2):
        world.fails = [error()]
        with pytest.raises(type(error()), match="version 2 is the champion again, and the one last seen to serve"):
            world.promote(3, *request_id)
        assert (world.serving, world.model.line) == (2, (1, 2))
        assert (world.model.version(3).withdrawn, world.model.history[-1]["event"]) == ("not-ready", "not-ready")
    assert "version 3 of toy is the champion and serves" in world.promote(3, *request_id)
    assert (world.serving, world.model.line) == (3, (1, 2, 3))


def test_a_promotion_that_only_has_to_wait_stands(world: World) -> None:
    world.rollback()
    world.fails = [TemporaryError("being changed")]
    with pytest.raises(TemporaryError, match=r"^being changed"):
        world.promote(3)
    assert (world.serving, world.model.line) == (2, (1, 2, 3))


@pytest.mark.parametrize(
    ("error", "line"), [(NotReadyError("a"), ()), (DataError("r", "a"), ()), (ConfigError("no Java"), (1,))]
)
def test_a_first_champion_stays_where_no_version_could_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: KubetuneError, line: tuple[int, ...]
) -> None:
    found = World(LocalStore(tmp_path / "store"), fails=[error])
    monkeypatch.setattr(deploy, "run", found.serve)
    found.register(1, tmp_path / "archive")
    with pytest.raises(type(error)):
        found.promote(1)
    assert (found.serving, found.model.line) == (None, line)


def test_a_rollback_that_was_cut_off_is_told_once_it_is_finished(
    world: World,
    told: list[Any],
    tmp_path: Path,
) -> None:
    world.fails = [InterruptedRunError("stopped")]
    with pytest.raises(InterruptedRunError):
        world.rollback("--request", "dag-run-1")
    world.register(4, tmp_path / "archive-4")  # a run of the night
    assert told == []
    assert "went from version 3 to version 2, which serves" in world.rollback("--request", "dag-run-1")
    assert [(answer["event"], answer["from"], answer["to"]) for answer in told] == [("rolled back", 3, 2)]


def test_a_rollback_that_was_cut_off_is_finished_though_a_run_registered_a_version(
    world: World,
    tmp_path: Path,
) -> None:
    world.fails = [InterruptedRunError("stopped")]
    with pytest.raises(InterruptedRunError):
        world.rollback()
    world.register(4, tmp_path / "archive-4")
    assert "a rollback that was cut off is finished: toy went from version 3 to version 2" in world.rollback()
    assert (world.serving, world.model.line) == (2, (1, 2))


def test_a_champion_that_changes_before_the_wish_is_the_one_that_is_served(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = effects.read_document
    looks = [lambda: world.promote(3), lambda: None]  # the first is for its recipe, the second has a champion to serve

    def slow(store, version):
        if version.number == 2 and looks:
            looks.pop()()
        return real(store, version)

    monkeypatch.setattr(effects, "read_document", slow)
    assert "version 3 of toy is the champion and serves" in world.promote(2)
    assert (world.serving, world.model.champion.number) == (3, 3)
    assert not world.pending


def test_a_champion_that_changes_while_another_is_served_is_served_after_it(world: World) -> None:
    world.meanwhile = lambda: (
        registration.promote(world.store, "toy", 3, AT, ManualOverride("anna", "asked for")) and None
    )
    assert "version 3 of toy is the champion and serves" in world.promote(2)
    assert (world.serving, world.model.champion.number) == (3, 3)
    assert not world.pending


def test_who_overtakes_a_deployment_that_had_ended_well_puts_the_champion_back(world: World) -> None:
    world.meanwhile = lambda: world.promote(3) and None
    assert "version 3 of toy is the champion and serves" in world.promote(2)
    assert (world.serving, world.model.champion.number) == (3, 3)
    assert not world.pending


def test_a_champion_that_changes_again_and_again_is_left_to_another_call(world: World) -> None:
    def other() -> None:
        number = 5 - world.model.champion.number
        registration.promote(world.store, "toy", number, AT, ManualOverride("anna", "asked for"))
        world.meanwhile = other

    world.promote(2)
    world.meanwhile = other
    with pytest.raises(TemporaryError, match="changed 5 times while it was served: run this again"):
        world.promote(2)
    world.meanwhile = None
    number = world.model.champion.number
    assert f"version {number} of toy is the champion and serves" in world.promote(number)
    assert world.serving == number
