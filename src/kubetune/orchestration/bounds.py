"""What the policies of endpoints let a person ask Airflow for; the pods that move a champion look again."""

from collections.abc import Iterable
from pathlib import Path

from kubetune.config.cluster import ClusterSettings
from kubetune.orchestration.requests import PromoteRequest, find_recipe
from kubetune.plan import StageCall


def with_recipes(cluster: ClusterSettings, folder: Path) -> ClusterSettings:
    """Return the settings with the recipes that its policies name: those of a folder, and shipped ones."""
    policies = cluster.policies.filled(lambda name: find_recipe(name, [], folder))
    return cluster.model_copy(update={"policies": policies})


def check_runs(runs: Iterable[tuple[StageCall, ...]], user: str, cluster: ClusterSettings) -> None:
    """Refuse runs that the policies of their endpoints do not allow a user.

    Args:
        runs: The plan of each run.
        user: Airflow's user who asks.
        cluster: Platform settings, see `with_recipes`.

    Raises:
        RefusedError: By the user, a recipe or its gate.
    """
    for call, *_ in runs:
        policy = cluster.policies.of(call.endpoint)
        policy.check_user(call.endpoint, user)
        policy.check_recipe(call.endpoint, call.recipe)


def check_word(endpoint: str | None, person: str, cluster: ClusterSettings) -> None:
    """Refuse a person who may not decide for an endpoint; where only the store knows it, the pod does.

    Raises:
        RefusedError: The policy does not name the person.
    """
    if endpoint is not None:
        cluster.policies.of(endpoint).check_approver(endpoint, person)


def endpoint_of(request: PromoteRequest) -> str | None:
    """Return the endpoint that a promotion is about; None: that of a run's recipe, which the store knows."""
    model, at, _ = request.what.partition("@")
    return model if at else request.endpoint
