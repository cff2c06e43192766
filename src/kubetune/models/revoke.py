"""A person ends the signatures of a version, or takes that back: in the signed list first, where archives are checked.

The list stops who serves, the registry's mark stops who promotes. A process may die between the two and be repeated:
it never leaves a list that says less than the registry.
"""

from dataclasses import dataclass, replace

from kubetune.config.settings import Settings
from kubetune.errors import ConfigError
from kubetune.models.event_rules import permit_event
from kubetune.models.lifecycle import apply_event
from kubetune.models.register import at_version, known
from kubetune.models.sign import sign_revocations
from kubetune.models.transitions import VersionEvent
from kubetune.plan import ManualOverride
from kubetune.provenance.revocations import Revocation, Revocations
from kubetune.storage.base import Store
from kubetune.storage.registry import Event, RegisteredModel, Version, change_model


@dataclass(frozen=True)
class Revoked:
    """What stands after a version was revoked or reinstated.

    Attributes:
        model: Its model.
        version: The version.
        epoch: Of the signed list; None where nothing is signed.
    """

    model: RegisteredModel
    version: Version
    epoch: int | None


def revoke(
    store: Store, settings: Settings, what: str, at: str, override: ManualOverride, *, undo: bool = False
) -> Revoked:
    """End the signatures of a version's weights as its model's, or take that back; a second call changes nothing.

    Args:
        store: Store.
        settings: With the signing key, where archives are signed.
        what: `MODEL@VERSION`.
        at: Time of day for the records (ISO 8601).
        override: Who, and why.
        undo: Reinstate it; it may be promoted again, by a manual override.

    Raises:
        ConfigError: There is no such version, or a signed list and no key.
        RefusedError: The policy of the endpoint does not let this person decide.
        DataError: The list that stands is not to be signed; see `sign_revocations`.
    """
    name, number = at_version(what)
    if number is None:
        raise ConfigError(f"{what!r:.80} names no version: write MODEL@3, `kubetune models MODEL` lists them.")
    version = known(store, name).version(number)
    event = VersionEvent.REINSTATE if undo else VersionEvent.REVOKE
    permit_event(event, settings, store, name, override.by)
    entry = Revocation(name, number, version.archive, version.model, override.by, override.why, at)

    def listed(standing: Revocations) -> Revocations:
        # By weights, since a run that is packaged anew makes another archive of them.
        others = tuple(item for item in standing.entries if (item.model, item.weights) != (name, version.model))
        if undo:
            return replace(standing, entries=others)
        return standing if len(others) < len(standing.entries) else replace(standing, entries=(*others, entry))

    def marked(model: RegisteredModel) -> tuple[RegisteredModel, Event | None]:
        changed = apply_event(model, event, version)
        if changed is None:
            return model, None
        return changed[0], Event(changed[1], at, override.by, override.why, override.request, about=number)

    if undo:  # else the registry would say more than the list, and nothing could be signed until this is repeated
        change_model(store, name, marked)
    signed = sign_revocations(store, settings, name, listed)
    model = known(store, name) if undo else change_model(store, name, marked)
    return Revoked(model, model.version(number), signed.epoch if signed is not None else None)
