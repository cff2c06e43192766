"""Who may move an endpoint's champion, and by which recipes: what an operator decides, above recipes and runs.

A recipe says how good a model must be; whoever may start a run may write a recipe. So the bounds of an endpoint are
kept elsewhere: in the chart's values for Airflow, and in the store for whoever registers with its keys.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kubetune.config.load import canonical
from kubetune.config.recipe import Recipe
from kubetune.errors import ConfigError, RefusedError

OTHERS = "*"
"""Stands for every endpoint that has no policy of its own."""
FREE = ("description",)
"""Recipe paths that bind nothing."""
SHOWN = 5


class EndpointPolicy(BaseModel):
    """What may become the champion of an endpoint, and by whom; what is left out is open."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    recipes: tuple[str, ...] | None = None
    """Names of recipes, shipped or mounted by the chart; a run has to be of one of them, unchanged. None: of any."""
    overrides: tuple[str, ...] = ()
    """Recipe paths such as `training` or `data.limit` that a run may change in them all the same."""
    gates: tuple[Literal["champion", "thresholds"], ...] | None = None
    """Values of `promotion.gate` that are allowed; None: both."""
    approval: bool = False
    """Whether a person must agree before each registration, also where the recipe does not ask."""
    users: tuple[str, ...] | None = None
    """Airflow's users who may start runs for it (`airflow`: itself); None: everybody who may trigger the DAG."""
    approvers: tuple[str, ...] | None = None
    """Who may agree, promote manually, roll back and revoke; None: everybody who may answer or trigger."""
    documents: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """The named recipes in full, filled in where the policy is published; not for people to write."""

    def check_user(self, endpoint: str, user: str) -> None:
        """Refuse a user who may not start runs for an endpoint.

        Raises:
            RefusedError: The policy does not name the user.
        """
        if self.users is not None and user not in self.users:
            raise RefusedError(
                f"{user} may not start runs for endpoint {endpoint}: its policy allows {_names(self.users)}; state "
                "another `endpoint`, or ask who set the policy."
            )

    def check_approver(self, endpoint: str, person: str) -> None:
        """Refuse a person who may not decide for an endpoint.

        Raises:
            RefusedError: The policy does not name the person.
        """
        if self.approvers is not None and person not in self.approvers:
            raise RefusedError(
                f"{person} may not decide who serves endpoint {endpoint}: its policy allows {_names(self.approvers)}; "
                "one of them has to ask for it."
            )

    def check_recipe(self, endpoint: str, recipe: Recipe) -> None:
        """Refuse a recipe by which nothing may become the champion of an endpoint.

        Raises:
            RefusedError: Its gate is not allowed, or it is none of the named recipes.
            ConfigError: The policy names recipes and does not hold them.
        """
        gate = recipe.promotion.gate
        if self.gates is not None and gate not in self.gates:
            raise RefusedError(
                f"promotion.gate={gate} may not change endpoint {endpoint}: its policy allows {_names(self.gates)}."
            )
        if self.recipes is None:
            return
        if lacking := [name for name in self.recipes if name not in self.documents]:
            raise ConfigError(
                f"The policy of endpoint {endpoint} names recipe {lacking[0]} and does not hold it: publish it again "
                "with `kubetune store promotion`."
            )
        differ = {name: self._differing(recipe, self.documents[name]) for name in self.recipes}
        if self.recipes and min(map(len, differ.values())) == 0:
            return
        nearest = min(differ, key=lambda name: (name != recipe.name, len(differ[name]))) if differ else ""
        how = f"differs from {nearest} in {', '.join(differ[nearest][:SHOWN])}" if nearest else "is not"
        raise RefusedError(
            f"Recipe {recipe.name} {how}, and the policy of endpoint {endpoint} allows {_names(self.recipes)}"
            f"{', changed in ' + ', '.join(self.overrides) if self.overrides else ', unchanged'}."
        )

    def _differing(self, recipe: Recipe, document: Mapping[str, Any]) -> list[str]:
        """Return the paths that differ and may not; the document is read anew, for the defaults of newer keys."""
        given, allowed = _leaves(canonical(recipe)), _leaves(canonical(Recipe.model_validate(document)))
        free = (*FREE, *self.overrides)
        paths = sorted(path for path in {*given, *allowed} if given.get(path) != allowed.get(path))
        return [path for path in paths if not any(path == item or path.startswith(f"{item}.") for item in free)]


class Policies(BaseModel):
    """The policies of all endpoints."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    endpoints: Mapping[str, EndpointPolicy] = Field(default_factory=dict)
    """By endpoint; `*` for those that have none of their own."""

    def of(self, endpoint: str) -> EndpointPolicy:
        """Return the policy of an endpoint; an open one where there is none."""
        return self.endpoints.get(endpoint) or self.endpoints.get(OTHERS) or EndpointPolicy()

    def only(self, endpoint: str) -> "Policies":
        """Return the policy of one endpoint alone."""
        return Policies(endpoints={endpoint: self.of(endpoint)})

    def filled(self, find: Callable[[str], Recipe]) -> "Policies":
        """Return the policies with the recipes that they name.

        Raises:
            ConfigError: `find` knows one of them not, or an override is no path of recipes.
        """
        found = {}
        for name, policy in self.endpoints.items():
            documents = {recipe: canonical(find(recipe)) for recipe in policy.recipes or ()}
            known = {path for document in documents.values() for path in _paths(document)}
            if unknown := [path for path in policy.overrides if documents and path not in known]:
                raise ConfigError(
                    f"The policy of endpoint {name} frees {unknown[0]!r}, which is no path of its recipes: write for "
                    "example `training` or `data.limit`."
                )
            found[name] = policy.model_copy(update={"documents": documents})
        return Policies(endpoints=found)


def parse_policies(value: Any, origin: str) -> Policies:
    """Return the policies in a mapping of endpoints.

    Raises:
        ConfigError: It does not fit; all errors are listed.
    """
    try:
        return Policies.model_validate({"endpoints": value})
    except ValidationError as error:
        lines = [f"`{'.'.join(map(str, item['loc'][1:]))}`: {item['msg']}" for item in error.errors()]
        raise ConfigError(f"{origin} has errors: " + " | ".join(lines)) from error


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "nobody"


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Values by dotted path; a list is one value, since its order may matter."""
    if not isinstance(value, dict) or not value:
        return {path: value}
    found: dict[str, Any] = {}
    for name, item in value.items():
        found |= _leaves(item, f"{path}.{name}".lstrip("."))
    return found


def _paths(value: Any, path: str = "") -> set[str]:
    """All dotted paths, those of sections too."""
    inner = value.items() if isinstance(value, dict) else ()
    below = (_paths(item, f"{path}.{name}".lstrip(".")) for name, item in inner)
    return set().union({path} if path else set(), *below)
