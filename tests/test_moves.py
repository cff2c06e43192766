"""Promotions and rollbacks by a person's word that are stopped, fail, meet each other or a store with holes."""

from pathlib import Path

import pytest

from champion_toys import KEY, World, served_world
from kubetune import layout
from kubetune.errors import ConfigError, CorruptArtifactError, InterruptedRunError, NotReadyError, TemporaryError
from kubetune.storage.commits import lookup

STOPPED = InterruptedRunError("stopped")
NOT_READY = NotReadyError("no answer")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Its champion is version 3, after 2, after 1."""
    return served_world(tmp_path, monkeypatch)


@pytest.mark.parametrize("request_id", [(), ("--request", "dag-run-1")])
def test_a_rollback_that_is_stopped_is_finished_and_not_made_twice(world: World, request_id: tuple[str, ...]) -> None:
    world.fails = [STOPPED, STOPPED]
    for _ in range(2):
        with pytest.raises(InterruptedRunError):
            world.rollback(*request_id)
    assert world.serving == 3
    assert "went from version 3 to version 2" in world.rollback(*request_id)
    assert (world.serving, world.model.line) == (2, (1, 2))


@pytest.mark.parametrize("request_id", [(), ("--request", "dag-run-1")])
def test_a_promotion_that_is_stopped_ends_with_the_version_that_was_asked_for(
    world: World, request_id: tuple[str, ...]
) -> None:
    world.rollback()
    world.fails = [STOPPED]
    with pytest.raises(InterruptedRunError):
        world.promote(3, *request_id)
    assert world.serving == 2
    assert "version 3 of toy is the champion and serves" in world.promote(3, *request_id)
    assert (world.serving, world.model.line) == (3, (1, 2, 3))


def test_a_promotion_of_what_is_not_ready_leaves_what_serves(world: World) -> None:
    world.rollback()
    world.fails = [NOT_READY]
    with pytest.raises(NotReadyError):
        world.promote(3)
    assert (world.serving, world.model.champion.number) == (2, 2)
    world.rollback()  # a new one, since nothing was left to finish
    assert (world.serving, world.model.line) == (1, (1,))


def test_a_rollback_during_a_deployment_goes_back_once_however_often_it_is_asked_for(world: World) -> None:
    world.rollback()

    def back() -> None:
        world.fails = [TemporaryError("being changed")]  # the lock of the endpoint is the promotion's
        with pytest.raises(TemporaryError, match="being changed"):
            world.rollback()

    world.meanwhile = back
    with pytest.raises(TemporaryError, match="changed by another run meanwhile"):
        world.promote(3)
    assert (world.serving, world.model.line) == (3, (1, 2))
    assert "a rollback that was cut off is finished" in world.rollback()
    assert (world.serving, world.model.line) == (2, (1, 2))


def test_of_two_promotions_at_once_the_later_serves_once_either_is_repeated(world: World) -> None:
    def other() -> None:
        world.fails = [TemporaryError("being changed")]
        with pytest.raises(TemporaryError, match="being changed"):
            world.promote(2)

    world.meanwhile = other
    with pytest.raises(TemporaryError, match="changed by another run meanwhile"):
        world.promote(1, "--request", "first")
    assert "version 2 of toy is the champion and serves" in world.promote(1, "--request", "first")
    assert (world.serving, world.model.champion.number) == (2, 2)


@pytest.mark.parametrize("what", ["document", "archive"])
def test_a_version_whose_files_are_lost_does_not_become_the_champion(world: World, what: str) -> None:
    lost = world.file_of(2) if what == "archive" else layout.blob(world.model.version(2).document)
    world.store.delete(lost)
    before = world.model
    for move in (lambda: world.promote(2), world.rollback):
        with pytest.raises(CorruptArtifactError, match="restore blob"):
            move()
    assert (world.model, world.serving) == (before, 3)


def test_an_archive_that_is_damaged_gives_its_place_back_and_is_packaged_anew(world: World) -> None:
    world.rollback()
    lying = world.file_of(3)
    size = world.store.stat(lying).size
    world.store.put(lying, b"x" * size)
    with pytest.raises(CorruptArtifactError):
        world.promote(3)
    assert (world.serving, world.model.champion.number) == (2, 2)
    assert lookup(world.store, "package", KEY).broken == {lying.rpartition("/")[2]}


@pytest.mark.parametrize("what", ["toy@4", "toy@0", "toy@", "nobody@1", "a/b@1", "../toy@1", "a/b", "nobody"])
def test_what_does_not_exist_is_refused_and_moves_nothing(world: World, what: str) -> None:
    before = world.model
    with pytest.raises(ConfigError):
        world.say("promote", what, "--why", "asked for")
    with pytest.raises(ConfigError):
        world.say("rollback", what, "--why", "asked for")
    assert (world.model, world.serving) == (before, 3)
