"""What there is to mirror: one listing of the store tells which runs changed, records are read of those alone."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from kubetune import layout
from kubetune.storage.base import Stat, Store
from kubetune.storage.commits import committed
from kubetune.storage.records import digest_of, find
from kubetune.storage.runs import list_attempts, read_log, read_run
from kubetune.tracking.facts import TRIED, FailedAttempt, Point, Records, plain_name

STEP = {"loss": "training/loss", "rate": "training/rate", "norm": "training/gradient_norm"}
EVALUATION = {"train_loss": "training/mean_loss", "epoch": "training/epoch"}
ALL_UNTIL, TENTH_UNTIL = 1000, 10_000
"""Each step is kept up to the first, each 10th up to the second, each 100th beyond: nothing kept is ever taken back."""


def training_points(histories: Iterable[bytes]) -> tuple[Point, ...]:
    """Return the values of a training, sorted.

    A step that an attempt repeats after a resume stays as the first attempt recorded it: it is equal on equal hardware.

    Args:
        histories: JSON lines of each attempt; a last line may be cut.
    """
    attempts = [list(events(history)) for history in histories]
    attempts.sort(key=lambda found: float(found[0]["at"]) if found else 0.0)
    points: dict[tuple[str, int], Point] = {}
    for attempt in attempts:
        for event in attempt:
            for point in _points(event):
                points.setdefault((point.name, point.step), point)
    return tuple(sorted(points.values()))


def events(history: bytes) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a telemetry file."""
    for line in history.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("at"), int | float):
            yield event


def _points(event: Mapping[str, Any]) -> Iterator[Point]:
    step, kind = event.get("step"), event.get("event")
    if not isinstance(step, int) or kind not in {"step", "evaluation"} or (kind == "step" and not is_kept(step)):
        return
    named = {name: event.get(key) for key, name in (STEP if kind == "step" else EVALUATION).items()}
    if kind == "evaluation" and isinstance(event.get("validation"), Mapping):
        named |= {plain_name(f"validation/{name}"): value for name, value in event["validation"].items()}
    for name, value in named.items():
        if isinstance(value, int | float) and isfinite(value):
            yield Point(name, step, float(value), round(event["at"] * 1000))


def is_kept(step: int) -> bool:
    """Whether a step of a long training is mirrored."""
    return step <= ALL_UNTIL or (step % 10 == 0 and step <= TENTH_UNTIL) or step % 100 == 0


FORMAT = 2
"""Grows with each change of what a mirror holds, so that all are made anew."""
COMMIT = "COMMIT.json"


@dataclass(frozen=True)
class ListedRun:
    """A run as a listing shows it.

    Attributes:
        run: Run id.
        record: Its `run.json`.
        objects: All else that belongs to it.
        sweep: Sweep that has chosen among it and others; empty: none.
        winner: Chosen by that sweep, or by this one if it is a sweep; empty: none.
    """

    run: str
    record: Stat
    objects: tuple[Stat, ...] = ()
    sweep: str = ""
    winner: str = ""

    @property
    def stamp(self) -> str:
        """Digest that changes with anything that is written to the run."""
        listed = [[item.key, item.size, round(item.modified, 3)] for item in (self.record, *self.objects)]
        return digest_of([FORMAT, listed, self.sweep, self.winner])

    def of(self, stage: str, folder: str) -> tuple[Stat, ...]:
        """Objects in `attempts/` or `telemetry/` of a stage."""
        prefix = f"{layout.run_prefix(self.run)}{stage}/{folder}/"
        return tuple(item for item in self.objects if item.key.startswith(prefix))

    @property
    def stages(self) -> dict[str, Stat | None]:
        """Stage → its commit record; None: it has none."""
        found: dict[str, Stat | None] = {}
        for item in self.objects:
            stage, _, rest = item.key.removeprefix(layout.run_prefix(self.run)).partition("/")
            found[stage] = item if rest == COMMIT else found.get(stage)
        return found


class Sources:
    """The runs of a store. Records of choices are read once in the life of this object: they never change."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._choices: dict[tuple[str, float], tuple[str, tuple[str, ...]]] = {}

    def list(self) -> dict[str, ListedRun]:
        """Return all runs by name, sweeps before their trials."""
        objects: dict[str, list[Stat]] = {}
        for entry in self.store.list(layout.RUNS):
            objects.setdefault(entry.key.removeprefix(layout.RUNS).partition("/")[0], []).append(entry)
        found = {}
        for run, listed in objects.items():
            record = next((item for item in listed if item.key == layout.run_record(run)), None)
            if record is not None:  # else it is being deleted
                rest = tuple(sorted((item for item in listed if item != record), key=lambda item: item.key))
                found[run] = ListedRun(run, record, rest)
        for sweep in [source for source in found.values() if not source.objects]:
            winner, trials = self._choice(sweep)
            if winner:
                found[sweep.run] = replace(sweep, winner=winner)
            for trial in trials:
                if trial in found and not found[trial].sweep:
                    found[trial] = replace(found[trial], sweep=sweep.run, winner=winner)
        return dict(sorted(found.items(), key=lambda item: (bool(item[1].sweep), item[0])))

    def _choice(self, source: ListedRun) -> tuple[str, tuple[str, ...]]:
        name = (source.run, source.record.modified)
        if name not in self._choices:
            found = find(self.store, source.record.key, _parse_choice).value
            self._choices[name] = found or ("", ())
        return self._choices[name]

    def read(self, source: ListedRun) -> Records | None:
        """Read the records of a run; None: it was deleted meanwhile."""
        recipe = read_run(self.store, source.run)
        if recipe is None:
            return None
        stamps = source.stages
        commits = committed(self.store, source.run, [stage for stage, stat in stamps.items() if stat is not None])
        committed_at = {stage: milliseconds(stat) for stage, stat in stamps.items() if stat is not None}
        ends = [*committed_at.values(), *(milliseconds(item) for item in source.objects if "/attempts/" in item.key)]
        return Records(
            run=source.run,
            recipe=recipe,
            begun=milliseconds(source.record),
            ended=max(ends, default=milliseconds(source.record)),
            commits=commits,
            committed=committed_at,
            points=training_points(self._histories(source)),
            failure=self._failure(source),
            sweep=source.sweep,
            winner=source.winner,
            log=read_log(self.store, source.run),
        )

    def _histories(self, source: ListedRun) -> Iterable[bytes]:
        """Telemetry of the training; that of an adopted one stays with the run that trained."""
        stored = [self.store.get(item.key) for item in source.of(TRIED, "telemetry")]
        return [item.data for item in stored if item is not None]

    def _failure(self, source: ListedRun) -> FailedAttempt | None:
        """The failed attempt that nothing has followed."""
        for stage, commit in source.stages.items():
            failed = source.of(stage, "attempts")
            if commit is not None or not failed:
                continue
            last = max(failed, key=lambda item: item.modified)
            began = [item.modified for item in source.of(stage, "telemetry")]
            if last.modified >= max(began, default=0.0):
                name = last.key.rpartition("/")[2].removesuffix(".json")
                facts = list_attempts(self.store, source.run, stage).get(name, {})
                return FailedAttempt(stage, int(facts.get("exit_code", 70)), str(facts.get("kind", "unknown")))
        return None


def milliseconds(stat: Stat) -> int:
    """When an object was written, milliseconds since the epoch."""
    return round(stat.modified * 1000)


def _parse_choice(value: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    return str(value.get("winner", "")), tuple(map(str, value.get("trials", ())))
