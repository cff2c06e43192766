"""The registry: the versions of a model, and which of them is the champion. One record a model, one compare-and-set.

Everything that must never be half done is one write of one record: a version is there, or it is not; there is one
champion, and what it replaced stands behind it in the same line. What is large (files, commits, decision) is a blob
that was written before the record names it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from kubetune import layout
from kubetune.errors import ConfigError
from kubetune.storage.base import Store
from kubetune.storage.records import find_whole, update

FORMAT = 1
HISTORY = 200
LINE = 50
NOT_READY, BY_PERSON, REVOKED = "not-ready", "person", "revoked"


@dataclass(frozen=True)
class Version:
    """One model that passed its thresholds.

    Attributes:
        number: From 1, without gaps.
        run: Run that made it first.
        archive: Digest of the archive's file list.
        model: Digest of the trained model's file list.
        document: SHA-256 of the blob that holds everything needed to audit it.
        outcome: Of its comparison: `promote`, `keep` or `undecided`.
        at: When it was registered (ISO 8601).
        withdrawn: Empty, `not-ready`, `person` once somebody rolled it back, or `revoked`, which nothing else replaces.
    """

    number: int
    run: str
    archive: str
    model: str
    document: str
    outcome: str
    at: str
    withdrawn: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it stands in the record."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model.

    Attributes:
        name: Also the name of its endpoint.
        epoch: Grows by one with each change.
        versions: By number, ascending.
        line: Numbers of the champions that stand behind each other; the last one is the champion.
        candidate: Version that was registered last; None: none was.
        history: `{"epoch", "at", "event", "version", "former", "by", "why", "request", "call"}`, oldest first; the last
            200. `call` is drawn anew for each change; an event about another version than the champion has `about`.
    """

    name: str
    epoch: int = 0
    versions: tuple[Version, ...] = ()
    line: tuple[int, ...] = ()
    candidate: int | None = None
    history: tuple[Mapping[str, Any], ...] = ()

    @property
    def champion(self) -> Version | None:
        """The version that is to serve."""
        return self.version(self.line[-1]) if self.line else None

    @property
    def previous(self) -> Version | None:
        """The version that a rollback brings back: revoked ones, which nobody may serve, are passed over."""
        behind = (self.version(number) for number in reversed(self.line[:-1]))
        return next((version for version in behind if not self.is_revoked(version.model)), None)

    def version(self, number: int) -> Version:
        """Return a version by its number.

        Raises:
            ConfigError: There is none.
        """
        for version in self.versions:
            if version.number == number:
                return version
        raise ConfigError(
            f"Model {self.name} has no version {number}: it has {len(self.versions)}, see `kubetune models`."
        )

    def of_archive(self, archive: str) -> Version | None:
        """Return the version with this archive."""
        return next((version for version in self.versions if version.archive == archive), None)

    def is_rolled_back(self, model: str) -> bool:
        """Whether a person took this trained model back: with another decision it is packaged as another archive."""
        return any(version.model == model and version.withdrawn == BY_PERSON for version in self.versions)

    def is_revoked(self, model: str) -> bool:
        """Whether a person ended the signatures of this trained model: then no other override promotes it."""
        return any(version.model == model and version.withdrawn == REVOKED for version in self.versions)

    @property
    def last_move(self) -> Mapping[str, Any] | None:
        """The line of the history by which the present champion came; None: it is older than the history."""
        return next((line for line in reversed(self.history) if line["version"] != line["former"]), None)

    def aliases(self) -> dict[str, int]:
        """Return alias → version number, of those that are set."""
        named = {"champion": self.champion, "previous": self.previous}
        found = {alias: version.number for alias, version in named.items() if version is not None}
        return found | ({"candidate": self.candidate} if self.candidate is not None else {})

    def to_json(self) -> dict[str, Any]:
        """As it stands in the store."""
        return {
            "format": FORMAT,
            "name": self.name,
            "epoch": self.epoch,
            "versions": [version.to_json() for version in self.versions],
            "line": list(self.line),
            "candidate": self.candidate,
            "history": [dict(item) for item in self.history],
        }


@dataclass(frozen=True)
class Event:
    """Who changed a model, when and why; goes into its history.

    Attributes:
        name: `registered`, `promoted`, `rolled-back`, `not-ready`, `tried-again`, `rollback-undone`, `revoked` or
            `reinstated`.
        at: Time of day (ISO 8601), from the caller.
        by: Person or run.
        why: One sentence.
        request: Identity of a request that may be made twice, for example an Airflow run; empty: none.
        about: Version that was revoked or reinstated; None: the event is about the champion.
    """

    name: str
    at: str
    by: str = ""
    why: str = ""
    request: str = ""
    about: int | None = None


def parse_model(value: Mapping[str, Any]) -> RegisteredModel:
    """Read a model from a record; KeyError, TypeError or ValueError says that it is none."""
    if value["format"] != FORMAT:
        raise ValueError("unknown format")
    return RegisteredModel(
        name=str(value["name"]),
        epoch=int(value["epoch"]),
        versions=tuple(Version(**version) for version in value["versions"]),
        line=tuple(int(number) for number in value["line"]),
        candidate=None if value["candidate"] is None else int(value["candidate"]),
        history=tuple(dict(item) for item in value["history"]),
    )


def read_model(store: Store, name: str) -> RegisteredModel | None:
    """Return a model's record; None if there is none.

    Raises:
        KubetuneError: It is broken: as absent, it would let the next candidate in without a comparison.
    """
    return find_whole(store, layout.model(layout.check_run(name)), parse_model).value


def list_models(store: Store) -> list[RegisteredModel]:
    """Return all models by name."""
    names = [entry.key.removeprefix(layout.MODELS).removesuffix(".json") for entry in store.list(layout.MODELS)]
    found = [read_model(store, name) for name in sorted(names)]
    return [model for model in found if model is not None]


def change_model(
    store: Store, name: str, change: Callable[[RegisteredModel], tuple[RegisteredModel, Event | None]]
) -> RegisteredModel:
    """Change a model by compare-and-set.

    Args:
        store: Store.
        name: Model name.
        change: Gets what stands, returns what shall stand and the event for the history; None: leave all as it is.
            May be called more than once, and may raise to leave all as it is.

    Returns:
        The record that stands now.

    Raises:
        KubetuneError: It is broken.
    """
    call = uuid4().hex

    def step(standing: RegisteredModel | None) -> dict[str, Any] | None:
        former = standing or RegisteredModel(name)
        if any(line.get("call") == call for line in former.history):
            return None  # this change landed, its answer was lost, and others have changed the model since
        wanted, event = change(former)
        if event is None:
            return None
        line = {
            "epoch": former.epoch + 1,
            "at": event.at,
            "event": event.name,
            "version": wanted.champion.number if wanted.champion else None,
            "former": former.champion.number if former.champion else None,
            "by": event.by,
            "why": event.why,
            "request": event.request,
            "call": call,
        } | ({} if event.about is None else {"about": event.about})
        history = (*former.history, line)[-HISTORY:]
        return replace(wanted, name=name, epoch=former.epoch + 1, history=history).to_json()

    return update(store, layout.model(layout.check_run(name)), parse_model, step, required=True) or RegisteredModel(
        name
    )


def with_version(model: RegisteredModel, version: Version) -> tuple[RegisteredModel, Version]:
    """Return the model with this version, and the version as it stands: one with the same archive is kept."""
    standing = model.of_archive(version.archive)
    if standing is None:
        standing = replace(version, number=len(model.versions) + 1)
        model = replace(model, versions=(*model.versions, standing))
    return replace(model, candidate=standing.number), standing


def set_champion(model: RegisteredModel, number: int) -> RegisteredModel:
    """Return the model with this version as champion, not withdrawn; the former one stands behind it."""
    wanted = model.version(number)
    for other in model.versions:
        if other.model == wanted.model:
            model = with_changed(model, replace(other, withdrawn=""))
    if model.line[-1:] != (number,):
        model = replace(model, line=(*(item for item in model.line if item != number), number)[-LINE:])
    return model


def demote(model: RegisteredModel, reason: str) -> RegisteredModel:
    """Return the model without its champion: the former one is it again, and the version is marked withdrawn.

    A person goes back to a version that may be served, so that revoked ones leave the line with the champion.
    """
    if model.champion is None:
        return model
    back = model.previous if reason == BY_PERSON else None
    line = model.line[: model.line.index(back.number) + 1] if back is not None else model.line[:-1]
    return replace(with_changed(model, _marked(model.champion, reason)), line=line)


def restored(model: RegisteredModel, number: int) -> RegisteredModel:
    """Return the model with the version as champion that a rollback took away, as if there had been none."""
    unmarked = with_changed(model, _marked(model.version(number), ""))
    return replace(unmarked, line=(*unmarked.line, number))


def _marked(version: Version, reason: str) -> Version:
    """Return the version with this mark, or as it is where it is revoked."""
    return version if version.withdrawn == REVOKED else replace(version, withdrawn=reason)


def revoked(model: RegisteredModel, weights: str) -> RegisteredModel:
    """Return the model with all versions of these weights revoked.

    The champion stays until somebody names another; behind it none is left that a rollback would bring back.
    """
    line = [number for number in model.line[:-1] if model.version(number).model != weights]
    return _all_marked(replace(model, line=(*line, *model.line[-1:])), weights, REVOKED)


def reinstated(model: RegisteredModel, weights: str) -> RegisteredModel:
    """Return the model with the versions of these weights as if a person had rolled them back."""
    return _all_marked(model, weights, BY_PERSON)


def _all_marked(model: RegisteredModel, weights: str, reason: str) -> RegisteredModel:
    for version in model.versions:
        if version.model == weights:
            model = with_changed(model, replace(version, withdrawn=reason))
    return model


def with_changed(model: RegisteredModel, version: Version) -> RegisteredModel:
    """Return the model with one version replaced by its number."""
    return replace(
        model, versions=tuple(version if other.number == version.number else other for other in model.versions)
    )
