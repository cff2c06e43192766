"""What stage `register` does in the store, and what a manual override does: versions, promotion, rollback.

Each of them is one compare-and-set of the model's record, so that a process may die at any line and be repeated.
"""

from collections.abc import Mapping
from typing import Any

from kubetune.errors import ConfigError, CorruptArtifactError, NothingToDoError
from kubetune.models.lifecycle import apply_event
from kubetune.models.lineage import version_document
from kubetune.models.transitions import Condition, VersionEvent
from kubetune.plan import ManualOverride, StageCall
from kubetune.stages import STAGES
from kubetune.storage import commits
from kubetune.storage.base import Store
from kubetune.storage.blobs import missing_blobs
from kubetune.storage.commit_record import Commit
from kubetune.storage.registry import Event, RegisteredModel, Version, change_model, read_model
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
        if override is not None and _made(standing, override):
            return standing, None  # somebody may have gone back since
        added = apply_event(standing, VersionEvent.REGISTER, fresh)
        model, registered = added or (standing, "")
        version = model.of_archive(fresh.archive) or fresh
        by_person = override is not None and bool(override.why)
        event = VersionEvent.OVERRIDE if by_person else _decision(model, version, call.run, against, relative=relative)
        try:
            promoted = apply_event(model, event, version, outcome=version.outcome, **_compared(model, against))
        except NothingToDoError as error:
            refused.append(str(error))
            return model, Event(registered, at, call.run, str(error)) if registered else None
        if promoted is None:
            return standing, None
        who, why = (
            (override.by, override.why) if override is not None else (call.run, " ".join(compare.verdict.reasons))
        )
        request = override.request if override is not None else ""
        return promoted[0], Event(promoted[1], at, who, why or _told(compare), request)

    model = change_model(store, call.endpoint, change)
    version = model.of_archive(fresh.archive)
    if refused or version is None:
        raise NothingToDoError(" ".join(refused))
    return model, version


def _told(compare: Commit) -> str:
    reasons = compare.facts.get("reasons") or ()
    return str(reasons[0]) if reasons else ""


def _decision(
    model: RegisteredModel, version: Version, run: str, against: Mapping[str, Any], *, relative: bool
) -> VersionEvent:
    """Return what the decision of a run says of its version now."""
    champion, promotes = model.champion, version.outcome == "promote"
    if champion is not None and champion.model == version.model and promotes:
        return VersionEvent.DECISION_SAME_WEIGHTS  # under other serving settings or with another card
    promoted = [line for line in model.history if line["event"] == "promoted" and line["version"] == version.number]
    if not version.withdrawn and any(line["by"] == run for line in promoted):
        return VersionEvent.DECISION_CARRIED_OUT
    if not promotes:
        return VersionEvent.DECISION_KEEP
    if relative and (_is_of_another(model, against) or (champion.number if champion else None) != against["version"]):
        return VersionEvent.DECISION_STALE
    return VersionEvent.DECISION_PROMOTE


def _is_of_another(model: RegisteredModel, against: Mapping[str, Any]) -> bool:
    """Whether the champion that was compared with is another model's, whose numbers say nothing here."""
    return against["version"] is not None and against["name"] != model.name


def _compared(model: RegisteredModel, against: Mapping[str, Any]) -> dict[str, str]:
    """Say whom a decision was made against, and who is the champion now."""
    met = "no champion" if against["version"] is None else f"version {against['version']}"
    met += f" of {against['name']}" if _is_of_another(model, against) else ""
    champion = model.champion
    now = "there is none now" if champion is None else f"version {champion.number} is the champion now"
    return {"met": met, "now": now}


def promote(store: Store, name: str, number: int, at: str, override: ManualOverride) -> RegisteredModel:
    """Make a registered version the champion by a manual override; a second call changes nothing.

    Raises:
        ConfigError: There is no such model or version.
        RefusedError: It is revoked.
        CorruptArtifactError: The store has lost files of it.
    """
    require_files(store, known(store, name).version(number))

    def change(model: RegisteredModel) -> tuple[RegisteredModel, Event | None]:
        promoted = apply_event(model, VersionEvent.PROMOTE, model.version(number))
        if promoted is None or _made(model, override):
            return model, None
        return promoted[0], Event(promoted[1], at, override.by, override.why, override.request)

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
        back = apply_event(model, VersionEvent.ROLL_BACK, model.champion)
        if back is None:
            return model, None
        return back[0], Event(back[1], at, override.by, override.why, override.request)

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
        move = model.last_move or {"event": "", "request": ""}
        event = VersionEvent.UNDO_ROLLBACK if move["event"] == "rolled-back" else VersionEvent.TAKE_BACK
        further = (Condition.KEEP_LAST,) if keep_last and len(model.line) == 1 else ()
        back = apply_event(model, event, model.of_archive(archive), *further)
        return (back[0], Event(back[1], at, "", why, move["request"])) if back is not None else (model, None)

    return change_model(store, name, change)


def try_again(store: Store, name: str, archive: str, at: str) -> RegisteredModel:
    """Make a version the champion again that was taken back only because it had not become ready."""

    def change(model: RegisteredModel) -> tuple[RegisteredModel, Event | None]:
        again = apply_event(model, VersionEvent.TRY_AGAIN, model.of_archive(archive))
        return (again[0], Event(again[1], at, request=model.history[-1]["request"])) if again else (model, None)

    return change_model(store, name, change)


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
