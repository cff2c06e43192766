"""What stage `register` does in the store, and what a manual override does: versions, promotion, rollback.

Each of them is one compare-and-set of the model's record, so that a process may die at any line and be repeated.
"""

from collections.abc import Mapping
from typing import Any

from kubetune.errors import ConfigError, CorruptArtifactError, NothingToDoError
from kubetune.models.document import version_document
from kubetune.plan import ManualOverride, StageCall
from kubetune.stages import STAGES
from kubetune.storage import commits
from kubetune.storage.base import Store
from kubetune.storage.blobs import missing_blobs
from kubetune.storage.commit_record import Commit
from kubetune.storage.registry import (
    BY_PERSON,
    NOT_READY,
    Event,
    RegisteredModel,
    Version,
    change_model,
    demote,
    read_model,
    restored,
    set_champion,
    with_version,
)
from kubetune.storage.versions import archive_digest_of, files_of, put_document, read_document

MOVED = {"promoted": "promoted", "tried-again": "promoted", "rolled-back": "rolled back"}
"""Events that move a champion, as people are told of them."""
TAKEN_BACK = frozenset({"not-ready", "rollback-undone"})
"""Events that take a move back; they bear the request of that move, so that its repetition may move again."""
MOST_DIGITS = 10


def register(call: StageCall, store: Store, at: str) -> tuple[RegisteredModel, Version]:
    """Record this run's model as a version, and make it the champion if its decision, or a person, says so.

    A second call changes nothing. A decision holds only against the champion that it was made against.

    Args:
        call: Of stage `register`. Its override promotes whatever the decision is if it has a reason, else it approves.
        store: Store.
        at: Time of day for the record (ISO 8601).

    Raises:
        NothingToDoError: The decision does not promote it, or is about another champion, or it was withdrawn.
        DataError: The run's commits do not fit together.
    """
    found = commits.committed(store, call.run, [stage.name for stage in STAGES if stage.outputs])
    document = version_document(call, found)
    compare = found["compare"]
    fresh = Version(
        number=0,
        run=call.run,
        archive=archive_digest_of(found["package"].outputs["archive"]),
        model=document["artifacts"]["model"],
        document=put_document(store, document),
        outcome=str(compare.facts["outcome"]),
        at=at,
    )
    against, override = compare.facts["champion"], call.override
    relative = call.recipe.promotion.gate == "champion"
    refused: list[str] = []

    def change(standing: RegisteredModel) -> tuple[RegisteredModel, Event | None]:
        refused.clear()
        known = standing.of_archive(fresh.archive)
        model, version = with_version(standing, fresh)
        if override is not None and _made(standing, override):
            return standing, None  # somebody may have gone back since
        by_person = override is not None and bool(override.why)
        if reason := "" if by_person else _not_promoted(model, version, call.run, against, relative=relative):
            refused.append(reason)
            return model, Event("registered", at, call.run, reason) if known is None else None
        if standing.champion is not None and standing.champion.archive == fresh.archive:
            return standing, None
        who, why = (
            (override.by, override.why) if override is not None else (call.run, " ".join(compare.verdict.reasons))
        )
        event = Event("promoted", at, who, why or _told(compare), override.request if override is not None else "")
        return set_champion(model, version.number), event

    model = change_model(store, call.endpoint, change)
    version = model.of_archive(fresh.archive)
    if refused or version is None:
        raise NothingToDoError(" ".join(refused))
    return model, version


def _told(compare: Commit) -> str:
    reasons = compare.facts.get("reasons") or ()
    return str(reasons[0]) if reasons else ""


def _not_promoted(
    model: RegisteredModel, version: Version, run: str, against: Mapping[str, Any], *, relative: bool
) -> str:
    """Return why the decision of a run does not make this version the champion; empty: it does."""
    champion = model.champion
    if champion is not None and champion.number == version.number:
        return ""  # a revoked one too: who serves it refuses
    if champion is not None and champion.model == version.model and version.outcome == "promote":
        return ""  # the same weights under other serving settings or with another card
    name = f"Version {version.number} of {model.name}"
    if said := _said_since(model, version, run):
        return f"{name} {said}"
    if version.outcome != "promote":
        return f"{name} is registered and not promoted, its comparison said {version.outcome}."
    elsewhere = against["version"] is not None and against["name"] != model.name  # its numbers say nothing here
    if relative and (elsewhere or (champion.number if champion else None) != against["version"]):
        met = "no champion" if against["version"] is None else f"version {against['version']}"
        met += f" of {against['name']}" if elsewhere else ""
        now = "there is none now" if champion is None else f"version {champion.number} is the champion now"
        return f"{name} was compared with {met}, and {now}: start a new run of its recipe to compare them."
    return ""


def _said_since(model: RegisteredModel, version: Version, run: str) -> str:
    """Return what stands above the decision of a run since it was carried out; empty: nothing."""
    again = "so it is not promoted again by itself: `kubetune"
    if model.is_revoked(version.model):
        return f"was revoked, {again} revoke --undo` and then `kubetune promote` do that, with --why."
    if model.is_rolled_back(version.model):
        return f"was rolled back, {again} promote` does that, with --why."
    promoted = [line for line in model.history if line["event"] == "promoted" and line["version"] == version.number]
    if not version.withdrawn and any(line["by"] == run for line in promoted):
        return f"was promoted by this run before, and another was made the champion since, {again} promote` does that."
    return ""


def promote(store: Store, name: str, number: int, at: str, override: ManualOverride) -> RegisteredModel:
    """Make a registered version the champion by a manual override; a second call changes nothing.

    Raises:
        ConfigError: There is no such model or version.
        CorruptArtifactError: The store has lost files of it.
    """
    require_files(store, known(store, name).version(number))

    def change(model: RegisteredModel) -> tuple[RegisteredModel, Event | None]:
        wanted = set_champion(model, number)
        if wanted == model or _made(model, override):
            return model, None
        return wanted, Event("promoted", at, override.by, override.why, override.request)

    return change_model(store, name, change)


def roll_back(store: Store, name: str, at: str, override: ManualOverride) -> RegisteredModel:
    """Make the previous version the champion again; the present one is not promoted again by itself.

    Raises:
        ConfigError: There is no such model, or nothing to go back to.
        CorruptArtifactError: The store has lost files of the previous version.
    """
    if (previous := known(store, name).previous) is not None:
        require_files(store, previous)

    def change(model: RegisteredModel) -> tuple[RegisteredModel, Event | None]:
        if _made(model, override):
            return model, None
        if model.champion is None or model.previous is None:
            raise ConfigError(
                f"Model {name} has no previous champion to go back to: `kubetune promote` names any of its "
                f"{len(model.versions)} versions."
            )
        return demote(model, BY_PERSON), Event("rolled-back", at, override.by, override.why, override.request)

    return change_model(store, name, change)


def require_files(store: Store, version: Version) -> None:
    """Make sure that a version can be served before it becomes the champion: else every later run would fail on it.

    Raises:
        CorruptArtifactError: Its document or a file of its archive is not in the store.
    """
    missing = sorted(missing_blobs(store, files_of(read_document(store, version), "archive")))
    if missing:
        raise CorruptArtifactError(
            missing[0],
            f"Version {version.number} (run {version.run}) lacks {len(missing)} files in {store.url}: restore blob "
            f"{missing[0][:12]} from a backup, or run its recipe again.",
        )


def withdraw(store: Store, name: str, archive: str, at: str, why: str, *, keep_last: bool = False) -> RegisteredModel:
    """Take back the move that made an archive the champion, which could not be served; leaves another champion alone.

    A rollback is undone whole: one step more would lead away from what serves.

    Args:
        store: Store.
        name: Model name.
        archive: Digest of the archive.
        at: Time of day for the record (ISO 8601).
        why: One sentence.
        keep_last: Whether the last champion of the line stays: without one the next candidate is not compared.
    """

    def change(model: RegisteredModel) -> tuple[RegisteredModel, Event | None]:
        if model.champion is None or model.champion.archive != archive:
            return model, None
        move = model.last_move or {"event": "", "request": ""}
        if move["event"] == "rolled-back" and model.is_revoked(model.version(move["former"]).model):
            return model, None  # neither can be served: a person has to name a third
        if move["event"] == "rolled-back":
            return restored(model, move["former"]), Event("rollback-undone", at, "", why, move["request"])
        if keep_last and len(model.line) == 1:
            return model, None
        return demote(model, NOT_READY), Event("not-ready", at, "", why, move["request"])

    return change_model(store, name, change)


def try_again(store: Store, name: str, archive: str, at: str) -> RegisteredModel:
    """Make a version the champion again that was taken back only because it had not become ready."""

    def change(model: RegisteredModel) -> tuple[RegisteredModel, Event | None]:
        version = model.of_archive(archive)
        if version is None or version.withdrawn != NOT_READY or _overtaken(model):
            return model, None
        return set_champion(model, version.number), Event("tried-again", at, request=model.history[-1]["request"])

    return change_model(store, name, change)


def _overtaken(model: RegisteredModel) -> bool:
    """Whether anything has happened to the model since the last version was taken back."""
    return not model.history or model.history[-1]["event"] != "not-ready"


def _made(model: RegisteredModel, override: ManualOverride) -> bool:
    """Whether this very request was carried out already, and not taken back just now."""
    lines = [line for line in model.history if line["request"] == override.request] if override.request else []
    return bool(lines) and not (lines[-1]["event"] in TAKEN_BACK and lines[-1] == model.last_move)


def carried_out(model: RegisteredModel, override: ManualOverride) -> Mapping[str, Any] | None:
    """Return the line of the history by which a manual override moved the champion; None: it had nothing to move."""
    lines = (line for line in reversed(model.history) if override.request and line["request"] == override.request)
    return next((line for line in lines if line["event"] in MOVED), None)


def known(store: Store, name: str) -> RegisteredModel:
    """Return a model.

    Raises:
        ConfigError: There is none of this name.
    """
    found = read_model(store, name)
    if found is None:
        raise ConfigError(f"Model {name!r} is not registered in {store.url}: `kubetune models` lists those that are.")
    return found


def at_version(text: str) -> tuple[str, int | None]:
    """Read `MODEL` or `MODEL@VERSION`.

    Raises:
        ConfigError: The version is no number.
    """
    name, _, number = text.partition("@")
    if number and not (number.isascii() and number.isdigit() and len(number) < MOST_DIGITS):
        raise ConfigError(f"{text!r:.80} does not name a version: write MODEL@3, or MODEL for its champion.")
    return name, int(number) if number else None


def moved(model: RegisteredModel, run: str = "") -> dict[str, Any] | None:
    """Return what the last event of a model says, if it moved the champion."""
    return told_of(model.name, model.history[-1], run) if model.history else None


def told_of(name: str, line: Mapping[str, Any], run: str = "") -> dict[str, Any] | None:
    """Return what a line of a model's history says, if it moved the champion."""
    if (event := MOVED.get(str(line["event"]))) is None:
        return None
    names = {"version": "version", "former": "former"} if event == "promoted" else {"from": "former", "to": "version"}
    facts = {name: line[field] for name, field in (names | {"epoch": "epoch", "at": "at"}).items()}
    return {"event": event, "name": name, "run": run, "why": str(line["why"])[:500]} | facts
