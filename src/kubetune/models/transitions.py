"""The life of a registered version as one table: in which state which event is allowed, and what follows.

Of the rows the first that fits counts. `lifecycle` reads a version's state from the record and asks this table; no
operation decides by itself whether an event is allowed. The diagram of docs/promotion.md is made from it.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import NamedTuple, TypeAlias

from kubetune.errors import ConfigError, DataError, KubetuneError, NothingToDoError, RefusedError
from kubetune.storage.registry import (
    BY_PERSON,
    NOT_READY,
    RegisteredModel,
    Version,
    demote,
    reinstated,
    restored,
    revoked,
    set_champion,
    with_version,
)


class Position(StrEnum):
    """Where a version stands in its model."""

    ABSENT = "absent"
    REGISTERED = "registered"
    FORMER = "former champion"
    CHAMPION = "champion"


class Mark(StrEnum):
    """What stands against a version: `not ready` against its archive, the others against its weights in any archive."""

    NONE = "no mark"
    NOT_READY = "not ready"
    ROLLED_BACK = "rolled back"
    REVOKED = "revoked"


class VersionState(NamedTuple):
    """The state of a version: two things of which an event changes one or both."""

    position: Position
    mark: Mark


class VersionEvent(StrEnum):
    """What can happen to a version; `event_rules` says what each is."""

    COMPARE = "compare"
    REGISTER = "register"
    DECISION_PROMOTE = "decision: promote"
    DECISION_SAME_WEIGHTS = "decision: same weights"
    DECISION_KEEP = "decision: keep"
    DECISION_STALE = "decision: stale"
    DECISION_CARRIED_OUT = "decision: carried out"
    OVERRIDE = "override"
    PROMOTE = "promote"
    ROLL_BACK = "roll back"
    REVOKE = "revoke"
    REINSTATE = "reinstate"
    DELETE = "delete"
    SERVE = "serve"
    TAKE_BACK = "take back"
    UNDO_ROLLBACK = "undo rollback"
    TRY_AGAIN = "try again"


class Condition(StrEnum):
    """What a row may ask of more than the version's state."""

    NO_PREVIOUS = "no former champion but revoked ones"
    LEFT_REVOKED = "the version that the rollback left is revoked"
    OVERTAKEN = "something has happened to the model since"
    KEEP_LAST = "no other champion, and another archive serves or the failure is the machine's"
    SERVED = "an endpoint of this name is recorded"


Change: TypeAlias = Callable[[RegisteredModel, Version], RegisteredModel]


@dataclass(frozen=True)
class Transition:
    """A row of the table.

    Attributes:
        events: It is about one of them.
        positions: The version stands at one of them.
        marks: It bears one of them.
        condition: Holds too; None: nothing more is asked for.
        to: Position afterwards; None: the same.
        mark: Mark afterwards, unless the same weights bear one in another archive; None: the same.
        change: Returns the changed record; None: the record is left as it is.
        other: Position of another version before and after: the champion that is replaced, or the one that comes back.
        history: Word for the model's history; empty: no line.
        error: Makes the error of a refusal; None: the row allows the event.
        sentence: Of the refusal, with `{model}`, `{number}`, `{versions}` and what the operation fills in.
    """

    events: tuple[VersionEvent, ...]
    positions: tuple[Position, ...]
    marks: tuple[Mark, ...] = tuple(Mark)
    condition: Condition | None = None
    to: Position | None = None
    mark: Mark | None = None
    change: Change | None = None
    other: tuple[Position, Position] | None = None
    history: str = ""
    error: Callable[[str], KubetuneError] | None = None
    sentence: str = ""

    def fits(self, state: VersionState, event: VersionEvent, conditions: Collection[Condition]) -> bool:
        """Whether this row is about a version in this state, this event and what holds besides."""
        about = event in self.events and state.position in self.positions and state.mark in self.marks
        return about and (self.condition is None or self.condition in conditions)

    def after(self, state: VersionState) -> VersionState:
        """Return the state that follows."""
        return VersionState(self.to or state.position, self.mark or state.mark)


def _add(model: RegisteredModel, version: Version) -> RegisteredModel:
    return with_version(model, version)[0]


def _set_champion(model: RegisteredModel, version: Version) -> RegisteredModel:
    return set_champion(model, version.number)


def _roll_back(model: RegisteredModel, _: Version) -> RegisteredModel:
    return demote(model, BY_PERSON)


def _take_back(model: RegisteredModel, _: Version) -> RegisteredModel:
    return demote(model, NOT_READY)


def _undo_rollback(model: RegisteredModel, _: Version) -> RegisteredModel:
    return restored(model, (model.last_move or {})["former"])


def _revoke(model: RegisteredModel, version: Version) -> RegisteredModel:
    return revoked(model, version.model)


def _reinstate(model: RegisteredModel, version: Version) -> RegisteredModel:
    return reinstated(model, version.model)


E, P, M, C = VersionEvent, Position, Mark, Condition
OTHERS = (P.REGISTERED, P.FORMER)
KNOWN = (*OTHERS, P.CHAMPION)
NOT_CHAMPION = (P.ABSENT, *OTHERS)
DECISIONS = (E.DECISION_PROMOTE, E.DECISION_SAME_WEIGHTS, E.DECISION_KEEP, E.DECISION_STALE, E.DECISION_CARRIED_OUT)
"""What the decision of a run may say of its version; its person, where one is asked, has agreed before."""
DEMOTED, REPLACED = (P.FORMER, P.CHAMPION), (P.CHAMPION, P.FORMER)

_stays = Transition
_refuses = Transition
_promotes = partial(Transition, to=P.CHAMPION, mark=M.NONE, change=_set_champion, other=REPLACED, history="promoted")
_demotes = partial(Transition, to=P.REGISTERED, other=DEMOTED)
_rolls_back = partial(_demotes, change=_roll_back, history="rolled-back")
_takes_back = partial(_demotes, change=_take_back, history="not-ready")

VERSION, AGAIN = "Version {number} of {model}", "so it is not promoted again by itself: `kubetune"
REVOKED_SENTENCE = (
    f"{VERSION} is revoked, so nobody promotes it: `kubetune revoke {{model}}@{{number}} --undo` reinstates it, with "
    "--why."
)

TABLE: tuple[Transition, ...] = (
    _stays((E.COMPARE,), tuple(P)),
    Transition((E.REGISTER,), (P.ABSENT,), to=P.REGISTERED, change=_add, history="registered"),
    _stays((E.REGISTER,), KNOWN, change=_add),  # it is the one that was registered last
    _stays(DECISIONS, (P.CHAMPION,)),  # a revoked one too: who serves it refuses
    _refuses((E.DECISION_SAME_WEIGHTS,), OTHERS, (M.REVOKED,), error=RefusedError, sentence=REVOKED_SENTENCE),
    _promotes((E.DECISION_SAME_WEIGHTS,), OTHERS),
    _refuses(
        DECISIONS, OTHERS, (M.REVOKED,), error=NothingToDoError,
        sentence=f"{VERSION} was revoked, {AGAIN} revoke --undo` and then `kubetune promote` do that, with --why.",
    ),
    _refuses(
        DECISIONS, OTHERS, (M.ROLLED_BACK,), error=NothingToDoError,
        sentence=f"{VERSION} was rolled back, {AGAIN} promote` does that, with --why.",
    ),
    _refuses(
        (E.DECISION_CARRIED_OUT,), OTHERS, error=NothingToDoError,
        sentence=f"{VERSION} was promoted by this run before, and another was made the champion since, {AGAIN} "
        "promote` does that.",
    ),
    _refuses(
        (E.DECISION_KEEP,), OTHERS, error=NothingToDoError,
        sentence=f"{VERSION} is registered and not promoted, its comparison said {{outcome}}.",
    ),
    _refuses(
        (E.DECISION_STALE,), OTHERS, error=NothingToDoError,
        sentence=f"{VERSION} was compared with {{met}}, and {{now}}: start a new run of its recipe to compare them.",
    ),
    _promotes((E.DECISION_PROMOTE,), OTHERS),
    _refuses(
        (E.PROMOTE, E.REVOKE, E.REINSTATE), (P.ABSENT,), error=ConfigError,
        sentence="Model {model} has no such version any more: `kubetune models` lists those that it has.",
    ),
    _stays((E.OVERRIDE,), (P.CHAMPION,)),
    _refuses((E.OVERRIDE, E.PROMOTE), KNOWN, (M.REVOKED,), error=RefusedError, sentence=REVOKED_SENTENCE),
    _promotes((E.PROMOTE,), (P.CHAMPION,), other=None),  # one that was reinstated loses its mark
    _promotes((E.OVERRIDE, E.PROMOTE), OTHERS),
    _refuses(
        (E.ROLL_BACK,), (P.ABSENT, P.CHAMPION), condition=C.NO_PREVIOUS, error=ConfigError,
        sentence="Model {model} has no previous champion to go back to: `kubetune promote` names any of its {versions} "
        "versions.",
    ),
    _rolls_back((E.ROLL_BACK,), (P.CHAMPION,), (M.REVOKED,)),
    _rolls_back((E.ROLL_BACK,), (P.CHAMPION,), mark=M.ROLLED_BACK),
    _stays((E.REVOKE,), KNOWN, (M.REVOKED,)),
    Transition((E.REVOKE,), (P.CHAMPION,), mark=M.REVOKED, change=_revoke, history="revoked"),
    Transition((E.REVOKE,), OTHERS, to=P.REGISTERED, mark=M.REVOKED, change=_revoke, history="revoked"),
    Transition((E.REINSTATE,), KNOWN, (M.REVOKED,), mark=M.ROLLED_BACK, change=_reinstate, history="reinstated"),
    _stays((E.REINSTATE,), KNOWN),
    _refuses(
        (E.DELETE,), tuple(P), condition=C.SERVED, error=ConfigError,
        sentence="Model {model} has a champion that endpoint {model} serves: `kubetune stop {model}` and `kubetune "
        "endpoints delete {model}` first; nothing was deleted.",
    ),
    Transition((E.DELETE,), tuple(P), to=P.ABSENT, mark=M.NONE),  # the whole record goes
    _refuses(
        (E.SERVE,), (P.ABSENT,), error=ConfigError,
        sentence="Model {model} has no champion, so there is nothing to serve: `kubetune promote` names one, or run "
        "its recipe.",
    ),
    _refuses(
        (E.SERVE,), (P.CHAMPION,), (M.REVOKED,), error=partial(DataError, "revoked"),
        sentence=f"{VERSION} is the champion and was revoked: `kubetune rollback {{model}}` brings back the one before "
        "it, `kubetune promote` names another; until then what serves is left alone.",
    ),
    _stays((E.SERVE,), (P.CHAMPION,)),
    _stays((E.TAKE_BACK, E.UNDO_ROLLBACK), NOT_CHAMPION),  # somebody moved the champion meanwhile
    _stays((E.TAKE_BACK,), (P.CHAMPION,), condition=C.KEEP_LAST),  # else the next candidate is not compared
    _takes_back((E.TAKE_BACK,), (P.CHAMPION,), (M.REVOKED,)),
    _takes_back((E.TAKE_BACK,), (P.CHAMPION,), mark=M.NOT_READY),
    _stays((E.UNDO_ROLLBACK,), (P.CHAMPION,), condition=C.LEFT_REVOKED),  # a person has to name a third
    Transition((E.UNDO_ROLLBACK,), (P.CHAMPION,), to=P.FORMER, change=_undo_rollback,
               other=(P.REGISTERED, P.CHAMPION), history="rollback-undone"),
    _stays((E.TRY_AGAIN,), OTHERS, (M.NOT_READY,), condition=C.OVERTAKEN),
    _promotes((E.TRY_AGAIN,), OTHERS, (M.NOT_READY,), history="tried-again"),
    _stays((E.TRY_AGAIN,), tuple(P)),
)  # fmt: skip
