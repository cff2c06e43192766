"""Promotions and rollbacks by a person's word that are stopped, fail, meet each other or a store with holes.

The deployed body is a stand-in that serves, fails or is stopped as told; all around it is real.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kubetune import layout
from kubetune.cli.app import app
from kubetune.config.load import canonical
from kubetune.contract import Result
from kubetune.errors import ConfigError, CorruptArtifactError, InterruptedRunError, NotReadyError, TemporaryError
from kubetune.registration import known
from kubetune.serving.archive import archive_digest
from kubetune.stages import deploy
from kubetune.storage.blobs import put_tree
from kubetune.storage.commits import lookup
from kubetune.storage.local import LocalStore
from kubetune.storage.registry import Event, Model, Version, change_model, with_version
from kubetune.storage.versions import FORMAT, archive_digest_of, files_of, put_document, read_document
from pipelines import toy_recipe

KEY = "ab" * 32
STOPPED = InterruptedRunError("stopped")
NOT_READY = NotReadyError("no answer")


@dataclass
class World:
    """Three registered versions of model toy, and what its endpoint serves."""

    store: LocalStore
    serving: int | None = None
    fails: list[Exception] = field(default_factory=list)
    meanwhile: Callable[[], None] | None = None

    def say(self, *words: str) -> str:
        done = CliRunner().invoke(app, [*words, "--store", self.store.url])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    def promote(self, number: int, *words: str) -> str:
        return self.say("promote", f"toy@{number}", "--why", "asked for", *words)

    def rollback(self, *words: str) -> str:
        return self.say("rollback", "toy", "--why", "complaints", *words)

    def register(self, number: int, folder: Path) -> None:
        folder.mkdir()
        (folder / "archive.json").write_text(f"archive {number}")
        files = put_tree(self.store, folder)
        document = {
            "format": FORMAT,
            "recipe": canonical(toy_recipe(folder / "rows", folder / "model")),
            "files": {"archive": [file.to_json() for file in files]},
            "stages": {"package": {"key": KEY}},
        }
        fresh = Version(
            0, f"run-{number}", archive_digest_of(files), f"m{number}", put_document(self.store, document), "keep", ""
        )
        change_model(self.store, "toy", lambda model: (with_version(model, fresh)[0], Event("registered", "")))

    def serve(self, config, inputs, outputs, context) -> Result:
        if (meanwhile := self.meanwhile) is not None:
            self.meanwhile = None
            meanwhile()
        if self.fails:
            raise self.fails.pop(0)
        digest = archive_digest(inputs["archive"])
        self.serving = next(version.number for version in self.model.versions if version.archive == digest)
        return Result(facts={"archive": digest})

    @property
    def model(self) -> Model:
        return known(self.store, "toy")

    def file_of(self, number: int) -> str:
        (file,) = files_of(read_document(self.store, self.model.version(number)), "archive")
        return layout.blob(file.sha256)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Its champion is version 3, after 2, after 1."""
    found = World(LocalStore(tmp_path / "store"))
    monkeypatch.setattr(deploy, "run", found.serve)
    for number in (1, 2, 3):
        found.register(number, tmp_path / f"archive-{number}")
    for number in (1, 2, 3):
        assert f"version {number} of toy is the champion and serves" in found.promote(number)
    assert (found.serving, found.model.line) == (3, (1, 2, 3))
    return found


@pytest.mark.parametrize("request_id", [(), ("--request", "dag-run-1")])
def test_a_rollback_that_is_stopped_is_finished_and_not_made_twice(world: World, request_id: tuple[str, ...]) -> None:
    world.fails = [STOPPED, STOPPED]
    for _ in range(2):
        with pytest.raises(InterruptedRunError):
            world.rollback(*request_id)
    assert world.serving == 3
    assert "went from version 3 to version 2" in world.rollback(*request_id)
    assert (world.serving, world.model.line) == (2, (1, 2))


def test_a_rollback_to_a_version_that_is_not_ready_is_finished_with_the_one_before(world: World) -> None:
    world.fails = [NOT_READY]
    with pytest.raises(NotReadyError):
        world.rollback()
    assert (world.serving, world.model.line) == (3, (1,))
    assert "to version 1, which serves" in world.rollback()
    assert (world.serving, world.model.line) == (1, (1,))


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
    with pytest.raises(TemporaryError, match="wished for by another run meanwhile"):
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
    with pytest.raises(TemporaryError, match="wished for by another run meanwhile"):
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
