"""What belongs to a run besides its commits: the resolved recipe, the attempts that failed, and telemetry."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from kubetune import layout
from kubetune.errors import ConfigError
from kubetune.storage.base import Stat, Store
from kubetune.storage.blobs import in_parallel, tree_paths
from kubetune.storage.records import create_or_get, decode, encode, find_whole

FORMAT = 1


@dataclass(frozen=True)
class RunSummary:
    """One line of a listing.

    Attributes:
        run: Run id.
        modified: When its last record was written, seconds since the epoch.
        stages: Stages that have a commit record.
        entries: All that lies below it, in the order of keys.
    """

    run: str
    modified: float
    stages: tuple[str, ...]
    entries: tuple[Stat, ...] = ()


def create_run(store: Store, run: str, recipe: Mapping[str, Any], log: str = "") -> None:
    """Record the resolved recipe of a run, or compare with the recorded one. Every call of a stage does it first.

    All calls but a run's first find a record, so that they look before they write.

    Args:
        store: The store.
        run: Run id.
        recipe: The resolved recipe.
        log: Address at which people read the logs of the run's stages, kept from its first stage on; empty: none.

    Raises:
        ConfigError: The run was begun with another recipe; names what differs.
        KubetuneError: Its record is broken: a run of that name stands, and its commits are no other recipe's.
    """
    record = {"format": FORMAT, "recipe": recipe} | ({"log": log} if log else {})
    standing = read_run(store, run)
    if standing is None:
        standing = create_or_get(store, layout.run_record(run), record, recorded_recipe, required=True)
    require_same_recipe(run, standing, recipe)


def require_same_recipe(run: str, standing: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
    """Refuse to go on with a run under another recipe.

    Args:
        run: Run id.
        standing: Its recorded recipe, as `read_run` returns it.
        recipe: The resolved recipe at hand.

    Raises:
        ConfigError: They differ; names in what.
    """
    differ = sorted(changed_paths(standing, recorded_recipe({"recipe": recipe})))
    if differ:
        raise ConfigError(
            f"Run {run!r} was begun with another recipe ({', '.join(differ)[:400]} differ): a run keeps its recipe, "
            "use a new run name or `kubetune delete` this one."
        )


def read_run(store: Store, run: str) -> dict[str, Any] | None:
    """Return the recorded recipe of a run; None if there is no such run.

    Raises:
        KubetuneError: Its record is broken.
    """
    return find_whole(store, layout.run_record(layout.check_run(run)), recorded_recipe).value


def read_log(store: Store, run: str) -> str:
    """Return the address of the logs of a run's stages; empty if none is recorded."""
    return find_whole(store, layout.run_record(run), lambda record: str(record.get("log") or "")).value or ""


def recorded_recipe(record: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe in a run's record, as plain JSON values."""
    recipe = (decode(encode({"recipe": record["recipe"]})) or {})["recipe"]
    if not isinstance(recipe, dict):
        raise TypeError("a recipe is a map")
    return recipe


def changed_paths(first: Any, second: Any, path: str = "") -> Iterator[str]:
    """Yield the dotted paths at which two JSON values differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in sorted({*first, *second}):
            below = f"{path}.{name}" if path else name
            if name not in first or name not in second:
                yield below
            else:
                yield from changed_paths(first[name], second[name], below)
    elif first != second:
        yield path


def list_runs(store: Store) -> list[RunSummary]:
    """Return all runs, the one written to last first. A listing for people; what is committed is decided by records."""
    found: dict[str, list[Stat]] = {}
    for entry in store.list(layout.RUNS):
        found.setdefault(entry.key.removeprefix(layout.RUNS).partition("/")[0], []).append(entry)
    runs = [summary_of_run(run, entries) for run, entries in found.items()]
    return sorted(runs, key=lambda summary: (-summary.modified, summary.run))


def summary_of_run(run: str, entries: Iterable[Stat]) -> RunSummary:
    """Return the line of a run, from what the store lists below it."""
    ordered = tuple(sorted(entries, key=lambda entry: entry.key))
    rests = [entry.key.removeprefix(layout.run_prefix(run)) for entry in ordered]
    stages = tuple(rest.removesuffix("/COMMIT.json") for rest in rests if rest.endswith("/COMMIT.json"))
    return RunSummary(run, max((entry.modified for entry in ordered), default=0.0), stages, ordered)


def delete_run(store: Store, run: str) -> int:
    """Remove all records of a run, commits first so that nothing is half there; returns how many.

    Its blobs stay until `gc` finds that nothing reaches them.
    """
    keys = [entry.key for entry in store.list(layout.run_prefix(layout.check_run(run)))]
    record = layout.run_record(run)
    keys.sort(key=lambda key: (key == record, not key.endswith("/COMMIT.json"), key))
    return sum(store.delete(key) for key in keys)


def record_attempt(store: Store, run: str, stage: str, name: str, facts: Mapping[str, Any]) -> None:
    """Keep what is known of an attempt that did not commit. Never read by the pipeline."""
    store.put(layout.attempt(run, stage, name), encode({"format": FORMAT, **facts}))


def list_attempts(store: Store, run: str, stage: str) -> dict[str, dict[str, Any]]:
    """Return what was recorded of attempts, by name."""
    return dict(attempts_in(store, run, stage, store.list(layout.attempts_prefix(run, stage))))


def last_attempt(store: Store, run: str, stage: str, entries: Sequence[Stat]) -> dict[str, dict[str, Any]]:
    """Return what was recorded of the last attempt, by name; empty: nothing.

    Args:
        store: Store.
        run: Run id.
        stage: Stage name.
        entries: What the store lists below the run, in the order of keys.
    """
    return dict(islice(attempts_in(store, run, stage, reversed(entries)), 1))


def attempts_in(store: Store, run: str, stage: str, entries: Iterable[Stat]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and record of each attempt of a stage among entries of a listing, in their order; reads it then."""
    prefix = layout.attempts_prefix(run, stage)
    for entry in entries:
        if not entry.key.startswith(prefix):
            continue
        stored = store.get(entry.key)
        record = decode(stored.data) if stored is not None else None
        if record is not None:
            yield entry.key.removeprefix(prefix).removesuffix(".json"), record


def put_telemetry(store: Store, run: str, stage: str, folder: Path) -> None:
    """Upload all files of a folder as telemetry of a stage; a later attempt's files take the place of earlier ones."""

    def put(path: Path) -> None:
        store.put(layout.telemetry(run, stage, path.relative_to(folder).as_posix()), path)

    in_parallel(put, list(tree_paths(folder)))


def read_telemetry(store: Store, run: str, stage: str, name: str) -> bytes | None:
    """Return a telemetry file; None if there is none."""
    stored = store.get(layout.telemetry(run, stage, name))
    return stored.data if stored is not None else None
