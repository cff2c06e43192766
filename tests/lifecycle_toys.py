"""Runs whose commits were made by hand, and everything that can happen to their versions, on a real store.

The body of `deploy` is a stand-in that serves, or fails as told; all around it is real: registry, endpoint record,
statements, comparisons, policies and the table of transitions.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from typer.testing import CliRunner

import chain_toys
from kubetune import layout
from kubetune.cli.app import app
from kubetune.config.load import canonical
from kubetune.config.recipe import Recipe
from kubetune.config.settings import Settings
from kubetune.contract import Result
from kubetune.errors import KubetuneError, NotReadyError
from kubetune.evaluation.overlap import split_sketch
from kubetune.execution.adopt import PreparedCall
from kubetune.execution.champion import champion_input
from kubetune.execution.stage import Execution
from kubetune.models import effects
from kubetune.models.lifecycle import version_state
from kubetune.models.register import promote, roll_back, try_again, withdraw
from kubetune.models.revoke import revoke
from kubetune.models.transitions import VersionEvent as Event
from kubetune.models.transitions import VersionState
from kubetune.plan import ManualOverride, call_of
from kubetune.serving.archive.manifest import archive_digest
from kubetune.stages import deploy
from kubetune.storage.base import Store
from kubetune.storage.blobs import File, put_tree, tree_digest
from kubetune.storage.commit_record import Commit
from kubetune.storage.commits import create_commit
from kubetune.storage.local import LocalStore
from kubetune.storage.records import decode
from kubetune.storage.registry import Event as Noted
from kubetune.storage.registry import RegisteredModel, Version, change_model, read_model, with_changed
from kubetune.storage.runs import create_run
from kubetune.storage.versions import NO_CHAMPION
from pipelines import Silent, toy_recipe

AT = "2026-01-01T00:00:00Z"
SUBJECT = "subject"
ROWS = {"rows": 1000, "distinct": 1000} | split_sketch(map(str, range(1000)), [[str(row)] for row in range(1000)])


@dataclass
class Scene:
    """A store with model toy, its endpoint, and runs by archive: `archives` says which weights each archive has.

    Attributes:
        store: Where all of it lies.
        folder: For files, outside the store.
        settings: With a signing key if statements are looked at.
        person: Who decides.
        broken: Digest of an archive that does not become ready.
        asked: So that each request is another one.
    """

    store: Store
    folder: Path
    settings: Settings = field(default_factory=Settings)
    person: str = "anna"
    broken: str = ""
    asked: int = 0

    @property
    def model(self) -> RegisteredModel:
        """As it stands, or an empty one."""
        return read_model(self.store, "toy") or RegisteredModel("toy")

    def state(self, archive: str = SUBJECT, weights: str | None = None) -> VersionState:
        return version_state(self.model, self.version(archive, weights))

    def version(self, archive: str = SUBJECT, weights: str | None = None) -> Version:
        """A registered version by the name of its archive, else a fresh one."""
        digest = self._files("archive", archive, write=False)[0].sha256
        made = Version(0, "", digest, tree_digest(weights_of(weights or archive)), "", "", "")
        return self.model.of_archive(digest) or made

    def serve(self, config: Any, inputs: Mapping[str, Path], outputs: Any, context: Any) -> Result:
        if archive_digest(inputs["archive"]) == self.broken:
            raise NotReadyError("no answer")
        return Result(facts={"archive": archive_digest(inputs["archive"])})

    def override(self, why: str = "asked for") -> ManualOverride:
        self.asked += 1
        return ManualOverride(self.person, why, f"request-{self.asked}")

    # What happens.

    def register(
        self,
        archive: str,
        outcome: str = "promote",
        *,
        against: int | None = -1,
        run: str = "",
        weights: str = "",
        override: ManualOverride | None = None,
    ) -> None:
        """Stage `register` of a run; `against`: version that it was compared with, -1: the present champion."""
        run = run or archive
        champion = self.model.champion
        number = against
        if against == -1:
            number = champion.number if champion is not None else None
        compared = dict(NO_CHAMPION) if number is None else {**NO_CHAMPION, "name": "toy", "version": number}
        found = self.commits(run, archive, weights or archive, outcome, compared)
        call = replace(call_of("register", recipe(), run, "toy"), override=override)
        prepared = PreparedCall(call, {"decision": found["compare"]}, {}, "")
        effects.apply_register(Execution(prepared, self.store, self.settings, Silent(), lambda: False, "test"))

    def deploy(self) -> None:
        effects.serve_champion(self.store, self.settings, "toy", Silent(), lambda: False)

    def promote(self, archive: str = SUBJECT) -> None:
        promote(self.store, "toy", self.version(archive).number, AT, self.override())

    def roll_back(self) -> None:
        roll_back(self.store, "toy", AT, self.override())

    def revoke(self, archive: str = SUBJECT, *, undo: bool = False) -> None:
        what = f"toy@{self.version(archive).number}"
        revoke(self.store, self.settings, what, AT, self.override(), undo=undo)

    def withdraw(self, archive: str = SUBJECT) -> None:
        withdraw(self.store, "toy", self.version(archive).archive, AT, "no answer")

    def try_again(self, archive: str = SUBJECT) -> None:
        try_again(self.store, "toy", self.version(archive).archive, AT)

    def compare(self, archive: str = SUBJECT) -> int:
        """What stage `compare` of a new run with these weights is given; returns the comparisons counted before it."""
        call = call_of("compare", recipe(), "run-that-compares", "toy")
        report = replace(commit_of("run", "evaluate", archive, archive), facts={"test_rows": ROWS})
        inputs = {"model": commit_of("run", "train", archive, archive), "report": report}
        return int(champion_input(call, self.store, inputs, None).document["earlier"])

    def delete(self) -> None:
        done = CliRunner().invoke(app, ["models", "delete", "toy", "--yes", "--store", self.store.url])
        if isinstance(done.exception, KubetuneError):
            raise done.exception
        assert done.exit_code == 0, done.output

    # What runs have left.

    def _files(self, kind: str, name: str, *, write: bool = True) -> tuple[File, ...]:
        folder = self.folder / kind / name
        folder.mkdir(parents=True, exist_ok=True)
        file = "archive.json" if kind == "archive" else "decision.json"
        text = f"archive {name}" if kind == "archive" else json.dumps({"outcome": name, "reasons": [f"says {name}"]})
        (folder / file).write_text(text)
        return put_tree(self.store, folder) if write else chain_toys.list_tree(folder)

    def commits(
        self, run: str, archive: str, weights: str, outcome: str, compared: Mapping[str, Any]
    ) -> dict[str, Commit]:
        made = {"archive": self._files("archive", archive), "decision": self._files("decision", outcome)}
        create_run(self.store, run, canonical(recipe()))
        found = {}
        for stage in chain_toys.INPUTS:
            commit = commit_of(run, stage, archive, weights, made)
            if stage == "compare":
                commit = replace(commit, facts={"champion": dict(compared), "outcome": outcome, "reasons": [outcome]})
            found[stage] = create_commit(self.store, commit)
        return found


@cache
def recipe() -> Recipe:
    """Of every run; nothing is read of what it names."""
    return toy_recipe(Path("rows"), Path("model"))


def weights_of(name: str) -> tuple[File, ...]:
    return (File("model.bin", 3, chain_toys.digest("weights", name)),)


def commit_of(
    run: str, stage: str, archive: str, weights: str, made: Mapping[str, tuple[File, ...]] | None = None
) -> Commit:
    """A commit of a run, whose digests follow from the names of its archive and weights."""
    files = {name: chain_toys.files_of(name, None) for names in chain_toys.OUTPUTS.values() for name in names}
    files |= {"model": weights_of(weights), **(made or {})}
    trees = {name: tree_digest(found) for name, found in files.items()} | {"champion": chain_toys.digest("champion")}
    commit = chain_toys.commit_of(run, stage, trees, None)
    return replace(commit, outputs={name: files[name] for name in chain_toys.OUTPUTS[stage]})


def scene_in(folder: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings | None = None) -> Scene:
    """An empty store, and `deploy` by the stand-in."""
    (folder / "files").mkdir(parents=True, exist_ok=True)
    found = Scene(LocalStore(folder / "store"), folder / "files", settings or Settings())
    monkeypatch.setattr(deploy, "run", found.serve)
    return found


Step = Callable[[Scene], object]


def _champion(scene: Scene) -> None:
    scene.register(SUBJECT)


def _other(scene: Scene, archive: str = "other") -> None:
    scene.register(archive, override=scene.override())


def _reinstated(scene: Scene) -> None:
    scene.revoke()
    scene.revoke(undo=True)


def _twin(scene: Scene) -> None:
    """The subject's weights in another archive, which somebody made the champion and went back from."""
    scene.register("twin", weights=SUBJECT, override=scene.override())
    scene.roll_back()


STATES: dict[str, tuple[Step, ...]] = {
    "absent, no mark": (),
    "absent, rolled back": (_twin,),
    "absent, revoked": (_twin, partial(Scene.revoke, archive="twin")),
    "registered, no mark": (lambda scene: _ignored(scene.register, SUBJECT, against=99),),
    "registered, not ready": (_champion, Scene.withdraw),
    "registered, rolled back": (_champion, Scene.roll_back),
    "registered, revoked": (_champion, Scene.roll_back, Scene.revoke),
    "former champion, no mark": (_champion, _other),
    "former champion, rolled back": (_champion, _reinstated, _other),
    "former champion, revoked": (_champion, Scene.revoke, _other),
    "champion, no mark": (_champion,),
    "champion, rolled back": (_champion, _reinstated),
    "champion, revoked": (_champion, Scene.revoke),
}
"""How the subject comes into each state that there is, by what really happens; two champions were there before it."""


def _ignored(work: Callable[..., object], *args: Any, **named: Any) -> None:
    with pytest.raises(KubetuneError):
        work(*args, **named)


def in_state(scene: Scene, steps: Iterable[Step]) -> Scene:
    """Make the scene's first champions, then what leads to a state."""
    for archive in ("first", "second"):
        _other(scene, archive)
    for step in steps:
        step(scene)
    return scene


EVENTS: dict[Event, Step] = {
    Event.COMPARE: Scene.compare,
    Event.DECISION_PROMOTE: lambda scene: scene.register(SUBJECT, run="now"),
    Event.DECISION_STALE: lambda scene: scene.register(SUBJECT, run="late", against=99),
    Event.DECISION_CARRIED_OUT: lambda scene: scene.register(SUBJECT),
    Event.OVERRIDE: lambda scene: scene.register(SUBJECT, run="now", override=scene.override()),
    Event.PROMOTE: Scene.promote,
    Event.ROLL_BACK: Scene.roll_back,
    Event.REVOKE: Scene.revoke,
    Event.REINSTATE: partial(Scene.revoke, undo=True),
    Event.DELETE: Scene.delete,
    Event.SERVE: Scene.deploy,
    Event.TAKE_BACK: Scene.withdraw,
    Event.UNDO_ROLLBACK: Scene.withdraw,
    Event.TRY_AGAIN: Scene.try_again,
}
"""What each event is done by."""


def _keep(scene: Scene) -> None:
    """A run whose comparison said keep made the same archive; the first one's word is that of the version."""

    def change(model: RegisteredModel) -> tuple[RegisteredModel, Noted]:
        return with_changed(model, replace(scene.version(), outcome="keep")), Noted("registered", AT)

    if scene.version().number:
        change_model(scene.store, "toy", change)
    scene.register(SUBJECT, "keep", run="now")


EVENTS[Event.DECISION_KEEP] = _keep
RECORDS = {"models/": "model", "endpoints/": "endpoint", "comparisons/": "comparisons", "statements/": "statements"}


class Watched:
    """A store that says each change of one of the four records, by its key, before it is made."""

    def __init__(self, inner: Store, before: Callable[[str], object]) -> None:
        self.inner, self.before = inner, before

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name not in {"put", "create", "swap", "delete"}:
            return found

        def change(key: str, *arguments: Any, **named: Any) -> Any:
            if key.startswith(tuple(RECORDS)):
                self.before(key)
            return found(key, *arguments, **named)

        return change


def records(store: Store) -> dict[str, Any]:
    """The four records, without what differs from one carrying out to the next: times, epochs and identities."""
    found: dict[str, Any] = {}
    for prefix in RECORDS:
        for entry in store.list(prefix):
            stored = store.get(entry.key)
            assert stored is not None
            found[entry.key] = decode(stored.data)
            assert found[entry.key] is not None, f"{entry.key} is not whole"
    return found


def summary(store: Store) -> dict[str, Any]:
    """What the records say of who is who: line and marks, what is served, what was counted, what is revoked."""
    said: dict[str, Any] = {}
    for key, value in records(store).items():
        if key.startswith("models/"):
            said["line"] = value["line"]
            said["versions"] = [(item["archive"], item["withdrawn"]) for item in value["versions"]]
        elif key.startswith("endpoints/"):
            said["served"] = [value[what] and value[what]["files"] for what in ("desired", "observed")]
        elif key.startswith("comparisons/"):
            said["compared"] = [item["pair"] for item in value["made"]]
        elif key == layout.REVOCATIONS:
            payload = json.loads(base64.b64decode(value["envelope"]["payload"]))
            said["revoked"] = sorted(entry["weights"] for entry in payload["revoked"])
        else:
            said.setdefault("statements", []).append(key)
    return said


_KEPT: dict[tuple[str, str], dict[Path, bytes]] = {}


def kept_scene(folder: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, state: str) -> Scene:
    """A scene in a state; what leads there is done once a process, and copied."""
    name = (state, str(settings.signing_key))
    if name not in _KEPT:
        with TemporaryDirectory() as made:
            in_state(scene_in(Path(made), monkeypatch, settings), STATES[state])
            files = [path for path in Path(made).rglob("*") if path.is_file()]
            _KEPT[name] = {path.relative_to(made): path.read_bytes() for path in files}
    for path, content in _KEPT[name].items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    found = scene_in(folder, monkeypatch, settings)
    found.asked = 100
    return found
