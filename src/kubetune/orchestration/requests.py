"""What a person asks Airflow for, checked by the recipe's own model and turned into pods. Imports no Airflow."""

import difflib
import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from kubetune.config.load import canonical, parse_recipe, shipped_recipes
from kubetune.config.recipe import Recipe
from kubetune.errors import ConfigError
from kubetune.layout import RUN_PATTERN, RUN_RULE
from kubetune.plan import StageCall, plan
from kubetune.redaction import quoted, secret_in

MOST_TRIALS = 20
"""The recipe of each trial travels in pod arguments, which have a size limit; a wider search is several sweeps."""
SECTIONS = ", ".join(Recipe.model_fields)
RUN = rf"^{RUN_PATTERN.pattern}$"
WHY_MOST = 500
RECIPE_HELP = "Name of a recipe that is shipped or that the chart mounts, or the text of one (YAML)."


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunRequest(_Request):
    """Params of DAG `finetune`."""

    recipe: str = Field(min_length=1, title="Recipe", description=RECIPE_HELP)
    overrides: list[str] = Field(
        default=[],
        title="Overrides",
        description=f"`section.key=value`, one a line, for example `training.epochs=2`. Sections: {SECTIONS}.",
    )
    run: str | None = Field(
        default=None, pattern=RUN, title="Run", description=f"Run id: {RUN_RULE}. Empty: made from the recipe's name."
    )
    endpoint: str | None = Field(
        default=None, pattern=RUN, title="Endpoint", description="Endpoint to deploy to. Empty: the recipe's name."
    )


class SweepRequest(_Request):
    """Params of DAG `finetune_many`."""

    recipes: list[str] = Field(min_length=1, title="Recipes", description=f"One or more. {RECIPE_HELP}")
    grid: dict[str, list[Any]] = Field(
        default={},
        title="Grid",
        description='Values to try, each with each: `{"training.learning_rate": [1e-4, 2e-4]}`. '
        f"At most {MOST_TRIALS} trials.",
    )
    overrides: list[str] = Field(default=[], title="Overrides", description="`section.key=value` for all trials.")
    sweep: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$",
        title="Sweep",
        description="Name; trials are `<sweep>-<n>`. Empty: made from the first recipe's name.",
    )
    endpoint: str | None = Field(
        default=None, pattern=RUN, title="Endpoint", description="Endpoint for the winner. Empty: the recipe's name."
    )


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("it has to be one line of printable characters: say it in a sentence")
    if (kind := secret_in(text)) is not None:
        raise ValueError(f"it holds {kind} and is kept beside the change: leave that out")
    return text


Why = Annotated[
    str,
    AfterValidator(_one_line),
    Field(min_length=1, max_length=WHY_MOST, title="Why", description="One sentence; it is kept beside the change."),
]


class PromoteRequest(_Request):
    """Params of DAG `promote`."""

    what: str = Field(
        pattern=rf"^{RUN_PATTERN.pattern}(@[1-9][0-9]{{0,8}})?$",
        title="What",
        description="A run that passed its thresholds, or `MODEL@VERSION` (`kubetune models` lists them).",
    )
    why: Why
    endpoint: str | None = Field(
        default=None,
        pattern=RUN,
        title="Endpoint",
        description="For a run that was made for another endpoint than that of its recipe's name.",
    )


class RollbackRequest(_Request):
    """Params of DAG `rollback`."""

    model: str = Field(pattern=RUN, title="Model", description="Model whose former champion is to serve again.")
    why: Why


class RevokeRequest(_Request):
    """Params of DAG `revoke`."""

    version: str = Field(
        pattern=rf"^{RUN_PATTERN.pattern}@[1-9][0-9]{{0,8}}$",
        title="Version",
        description="`MODEL@VERSION` (`kubetune models` lists them) that nobody is to serve or promote any more.",
    )
    why: Why
    undo: bool = Field(default=False, title="Undo", description="Reinstate it: a person may promote it again.")


Request = TypeVar("Request", bound=_Request)


def read_request(model: type[Request], params: Mapping[str, Any], conf: Mapping[str, Any]) -> Request:
    """Return what was asked for.

    Args:
        model: One of the models above.
        params: Airflow's params, defaults included.
        conf: What the trigger sent; a key that is no param would otherwise be dropped in silence.

    Raises:
        ConfigError: A key is unknown or a value not allowed; all of them are listed.
    """
    problems = []
    for key in conf:
        if key not in model.model_fields:
            near = difflib.get_close_matches(key, model.model_fields, n=1)
            hint = f"did you mean `{near[0]}`? " if near else ""
            problems.append(f"`{key}` is not a known key: {hint}allowed are {', '.join(model.model_fields)}")
    try:
        request = model.model_validate({key: params[key] for key in model.model_fields if key in params})
    except ValidationError as error:
        problems += [
            f"`{'.'.join(map(str, item['loc']))}`: {item['msg']} (found {quoted(item['input'])})"
            for item in error.errors()
        ]
    if problems:
        raise ConfigError("The trigger's conf has errors: " + " | ".join(problems))
    return request


def check_promotion(request: PromoteRequest) -> PromoteRequest:
    """Return the request.

    Raises:
        ConfigError: A version, which belongs to one model, is asked for on another endpoint.
    """
    if "@" in request.what and request.endpoint is not None:
        raise ConfigError(f"Version {request.what} serves on its model's own endpoint: leave `endpoint` out.")
    return request


def find_recipe(given: str, overrides: list[str], folder: Path) -> Recipe:
    """Return the recipe of a mounted name, of a shipped name or of YAML text. Never reads another file.

    Raises:
        ConfigError: There is no such recipe, or it has errors; all of them are listed.
    """
    if "\n" in given.strip() or ": " in given or given.lstrip().startswith("{"):
        return parse_recipe(given, overrides)
    mounted = {path.stem: path for path in sorted(folder.glob("*.yaml"))} if folder.is_dir() else {}
    shipped = shipped_recipes()
    name = given.strip().removesuffix(".yaml")
    if name in mounted:
        return parse_recipe(mounted[name].read_text(encoding="utf-8"), overrides, origin=name)
    if name in shipped:
        return parse_recipe(shipped[name], overrides, origin=name)
    near = difflib.get_close_matches(name, [*mounted, *shipped], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    own = f"mounted are {', '.join(mounted)}; " if mounted else ""
    raise ConfigError(
        f"Recipe {quoted(given)} does not exist: {hint}shipped are {', '.join(shipped)}; {own}"
        "a recipe of your own is given as its YAML text, or mounted by the chart's value `recipes`."
    )


def run_name(request: RunRequest, recipe: Recipe, dag_run_id: str) -> str:
    """Return the run id: the one asked for, else Airflow's own where it is one, else made of the two names.

    The same trigger always gives the same id, so that a retry is the same run.
    """
    if request.run is not None:
        return request.run
    return dag_run_id if RUN_PATTERN.fullmatch(dag_run_id) else made_name(recipe.name, dag_run_id)


def made_name(name: str, dag_run_id: str) -> str:
    """Return a name that is different for each trigger and the same for its retries."""
    return f"{name}-{hashlib.sha256(dag_run_id.encode()).hexdigest()[:8]}"


def sweep_calls(request: SweepRequest, folder: Path, dag_run_id: str) -> tuple[str, list[tuple[StageCall, ...]]]:
    """Return the sweep's name and the plan of each trial.

    Raises:
        ConfigError: Too many trials, trials that cannot be compared, or a recipe with errors.
    """
    keys = sorted(request.grid)  # a trial's number must not depend on the order in which JSON is handed on
    trials = math.prod(len(request.grid[key]) for key in keys) * len(request.recipes)
    if not 1 <= trials <= MOST_TRIALS:  # counted before they are made: thirty keys of ten values fill any memory
        raise ConfigError(
            f"The sweep has {trials if trials < 10**9 else 'a billion or more'} trials: 1 to {MOST_TRIALS} are "
            "allowed, give fewer recipes or grid values."
        )
    points = list(itertools.product(*(request.grid[key] for key in keys)))
    recipes = []
    for given, point in itertools.product(request.recipes, points):
        chosen = [f"{key}={_written(key, value)}" for key, value in zip(keys, point, strict=True)]
        recipes.append(find_recipe(given, [*request.overrides, *chosen], folder))
    names = {recipe.name for recipe in recipes}
    if len(names) > 1 and request.endpoint is None:
        raise ConfigError(f"The recipes are named {', '.join(sorted(names))}: state the `endpoint` of the winner.")
    check_comparable(recipes)
    sweep = request.sweep or made_name(recipes[0].name, dag_run_id)
    return sweep, [plan(recipe, f"{sweep}-{n}", request.endpoint) for n, recipe in enumerate(recipes, 1)]


def _written(key: str, value: Any) -> str:
    try:
        return json.dumps(value)
    except (RecursionError, ValueError, TypeError):
        raise ConfigError(f"The grid's value of {quoted(key)} is nested too deeply: give numbers or texts.") from None


def check_comparable(recipes: list[Recipe]) -> None:
    """Refuse trials whose validation numbers do not compare.

    Raises:
        ConfigError: Their data, task, best metric, thresholds or rules of promotion differ.
    """
    first, *others = recipes
    for other in others:
        parts = {
            "data": first.data == other.data,
            "task": first.task == other.task,
            "training.best_metric": first.training.best_metric == other.training.best_metric,
            "evaluation": first.evaluation == other.evaluation,
            "behaviour": first.behaviour == other.behaviour,
            "promotion": first.promotion == other.promotion,
        }
        differ = [name for name, same in parts.items() if not same]
        if differ:
            raise ConfigError(
                f"Two trials differ in {', '.join(differ)}, so their validation numbers do not compare: vary model and "
                "training only, or use DAG `finetune` for each."
            )


def sharing(calls: list[StageCall]) -> list[list[StageCall]]:
    """Group calls of one stage by what its result depends on in the recipe: a group is worked out once.

    That is more than a hint but never trusted: each call of a group is looked up by its key.
    """
    groups: dict[str, list[StageCall]] = {}
    for call in calls:
        upstream = [item.stage for item in plan(call.recipe, call.run, until=call.stage.name)]
        whole = canonical(call.recipe)
        paths = sorted({path for stage in upstream for path in stage.sections})
        groups.setdefault(json.dumps([_at(whole, path) for path in paths], sort_keys=True), []).append(call)
    return list(groups.values())


def _at(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document[part]
    return document
