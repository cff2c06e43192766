"""A version's state, read from its model's record, and what an event does to it: the table of `transitions`, applied.

Each operation asks here inside its one compare-and-set, so that what is refused, what changes nothing and what moves
the champion is decided against the record that it replaces.
"""

from typing import Any

from kubetune.errors import KubetuneError
from kubetune.models.transitions import (
    TABLE,
    Condition,
    Mark,
    Position,
    Transition,
    VersionEvent,
    VersionState,
)
from kubetune.storage.registry import NOT_READY, RegisteredModel, Version


def version_state(model: RegisteredModel, version: Version | None) -> VersionState:
    """Return the state of a version in its model.

    Args:
        model: As it stands in the store.
        version: By its archive, also one that is not registered yet; None: the champion that there is not.
    """
    if version is None:
        return VersionState(Position.ABSENT, Mark.NONE)
    found = model.of_archive(version.archive)
    mark = Mark.NONE
    if model.is_revoked(version.model):
        mark = Mark.REVOKED
    elif model.is_rolled_back(version.model):
        mark = Mark.ROLLED_BACK
    elif found is not None and found.withdrawn == NOT_READY:
        mark = Mark.NOT_READY
    if found is None:
        return VersionState(Position.ABSENT, mark)
    if found == model.champion:
        return VersionState(Position.CHAMPION, mark)
    return VersionState(Position.FORMER if found.number in model.line else Position.REGISTERED, mark)


def conditions_of(model: RegisteredModel, version: Version | None) -> set[Condition]:
    """Return which conditions hold of what the model's record tells; the others are the operation's to know."""
    holding = set()
    if model.previous is None:
        holding.add(Condition.NO_PREVIOUS)
    move = model.last_move
    if move is not None and move["former"] is not None and model.is_revoked(model.version(move["former"]).model):
        holding.add(Condition.LEFT_REVOKED)
    last = model.history[-1] if model.history else None
    if last is None or version is None or (last["event"], last["former"]) != ("not-ready", version.number):
        holding.add(Condition.OVERTAKEN)
    return holding


def transition_of(
    model: RegisteredModel, event: VersionEvent, version: Version | None, *further: Condition
) -> Transition:
    """Return the row of the table that an event meets.

    Args:
        model: As it stands in the store.
        event: What happens.
        version: To which version; None: to the champion that there is not.
        *further: Conditions that hold and that the record does not tell.

    Raises:
        KubetuneError: The event cannot be about such a version.
    """
    state = version_state(model, version)
    conditions = conditions_of(model, version).union(further)
    for row in TABLE:
        if row.fits(state, event, conditions):
            return row
    raise KubetuneError(f"Event {event!r} cannot be about a version that is {', '.join(state)}: this is a bug.")


def apply_event(
    model: RegisteredModel, event: VersionEvent, version: Version | None, *further: Condition, **known: Any
) -> tuple[RegisteredModel, str] | None:
    """Return the model after an event, and its word for the history; None: the event changes nothing.

    Args:
        model: As it stands in the store.
        event: What happens.
        version: To which version; None: to the champion that there is not.
        *further: Conditions that hold and that the record does not tell.
        **known: What else the sentence of a refusal says.

    Raises:
        KubetuneError: The table refuses it, by the error and the sentence of its row.
    """
    row = transition_of(model, event, version, *further)
    standing = model.of_archive(version.archive) if version is not None else None
    if row.error is not None:
        number = standing.number if standing is not None else None
        facts = {"model": model.name, "number": number, "versions": len(model.versions)}
        raise row.error(row.sentence.format(**facts, **known))
    if row.change is None or version is None:
        return None
    changed = row.change(model, standing or version)
    return None if changed == model else (changed, row.history)
