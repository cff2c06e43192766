"""Three registered versions of one model and an endpoint, for tests of who becomes the champion.

The deployed body is a stand-in that serves, fails or is stopped as told; all around it is real.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from kubetune import layout
from kubetune.api.opening import settings_for
from kubetune.cli.app import app
from kubetune.config.load import canonical
from kubetune.config.recipe import Recipe
from kubetune.contract import Result
from kubetune.execution.adopt import PreparedCall
from kubetune.execution.stage import Execution
from kubetune.models import effects
from kubetune.models.register import known
from kubetune.plan import call_of
from kubetune.serving.archive.manifest import archive_digest
from kubetune.stages import deploy
from kubetune.storage.blobs import put_tree
from kubetune.storage.local import LocalStore
from kubetune.storage.registry import Event, RegisteredModel, Version, change_model, with_version
from kubetune.storage.versions import FORMAT, archive_digest_of, files_of, put_document, read_document
from pipelines import Silent, toy_recipe

KEY = "ab" * 32


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

    def deploy_own(self, number: int) -> None:
        """Stage `deploy` of the run that made a version."""
        version = self.model.version(number)
        document = read_document(self.store, version)
        recipe = Recipe.model_validate(document["recipe"])
        own = SimpleNamespace(outputs={"archive": files_of(document, "archive")})
        prepared = PreparedCall(call_of("deploy", recipe, version.run, "toy"), {"archive": own}, {}, "")
        settings = settings_for(self.store.url)
        effects.apply_deploy(Execution(prepared, self.store, settings, Silent(), lambda: False, "test"))

    @property
    def pending(self) -> bool:
        return effects.is_pending(self.store, "toy")

    @property
    def model(self) -> RegisteredModel:
        return known(self.store, "toy")

    def file_of(self, number: int) -> str:
        (file,) = files_of(read_document(self.store, self.model.version(number)), "archive")
        return layout.blob(file.sha256)


def served_world(folder: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Its champion is version 3, after 2, after 1."""
    for path, content in _served_files().items():
        (folder / "store" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "store" / path).write_bytes(content)
    found = World(LocalStore(folder / "store"), serving=3)
    monkeypatch.setattr(deploy, "run", found.serve)
    return found


@cache
def _served_files() -> dict[Path, bytes]:
    """The store of a served world; made once, since the commands that make it take a second."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        found = World(LocalStore(folder / "store"))
        patch.setattr(deploy, "run", found.serve)
        for number in (1, 2, 3):
            found.register(number, folder / f"archive-{number}")
        for number in (1, 2, 3):
            assert f"version {number} of toy is the champion and serves" in found.promote(number)
        assert (found.serving, found.model.line) == (3, (1, 2, 3))
        paths = [path for path in (folder / "store").rglob("*") if path.is_file()]
        return {path.relative_to(folder / "store"): path.read_bytes() for path in paths}
