"""Recipe and run name → the calls that make the run. Pure: no clock, no network, no store."""

from dataclasses import dataclass
from graphlib import TopologicalSorter

from kubetune.config.recipe import Recipe
from kubetune.errors import ConfigError
from kubetune.layout import check_run
from kubetune.stages import BY_NAME, STAGES, Stage, before


@dataclass(frozen=True)
class ManualOverride:
    """A manual override: it stands above a decision, never above a threshold.

    Attributes:
        by: Who.
        why: One sentence.
        request: Identity of a request that may be made twice; empty: none.
    """

    by: str
    why: str = ""
    request: str = ""


@dataclass(frozen=True)
class StageCall:
    """One stage of one run, with all it takes to start it anywhere.

    Attributes:
        run: Run id.
        stage: Row of the table.
        recipe: The whole resolved recipe; a view of it reaches the body.
        after: Names of the stages that must be done before it.
        endpoint: Endpoint that effect stages act on; also the name of the registered model.
        override: A person's approval, or with a reason a manual override of the decision.
    """

    run: str
    stage: Stage
    recipe: Recipe
    after: tuple[str, ...]
    endpoint: str
    override: ManualOverride | None = None


def plan(recipe: Recipe, run: str, endpoint: str | None = None, until: str | None = None) -> tuple[StageCall, ...]:
    """Return the stages of a run in an order in which each follows what it reads.

    Args:
        recipe: A validated recipe.
        run: Run id.
        endpoint: Endpoint for `deploy`; None: the recipe's name.
        until: Last stage wanted; None: all.

    Raises:
        ConfigError: The run id, endpoint name or `until` is not allowed.
    """
    check_run(run)
    if endpoint is not None:
        check_run(endpoint)
    edges = {stage.name: before(stage) for stage in STAGES}
    wanted = _ancestors(until, edges) if until is not None else set(edges)
    order = TopologicalSorter({name: after for name, after in edges.items() if name in wanted}).static_order()
    return tuple(
        StageCall(run=run, stage=BY_NAME[name], recipe=recipe, after=edges[name], endpoint=endpoint or recipe.name)
        for name in sorted(order, key=[stage.name for stage in STAGES].index)
    )


def _ancestors(stage: str, edges: dict[str, tuple[str, ...]]) -> set[str]:
    if stage not in edges:
        raise ConfigError(f"Stage {stage!r} does not exist: allowed are {', '.join(edges)}.")
    found = {stage}
    for parent in edges[stage]:
        found |= _ancestors(parent, edges)
    return found


def call_of(stage: str, recipe: Recipe, run: str, endpoint: str | None = None) -> StageCall:
    """Return the call of one stage of a run.

    Raises:
        ConfigError: There is no such stage, or the run id or endpoint name is not allowed.
    """
    return plan(recipe, run, endpoint, until=stage)[-1]
