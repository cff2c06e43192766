"""Policies meet store and settings: which bind here, and what they say to a stage and to a manual override."""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from kubetune import layout
from kubetune.config.policy import EndpointPolicy, Policies, parse_policies
from kubetune.config.settings import Settings
from kubetune.errors import ConfigError
from kubetune.plan import StageCall
from kubetune.schema.yaml_text import MOST_CLUSTER_CHARACTERS, YamlTextError, read_yaml
from kubetune.storage.base import Store
from kubetune.storage.records import find_whole, update

FORMAT = 1


def policies_of(settings: Settings, store: Store, endpoint: str) -> tuple[EndpointPolicy, ...]:
    """Return the policies that bind an endpoint here: that of this process, and that of the store; mostly none.

    Raises:
        KubetuneError: The store's record is broken: to go on without it would open every endpoint.
        ConfigError: That of this process cannot be read.
    """
    found = []
    if settings.policies is not None:
        found.append(own_policies(settings))
    if (stored := stored_policies(store)) is not None:
        found.append(stored)
    return tuple(policies.of(endpoint) for policies in found)


def own_policies(settings: Settings) -> Policies:
    """Return the policies that this process was given.

    Raises:
        ConfigError: They cannot be read.
    """
    try:
        value = read_yaml(settings.policies or "{}", MOST_CLUSTER_CHARACTERS)
    except YamlTextError as error:
        raise ConfigError(f"The policies are no YAML ({error}): give a map of endpoints.") from error
    return parse_policies(value or {}, "The policies")


def stored_policies(store: Store) -> Policies | None:
    """Return what an operator has put into the store; None: nothing, so that every endpoint is open.

    Raises:
        KubetuneError: It is broken, or of a newer version.
    """
    return find_whole(store, layout.POLICIES, _parse_record).value


def put_policies(store: Store, policies: Policies) -> bool:
    """Put policies in the place of those that are there; says whether anything changed."""
    record = {"format": FORMAT, "policies": policies.model_dump(mode="json")}
    changed = False

    def change(standing: Policies | None) -> Mapping[str, Any] | None:
        nonlocal changed
        changed = standing != policies
        return record if changed else None

    update(store, layout.POLICIES, _parse_record, change)  # an operator may replace what is broken
    return changed


def asks_for_approval(policies: Sequence[EndpointPolicy], call: StageCall) -> bool:
    """Whether a person has to agree before a stage: by its recipe, or by a policy of its endpoint."""
    switch = call.stage.approval
    return switch is not None and (attrgetter(switch)(call.recipe) or any(policy.approval for policy in policies))


def permit_registration(policies: Sequence[EndpointPolicy], call: StageCall, *, settled: bool = False) -> None:
    """Refuse what the policies of its endpoint do not let become the champion.

    Args:
        policies: Of the endpoint.
        call: Of stage `register`.
        settled: Whether it is the champion already: then nobody's approval is needed for what it is.

    Raises:
        RefusedError: By its recipe, its gate, or the person who approved.
        ConfigError: A person's approval is asked for, and nobody gave it.
    """
    for policy in () if settled else policies:
        policy.check_recipe(call.endpoint, call.recipe)
    if call.override is None:
        if asks_for_approval(policies, call):
            by = f"Recipe {call.recipe.name}" if call.recipe.promotion.approval else f"The policy of {call.endpoint}"
            raise ConfigError(
                f"{by} asks for approval before stage register: a person gives it with `kubetune stage register --run "
                f"{call.run} --endpoint {call.endpoint} --by NAME`."
            )
    elif not settled:
        permit_override(policies, call.endpoint, call.override.by)


def permit_override(policies: Sequence[EndpointPolicy], endpoint: str, person: str) -> None:
    """Refuse a person who may not decide for an endpoint.

    Raises:
        RefusedError: A policy does not name the person.
    """
    for policy in policies:
        policy.check_approver(endpoint, person)


def _parse_record(value: Mapping[str, Any]) -> Policies:
    if value["format"] != FORMAT:
        raise ValueError("unknown format")
    return Policies.model_validate(value["policies"])
