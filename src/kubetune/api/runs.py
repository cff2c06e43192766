"""A past run as one object: how far it is, its numbers, its test rows, its report, why a stage ran, what differs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubetune.api.differences import StageDifference
from kubetune.api.html import table_html
from kubetune.api.opening import opened
from kubetune.api.report import RunReport, read_file, report_of
from kubetune.errors import ConfigError

if TYPE_CHECKING:
    import pandas
    import pyarrow as pa

    from kubetune.config.recipe import Recipe
    from kubetune.config.settings import Settings
    from kubetune.execution.states import RunLine
    from kubetune.storage.base import Stat, Store
    from kubetune.storage.commit_record import Commit


@dataclass(frozen=True)
class StageState:
    """One stage of a run.

    Attributes:
        stage: Stage name.
        state: `committed`, `refused`, `kept back`, `undecided`, `failed`, `interrupted`, `serves ENDPOINT`, or `-`
            where nothing has happened.
        artifacts: Names of what it wrote.
        size: Bytes of those.
        key: SHA-256 (hex) of all that the result depends on; empty where there is no result.
    """

    stage: str
    state: str
    artifacts: tuple[str, ...] = ()
    size: int = 0
    key: str = ""


@dataclass(frozen=True)
class Run:
    """A run as it was when it was opened; `open_run` again shows what has happened since.

    Attributes:
        name: Run id.
        document: Its resolved recipe, as plain JSON values.
        commits: What stands, by stage in the order of the plan.
        settings: Settings that it was opened with.
        store: Store that it lies in.
    """

    name: str
    document: Mapping[str, Any] = field(repr=False)
    commits: "Mapping[str, Commit]" = field(repr=False)
    settings: "Settings" = field(repr=False)
    store: "Store" = field(repr=False)

    @property
    def recipe(self) -> "Recipe":
        """The recipe that it ran."""
        from kubetune.config.load import recipe_of

        return recipe_of(self.document, f"The recorded recipe of run {self.name}")

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics on the test rows by flat name (`accuracy`, `accuracy_low`, …); empty before stage `evaluate`."""
        evaluated = self.commits.get("evaluate")
        return dict(evaluated.metrics) if evaluated else {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences of `evaluate` that a reader of the metrics has to know."""
        evaluated = self.commits.get("evaluate")
        return tuple(evaluated.facts.get("warnings", ())) if evaluated else ()

    @property
    def outcome(self) -> str | None:
        """What the comparison with the champion said: `promote`, `keep`, `undecided`; None: there was none."""
        compared = self.commits.get("compare")
        outcome: str | None = compared.facts.get("outcome") if compared else None
        return outcome

    @cached_property
    def _entries(self) -> "tuple[Stat, ...]":
        """What the store lists below the run, in the order of keys."""
        from kubetune.layout import run_prefix
        from kubetune.storage.runs import summary_of_run

        return summary_of_run(self.name, self.store.list(run_prefix(self.name))).entries

    @cached_property
    def state(self) -> str:
        """How far it is: `complete`, `open, next STAGE`, or what happened `at STAGE`."""
        from kubetune.execution.states import placed_runs, state_of

        return state_of(self.store, self.name, self.document, self.commits, placed_runs(self.store), self._entries)

    @cached_property
    def endpoints(self) -> tuple[str, ...]:
        """Endpoints that serve its archive."""
        from kubetune.models.history import endpoints_of

        return tuple(endpoints_of(self.store, self.name))

    @cached_property
    def attempts(self) -> dict[str, dict[str, Any]]:
        """Failed attempts by stage, then by name: `exit_code`, `reason`, `kind`."""
        from kubetune.stages import STAGES
        from kubetune.storage.runs import attempts_in

        return {stage.name: dict(attempts_in(self.store, self.name, stage.name, self._entries)) for stage in STAGES}

    def stages(self) -> list[StageState]:
        """Return how each stage stands, in the order of the plan."""
        from kubetune.execution.states import attempt_word, verdict_word
        from kubetune.stages import STAGES

        rows = []
        for stage in STAGES:
            found = self.commits.get(stage.name)
            state = attempt_word(self.attempts[stage.name]) if found is None else verdict_word(found)
            if stage.effect and self.endpoints:
                state = "serves " + " ".join(self.endpoints)
            size = sum(file.size for file in found.files) if found else 0
            rows.append(
                StageState(stage.name, state, tuple(found.outputs) if found else (), size, found.key if found else "")
            )
        return rows

    def predictions(self) -> "pandas.DataFrame":
        """Return the test rows with what the model said of each, every digest checked.

        Returns:
            A row a test row: `row_id`, `raw_text`, `text` (and `…_pair`), `label`, what was answered (`prediction`, or
            the task's own columns, such as `entities`), `correct`, `confidence`, `loss`, `length` and `truncated`
            (tokens). Classes are given by name, with `probability NAME` of each.

        Raises:
            ConfigError: The run has not been evaluated.
            CorruptArtifactError: The store has lost or damaged them.
        """
        import pyarrow.parquet as pq

        evaluated, prepared = self.commits.get("evaluate"), self.commits.get("prepare")
        if evaluated is None or prepared is None:
            raise ConfigError(f"Run {self.name} has no predictions yet: stage evaluate has not committed them.")
        names = json.loads(read_file(self.store, prepared.outputs["dataset"], "dataset.json"))["labels"]
        table = pq.read_table(BytesIO(read_file(self.store, evaluated.outputs["report"], "predictions.parquet")))
        return frame_of(table, names)

    def report(self) -> RunReport:
        """Return its newest report, which a notebook shows inline.

        Raises:
            ConfigError: The run has not been evaluated.
            CorruptArtifactError: The store has lost or damaged the page.
        """
        return report_of(self.store, self.name, self.document, self.commits)

    def why(self, stage: str) -> StageDifference:
        """Name what differs from the nearest other run: recipe values, inputs, code, packages, identity.

        Args:
            stage: Stage name.

        Raises:
            ConfigError: There is no such stage, or it has not been committed.
        """
        from kubetune.models.history import why

        found = why(self.store, self.name, stage)
        return StageDifference(self.name, stage, found.nearest, found.differ)

    def _repr_html_(self) -> str:
        from kubetune.config.metrics import shown_metrics

        rows = [
            [row.stage, row.state, " ".join(row.artifacts) or "-", f"{row.size / 1e6:.1f} MB" if row.size else "-"]
            for row in self.stages()
        ]
        numbers = [[name, f"{self.metrics[name]:.3f}"] for name in shown_metrics(self.metrics)]
        table = table_html(["stage", "state", "artifacts", "size"], rows, f"run {self.name}: {self.state}")
        return table + (table_html(["metric", "test rows"], numbers) if numbers else "")


def open_run(name: str, *, store: str | Path | None = None) -> Run:
    """Return a run of a store.

    Args:
        name: Run id, as `runs` lists them.
        store: A folder or `s3://bucket/prefix`; None: the settings' one.

    Raises:
        ConfigError: There is no such store or run; names the nearest run.
        StoreUnavailableError: The store does not answer.
    """
    return read_opened(*opened(store), name)


def read_opened(settings: "Settings", store: "Store", name: str) -> Run:
    """Return a run of an opened store; each of its records is read once.

    Raises:
        ConfigError: There is no such run; names the nearest.
    """
    from kubetune.models.history import known_run
    from kubetune.stages import STAGES
    from kubetune.storage.cached import cached_run
    from kubetune.storage.commits import committed

    store = cached_run(store, name)
    document = known_run(store, name)
    commits = committed(store, name, [stage.name for stage in STAGES if stage.outputs])  # an effect leaves none
    return Run(name, document, commits, settings, store)


def runs(store: str | Path | None = None) -> "list[RunLine]":
    """Return all runs of a store with state and metrics, the newest first.

    Args:
        store: A folder or `s3://bucket/prefix`; None: the settings' one.

    Raises:
        ConfigError: There is no such store.
        StoreUnavailableError: The store does not answer.
    """
    from kubetune.execution.states import run_lines

    return run_lines(opened(store)[1])


def frame_of(table: "pa.Table", names: Sequence[str]) -> "pandas.DataFrame":
    """Return what `evaluate` stored as a person reads it: class numbers as names, a column a class.

    Args:
        table: Of `predictions.parquet`.
        names: Class names by class number.
    """
    import pandas as pd
    import pyarrow as pa

    wide = [name for name in ("probabilities", "logits") if name in table.column_names]
    frame: pd.DataFrame = table.drop_columns(wide).to_pandas()
    for column in ("label", "prediction"):
        if column in table.column_names and pa.types.is_integer(table.schema.field(column).type):
            frame[column] = [names[number] for number in frame[column]]
    if "probabilities" not in wide:
        return frame
    columns = [f"probability {name}" for name in names]
    scores = pd.DataFrame(table["probabilities"].to_pylist(), columns=columns, dtype="float32")
    return pd.concat([frame, scores], axis=1)
