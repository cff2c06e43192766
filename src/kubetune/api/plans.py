"""What a run would do: its stages, and of each whether the store holds its result already, and why not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kubetune.api.html import table_html
from kubetune.api.opening import opened
from kubetune.errors import ConfigError
from kubetune.plan import StageCall, plan

if TYPE_CHECKING:
    from kubetune.config.recipe import Recipe
    from kubetune.config.settings import Settings
    from kubetune.storage.base import Store
    from kubetune.storage.commit_record import Commit

Would = Literal["adopt", "run", "depends", "act", "stop"]
NAMED = 3
"""Fields of a key that a reason names; `kubetune why` names all of them once the stage has run."""


@dataclass(frozen=True)
class PlannedStage:
    """A stage of a plan.

    Attributes:
        call: What would be started.
        would: `adopt`: the store holds its result; `run`: it does not; `depends`: on what a stage before it makes, or
            on the champion that it will meet; `act`: it changes the world, and looks at it each time; `stop`: a
            verdict ends the run before it, or the run has made it under another key. None: the store was not asked.
        why: One sentence; empty where the store was not asked.
        source: Run whose result would be adopted; empty otherwise.
    """

    call: StageCall
    would: Would | None = None
    why: str = ""
    source: str = ""


@dataclass(frozen=True)
class RunPlan:
    """The stages of a run, in an order in which each follows what it reads.

    Attributes:
        run: Run id.
        stages: Its stages.
    """

    run: str
    stages: tuple[PlannedStage, ...]

    @property
    def calls(self) -> tuple[StageCall, ...]:
        """What would be started."""
        return tuple(row.call for row in self.stages)

    def would(self) -> dict[str, Would | None]:
        """Return stage name → what it would do."""
        return {row.call.stage.name: row.would for row in self.stages}

    @property
    def headings(self) -> list[str]:
        """Headings of `cells`."""
        looked = any(row.would is not None for row in self.stages)
        return ["stage", "after", "reads", "writes", *(["would", "why"] if looked else ["does"])]

    def cells(self) -> list[list[str]]:
        """Return a line a stage."""
        return [
            [
                row.call.stage.name,
                " ".join(row.call.after) or "-",
                " ".join(row.call.stage.inputs) or "-",
                " ".join(row.call.stage.outputs) or "-",
                *([row.call.stage.does] if row.would is None else [row.would, row.why]),
            ]
            for row in self.stages
        ]

    def _repr_html_(self) -> str:
        return table_html(self.headings, self.cells(), f"plan of run {self.run}")


def plan_run(
    recipe: "Recipe",
    run: str | None = None,
    *,
    store: str | Path | None = None,
    until: str | None = None,
    endpoint: str | None = None,
) -> RunPlan:
    """Return the stages of a run, and which results a store holds already. Nothing is run, and nothing is written.

    Args:
        recipe: A validated recipe.
        run: Run id; None: the next free one of the recipe.
        store: A folder or `s3://bucket/prefix`; None: the settings' one. It need not exist yet.
        until: Last stage wanted; None: all.
        endpoint: Endpoint for `deploy`; None: the recipe's name.

    Raises:
        ConfigError: The run id, endpoint name or `until` is not allowed, the run was begun with another recipe, or a
            source cannot be reached as configured.
        DataError: The data is not there.
        TemporaryError: The store or a source does not answer.
    """
    from kubetune.config.load import canonical
    from kubetune.execution.local import next_run
    from kubetune.storage.runs import read_run, require_same_recipe

    settings, opened_store = opened(store, new=True, probe=False)
    name = next_run(opened_store, recipe) if run is None else run
    if (standing := read_run(opened_store, name)) is not None:
        require_same_recipe(name, standing, canonical(recipe))
    return RunPlan(name, tuple(forecast(plan(recipe, name, endpoint, until), settings, opened_store)))


def listed_plan(recipe: "Recipe", run: str | None = None) -> RunPlan:
    """Return the stages of a run without a look at any store.

    Raises:
        ConfigError: The run id is not allowed.
    """
    name = run or f"{recipe.name}-1"
    return RunPlan(name, tuple(PlannedStage(call) for call in plan(recipe, name)))


def forecast(calls: tuple[StageCall, ...], settings: "Settings", store: "Store") -> Iterator[PlannedStage]:
    """Yield what each call would do.

    A key needs the digests of what a stage reads, so that nothing is known of those that read what is yet to be made.

    Raises:
        ConfigError, DataError, TemporaryError: As what identifies a source.
    """
    held: dict[str, Commit] = {}  # artifact → the commit that has it
    stopped = ""
    for call in calls:
        stage = call.stage
        missing = next((name for name in stage.inputs if name not in held), None)
        if stopped:
            yield PlannedStage(call, "stop", stopped)
        elif stage.effect:
            yield PlannedStage(call, "act", "looks at the world each time, and makes it so")
        elif missing is not None:
            yield PlannedStage(call, "depends", f"reads {missing}, which is to be made first")
        else:
            row, found = _looked_up(call, {name: held[name] for name in stage.inputs}, settings, store)
            held |= dict.fromkeys(stage.outputs, found) if found is not None else {}
            if found is not None and not found.verdict.passed:
                stopped = f"{stage.name} says: {' '.join(found.verdict.reasons)}"
            elif row.would == "stop":
                stopped = row.why
            yield row


def _looked_up(
    call: StageCall, inputs: "Mapping[str, Commit]", settings: "Settings", store: "Store"
) -> "tuple[PlannedStage, Commit | None]":
    """Look a call up by its key; all that it reads is known."""
    from kubetune.execution.adopt import PreparedCall, own_commit, with_key
    from kubetune.execution.champion import ChampionInput, known_champion
    from kubetune.storage.blobs import tree_digest
    from kubetune.storage.commits import find_result, read_commit

    own = read_commit(store, call.run, call.stage.name)
    champion = None
    if call.stage.champion:
        met = known_champion(call, store, tree_digest(inputs["model"].outputs["model"]), own)
        if not isinstance(met, ChampionInput):  # a new comparison is counted, which a plan does not do
            return PlannedStage(call, "depends", f"is compared with the champion of {call.endpoint} when it runs"), None
        champion = met
    prepared = with_key(PreparedCall(call, inputs, {}, "", champion, own), store, settings)
    try:
        own_commit(prepared)
    except ConfigError as error:
        return PlannedStage(call, "stop", str(error)), None
    entry = find_result(store, call.stage.name, prepared.key, own)
    if entry.commit is not None:
        source = entry.commit.run
        return PlannedStage(call, "adopt", f"run {source} has made it", source), entry.commit
    return PlannedStage(call, "run", entry.reason or _reason(call, prepared.fields, store)), None


def _reason(call: StageCall, fields: "Mapping[str, str]", store: "Store") -> str:
    """Say in one sentence why no result has this key."""
    from kubetune.models.history import nearest_run

    nearest = nearest_run(store, call.run, call.stage.name, fields)
    if nearest.nearest is None:
        return "no run has this stage yet"
    names = list(nearest.differ)
    if not names:
        return f"the result of {nearest.nearest} is out of use"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"differs from {nearest.nearest} in {', '.join(names[:NAMED])}{more}"
