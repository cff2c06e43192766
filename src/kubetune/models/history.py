"""What a person asks of past runs: which there are, what they gave, why a stage ran again."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetune.config.load import load_recipe, recipe_of
from kubetune.config.recipe import Recipe
from kubetune.errors import ConfigError
from kubetune.stages import BY_NAME, PRODUCER, STAGES
from kubetune.storage.base import Store
from kubetune.storage.blobs import fetch_tree
from kubetune.storage.commit_record import Commit
from kubetune.storage.commits import committed, read_commit
from kubetune.storage.endpoints import list_endpoints
from kubetune.storage.registry import BY_PERSON, REVOKED, Version, read_model
from kubetune.storage.runs import list_runs, read_run

MARKS = {BY_PERSON: ("rolled-back", "was rolled back"), REVOKED: ("revoked", "is revoked")}
"""What a person may have said against a version: the event of the model's history, and the words for it."""


def recipe_of_run(store: Store, run: str, recipe: str | None = None, overrides: Iterable[str] = ()) -> Recipe:
    """Return a run's recipe: the given one, else the recorded one.

    Raises:
        ConfigError: No recipe is given and the run does not exist.
    """
    if recipe is not None:
        return load_recipe(recipe, overrides)
    if overrides:
        raise ConfigError("Overrides change a recipe: give it with --recipe, a recorded run's recipe never changes.")
    return recipe_of(known_run(store, run), f"The recorded recipe of run {run}")


def known_run(store: Store, run: str) -> dict[str, Any]:
    """Return the recorded recipe of a run.

    Raises:
        ConfigError: There is no such run; names the nearest.
    """
    found = read_run(store, run)
    if found is None:
        names = [item.run for item in list_runs(store)]
        near = difflib.get_close_matches(run, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join(names[:5]) or "none yet"
        raise ConfigError(f"Run {run!r} does not exist in {store.url}: {hint}known are {known}.")
    return found


def model_of_run(store: Store, run: str) -> str:
    """Return the model that a run is registered as unless `--endpoint` names another one: its recipe's name.

    Raises:
        ConfigError: There is no such run.
    """
    return str(known_run(store, run)["name"])


def commits_of(store: Store, run: str) -> dict[str, Commit]:
    """Return the commits of a run by stage, in plan order."""
    known_run(store, run)
    return committed(store, run, [stage.name for stage in STAGES if stage.outputs])  # an effect leaves none


def endpoints_of(store: Store, run: str) -> list[str]:
    """Return the endpoints that serve a run's archive."""
    return [endpoint.name for endpoint in list_endpoints(store) if endpoint.observed and endpoint.observed.run == run]


@dataclass(frozen=True)
class Why:
    """Why a stage ran: how its key differs from the nearest other run's.

    Attributes:
        nearest: The run compared with; None where no other run has this stage.
        differ: Field → (value there, value here); None where a side lacks the field.
    """

    nearest: str | None
    differ: dict[str, tuple[str | None, str | None]]


def why(store: Store, run: str, stage: str) -> Why:
    """Compare the key of a run's stage with the nearest earlier run.

    Raises:
        ConfigError: There is no such run or stage, or it has not been committed.
    """
    if stage not in BY_NAME:
        raise ConfigError(f"Stage {stage!r} does not exist: allowed are {', '.join(BY_NAME)}.")
    known_run(store, run)
    ours = read_commit(store, run, stage)
    if ours is None:
        raise ConfigError(f"Stage {stage} of run {run} is not committed, so it has no key yet: run it first.")
    return nearest_run(store, run, stage, ours.fields)


def nearest_run(store: Store, run: str, stage: str, fields: Mapping[str, str]) -> Why:
    """Return the other run whose key of a stage differs in the fewest fields.

    Args:
        store: Where runs live.
        run: Run id that is no other run.
        stage: Stage name.
        fields: Named fields of the key; it need not have been committed.
    """
    best: Why | None = None
    for item in list_runs(store):
        other = read_commit(store, item.run, stage) if item.run != run and stage in item.stages else None
        if other is None:
            continue
        names = sorted({*fields, *other.fields})
        differ = {
            name: (other.fields.get(name), fields.get(name))
            for name in names
            if other.fields.get(name) != fields.get(name)
        }
        if best is None or len(differ) < len(best.differ):
            best = Why(item.run, differ)
    return best or Why(None, {})


def pull(store: Store, run: str, artifacts: Iterable[str], target: Path) -> dict[str, Path]:
    """Bring artifacts of a run into `target/<artifact>`, every digest checked.

    Args:
        store: Where the run lives.
        run: Run id.
        artifacts: Artifact names; none: all that are committed.
        target: Folder; an artifact's folder in it must not exist or be empty.

    Raises:
        ConfigError: An artifact does not exist or its folder is in use.
    """
    available = {name: files for found in commits_of(store, run).values() for name, files in found.outputs.items()}
    wanted = list(artifacts) or list(available)
    for name in wanted:
        if name not in PRODUCER:
            raise ConfigError(f"Artifact {name!r} does not exist: allowed are {', '.join(PRODUCER)}.")
        if name not in available:
            raise ConfigError(f"Run {run} has no {name!r} yet: stage {PRODUCER[name].name} has not committed it.")
        folder = target / name
        if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
            raise ConfigError(f"{folder} is in use: name another folder with --to, or empty it.")
    for name in wanted:
        (target / name).mkdir(parents=True, exist_ok=True)
        fetch_tree(store, available[name], target / name)
    return {name: target / name for name in wanted}


def artifact_of(store: Store, run: str, artifact: str) -> Commit:
    """Return the commit that holds an artifact of a run.

    Raises:
        ConfigError: There is none.
    """
    known_run(store, run)
    found = read_commit(store, run, PRODUCER[artifact].name)
    if found is None:
        raise ConfigError(
            f"Run {run} has no {artifact!r}: stage {PRODUCER[artifact].name} has not committed it; run it first."
        )
    return found


def marks_of_archive(store: Store, model: str, archive: str) -> tuple[str, ...]:
    """Say what stands against an archive in a model's registry: rolled back, or revoked; mostly nothing."""
    found = read_model(store, model)
    version = found.of_archive(archive) if found is not None else None
    if found is None or version is None or version.withdrawn not in MARKS:
        return ()
    event, told = MARKS[version.withdrawn]

    def is_about(line: Mapping[str, Any]) -> bool:
        number = line["former"] if event == "rolled-back" else line.get("about")
        return line["event"] == event and number is not None and found.version(number).model == version.model

    lines = [line for line in found.history if is_about(line)]
    said = f" by {lines[-1]['by']} at {lines[-1]['at']} ({lines[-1]['why']})" if lines else ""
    return (f"version {version.number} of {model} {told}{said}",)


def version_named(store: Store, name: str) -> Version | None:
    """Return the version that `MODEL@VERSION` names, by number or by an alias such as `champion`; None: a run's name.

    Raises:
        ConfigError: There is no such model or version.
    """
    model, at, version = name.partition("@")
    if not at:
        return None
    found = read_model(store, model)
    versions = {str(item.number): item for item in found.versions} if found is not None else {}
    number = str((found.aliases() if found is not None else {}).get(version, version))
    if number not in versions:
        known = ", ".join(f"{model}@{number}" for number in versions) or "none yet"
        raise ConfigError(f"Version {name!r:.80} does not exist in {store.url}: known are {known}.")
    return versions[number]
