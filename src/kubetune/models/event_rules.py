"""Who may cause which event of a registered version, and which of the four records it writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from types import MappingProxyType

from kubetune.config.settings import Settings
from kubetune.execution.policies import permit_override, policies_of
from kubetune.models.transitions import E, VersionEvent
from kubetune.storage.base import Store


class Actor(StrEnum):
    """Who may cause an event."""

    RUN = "a run"
    APPROVER = "an approver"
    DEPLOYMENT = "a deployment"


@dataclass(frozen=True)
class EventRule:
    """What an event is, who may cause it, and what it writes; an empty record is not touched.

    Attributes:
        by: Who.
        cause: By what.
        model: What it does to the model's record.
        endpoint: To the endpoint's record.
        comparisons: To the list of comparisons.
        statements: To the statements, and to the list of revoked versions.
    """

    by: Actor
    cause: str
    model: str = ""
    endpoint: str = ""
    comparisons: str = ""
    statements: str = ""


_decides = partial(EventRule, Actor.RUN)
RULES: Mapping[VersionEvent, EventRule] = MappingProxyType(
    {
        E.COMPARE: EventRule(
            Actor.RUN,
            "stage `compare`",
            comparisons="counted once, before it is made; not where too few rows rule it out",
        ),
        E.REGISTER: EventRule(
            Actor.RUN,
            "stage `register`",
            "gains the version, with what its decision says",
            statements="signed before the record names it",
        ),
        E.DECISION_PROMOTE: _decides("its decision, made against the present champion or by thresholds", "champion"),
        E.DECISION_SAME_WEIGHTS: _decides("its decision, for the champion's weights in another archive", "champion"),
        E.DECISION_KEEP: _decides("its decision: keep, or undecided"),
        E.DECISION_STALE: _decides("its decision, made against another champion"),
        E.DECISION_CARRIED_OUT: _decides("its decision, which made it the champion before"),
        E.OVERRIDE: EventRule(Actor.APPROVER, "`kubetune promote RUN --why`", "gains the version; champion"),
        E.PROMOTE: EventRule(Actor.APPROVER, "`kubetune promote MODEL@VERSION --why`", "champion"),
        E.ROLL_BACK: EventRule(Actor.APPROVER, "`kubetune rollback MODEL --why`", "champion"),
        E.REVOKE: EventRule(
            Actor.APPROVER,
            "`kubetune revoke MODEL@VERSION --why`",
            "mark",
            statements="the list gains its weights, before the mark",
        ),
        E.REINSTATE: EventRule(
            Actor.APPROVER,
            "`kubetune revoke MODEL@VERSION --undo`",
            "mark",
            statements="the list loses its weights, after the mark",
        ),
        E.DELETE: EventRule(Actor.APPROVER, "`kubetune models delete MODEL`", "removed whole"),
        E.SERVE: EventRule(
            Actor.DEPLOYMENT,
            "stage `deploy`, `kubetune promote`, `kubetune rollback`",
            endpoint="desired before it is served; observed once it serves; desired reverted where it does not",
        ),
        E.TAKE_BACK: EventRule(Actor.DEPLOYMENT, "a champion by promotion that cannot be served", "champion"),
        E.UNDO_ROLLBACK: EventRule(Actor.DEPLOYMENT, "a champion by rollback that cannot be served", "champion"),
        E.TRY_AGAIN: EventRule(Actor.DEPLOYMENT, "stage `deploy` of its own run, again", "champion"),
    }
)


def permit_event(event: VersionEvent, settings: Settings, store: Store, name: str, person: str) -> None:
    """Refuse a person who may not cause an event of a model, by the policies of its endpoint.

    Raises:
        RefusedError: The event is an approver's, and a policy does not name the person.
    """
    if RULES[event].by is Actor.APPROVER:
        permit_override(policies_of(settings, store, name), name, person)
