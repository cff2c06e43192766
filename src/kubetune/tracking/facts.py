"""What a run's records mean as an MLflow run. Pure: equal records give equal runs, whoever mirrors them and when."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubetune.redaction import redact
from kubetune.storage.blobs import File, tree_digest
from kubetune.storage.commit_record import Commit

RUN, STORE, BEGUN, MIRRORED, FILE = (f"kubetune.{name}" for name in ("run", "store", "begun", "mirrored", "file"))
"""Tags: whose mirror it is, which beginning of the run, the state that was mirrored last, a file's digest."""
PARENT = "mlflow.parentRunId"
LONGEST_NAME, LONGEST_PARAM, LONGEST_TAG = 250, 6000, 5000
"""Characters that MLflow takes; its limit for a tag's value depends on the database, so ours is the lowest."""
FORBIDDEN = re.compile(r"[^\w\-. :/]", re.ASCII)
ADOPTED = "adopted:"
LAST, TRIED = "package", "train"
"""The stage that completes a run, and the one that completes a trial which was not chosen."""
FILES = (("decision", "report.html"), ("decision", "decision.json"), ("report", "report.html"))
"""Artifact and file: what people read. No table of rows (`predictions.parquet` …) is among them; pages quote some."""
MOST_BYTES = 8 << 20


@dataclass(frozen=True, order=True)
class Point:
    """One value of a metric; `at` in milliseconds since the epoch."""

    name: str
    step: int
    value: float
    at: int


@dataclass(frozen=True)
class FailedAttempt:
    """The last attempt of a stage that has no commit; never its reason, which may quote a row."""

    stage: str
    code: int
    kind: str


@dataclass(frozen=True)
class Records:
    """What the store holds of a run.

    Attributes:
        run: Run id.
        recipe: The resolved recipe.
        begun: When it was recorded, milliseconds since the epoch.
        ended: When the last commit or failed attempt was recorded, in the same unit.
        commits: Stage → its commit.
        committed: Stage → when it was committed, in the same unit.
        points: Values that were recorded while stages ran.
        failure: Of the stage that is open; None: none failed last.
        sweep: Sweep that has chosen among this run and others; empty: none.
        winner: The run that was chosen: by that sweep, or by this one if it is a sweep; empty: none.
        log: Address of the logs of its stages; empty: none.
    """

    run: str
    recipe: Mapping[str, Any]
    begun: int
    ended: int
    commits: Mapping[str, Commit] = field(default_factory=dict)
    committed: Mapping[str, int] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    failure: FailedAttempt | None = None
    sweep: str = ""
    winner: str = ""
    log: str = ""

    @property
    def is_sweep(self) -> bool:
        """Whether it is the record of a choice and not a run of its own."""
        return bool(self.winner) and not self.sweep


@dataclass(frozen=True)
class Mirrored:
    """How a run shall stand in MLflow.

    Attributes:
        name: Its name there.
        status: `RUNNING`, `FINISHED` or `FAILED`.
        begun: Milliseconds since the epoch.
        ended: The same; None while it runs.
        tags: Tag → text.
        params: Parameter → text.
        points: Values of metrics.
        files: Path in MLflow → file of the store.
        sweep: Run whose mirror is the parent; empty: none.
    """

    name: str
    status: str
    begun: int
    ended: int | None
    tags: Mapping[str, str]
    params: Mapping[str, str]
    points: tuple[Point, ...]
    files: Mapping[str, File]
    sweep: str


def mirrored(records: Records, store: str, begun: str) -> Mirrored:
    """Return how a run shall stand in MLflow.

    Args:
        records: What the store holds of it.
        store: Name of the store.
        begun: Tells this run from an earlier, deleted one of the same name.
    """
    status = status_of(records)
    tags = {RUN: records.run, STORE: store, BEGUN: begun, "mlflow.source.name": "kubetune", **_tags(records)}
    return Mirrored(
        name=records.run,
        status=status,
        begun=records.begun,
        ended=None if status == "RUNNING" else records.ended,
        tags={name: shortened_param(redact(value), LONGEST_TAG) for name, value in tags.items() if value},
        params=dict(recipe_params(records.recipe)),
        points=(*_stage_points(records), *records.points),
        files=_files(records.commits),
        sweep=records.sweep,
    )


def status_of(records: Records) -> str:
    """Return MLflow's word for how far a run is. A decision to keep the champion is a result and no failure."""
    if records.is_sweep or LAST in records.commits:
        return "FINISHED"
    for commit in records.commits.values():
        if not commit.verdict.passed:
            return "FINISHED" if commit.verdict.code == 99 else "FAILED"
    if records.sweep and records.winner != records.run:
        return "FINISHED" if TRIED in records.commits else "FAILED"
    return "RUNNING" if records.failure is None else "FAILED"


def _tags(records: Records) -> dict[str, str]:
    recipe, commits = records.recipe, records.commits
    tags = {"kubetune.recipe": str(recipe.get("name", ""))}
    if records.log:
        tags["kubetune.log"] = records.log
    if records.winner:
        tags["kubetune.winner"] = records.winner
    if records.sweep:
        tags["kubetune.sweep"] = records.sweep
    if records.failure is not None and status_of(records) == "FAILED":
        failure = records.failure
        tags["kubetune.failure"] = f"{failure.stage} ended with {failure.code} ({failure.kind})"
    for stage, commit in commits.items():
        named = f"kubetune.stage.{stage}"
        verdict = "passed" if commit.verdict.passed else f"{commit.verdict.code}: {' '.join(commit.verdict.reasons)}"
        tags |= {f"{named}.key": commit.key, f"{named}.verdict": verdict, f"{named}.image": commit.image}
        if commit.attempt.startswith(ADOPTED):
            tags[f"{named}.adopted_from"] = commit.attempt.removeprefix(ADOPTED).partition(":")[0]
        for artifact, files in commit.outputs.items():
            tags[f"kubetune.artifact.{artifact}"] = tree_digest(files)
    if "compare" in commits:
        compare = commits["compare"]
        tags["kubetune.decision"] = str(compare.facts.get("outcome", ""))
        tags["kubetune.decision.reasons"] = " ".join(map(str, compare.facts.get("reasons") or ()))
    return tags


def _stage_points(records: Records) -> Iterator[Point]:
    for stage, commit in records.commits.items():
        for name, value in commit.metrics.items():
            yield Point(plain_name(f"{stage}/{name}"), 0, float(value), records.committed[stage])


def _files(commits: Mapping[str, Commit]) -> dict[str, File]:
    found = {}
    for commit in commits.values():
        for artifact, files in commit.outputs.items():
            for file in files:
                if (artifact, file.path) in FILES and file.size <= MOST_BYTES:
                    found[f"{artifact}/{file.path}"] = file
    return found


def recipe_params(recipe: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted path and text of each value of a recipe, cut visibly where MLflow takes no more."""
    if isinstance(recipe, Mapping) and recipe:
        for name in sorted(recipe):
            yield from recipe_params(recipe[name], f"{path}.{name}" if path else str(name))
    else:
        text = recipe if isinstance(recipe, str) else json.dumps(recipe, ensure_ascii=False, sort_keys=True)
        yield (
            plain_name(path),
            shortened_param(redact(text), LONGEST_PARAM),
        )  # a run of an older version may hold a secret


def plain_name(name: str) -> str:
    """Return a name of a parameter or metric that MLflow takes: other characters become `_`, a long one is cut."""
    return shortened_param(FORBIDDEN.sub("_", name), LONGEST_NAME, " ... cut")


def shortened_param(text: str, most: int, mark: str = "") -> str:
    """Return at most `most` characters; what is cut says so at its end."""
    if len(text) <= most:
        return text
    mark = mark or f" … (cut, {len(text)} characters)"
    return text[: most - len(mark)] + mark
