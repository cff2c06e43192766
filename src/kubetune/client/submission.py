"""A recipe → a run in a cluster: checked here, its file uploaded, its name free; the same again changes nothing."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kubetune import layout
from kubetune.client.airflow import Airflow, DagRun
from kubetune.client.watch import RunOutcome, outcome, stages_of
from kubetune.config.data_sources import FilesData
from kubetune.config.load import canonical, load_recipe
from kubetune.config.recipe import Recipe
from kubetune.errors import ConfigError, NothingToDoError, RefusedError
from kubetune.plan import plan
from kubetune.storage.base import Store
from kubetune.storage.uploads import SCHEME, put_upload, upload_address

TAKEN_PAUSE_S = 1.0
DECIDED = frozenset({0, RefusedError.exit_code, NothingToDoError.exit_code})
"""Ends that the same run would come to again."""


@dataclass(frozen=True)
class SubmitRequest:
    """What is to be run.

    Attributes:
        recipe: Shipped recipe or YAML file.
        overrides: `section.key=value`.
        data: File that takes the place of the recipe's data.
        run: Run id; None: see `free_name`.
        endpoint: Endpoint; None: the recipe's name.
        recipes: Folder of mounted recipes, whose names come before the shipped ones.
    """

    recipe: str
    overrides: tuple[str, ...] = ()
    data: Path | None = None
    run: str | None = None
    endpoint: str | None = None
    recipes: Path | None = None


@dataclass(frozen=True)
class Submitted:
    """What a submission came to.

    Attributes:
        run: Run id.
        created: False where the same run was submitted before.
        paused: Whether Airflow holds runs of the DAG back.
        upload: Address of the uploaded file; None without one.
        end: What the same run, submitted before, has come to; None where it is not over.
    """

    run: str
    created: bool
    paused: bool
    upload: str | None
    end: RunOutcome | None = None


def recipe_for(name_or_path: str, overrides: Iterable[str], address: str | None, recipes: Path | None = None) -> Recipe:
    """Return the recipe of a submission.

    Args:
        name_or_path: As for `load_recipe`.
        overrides: As for `load_recipe`.
        address: Address of an uploaded file that takes the place of the recipe's data; None: the recipe's own.
        recipes: Folder of mounted recipes; a bare name is looked for there first.

    Raises:
        ConfigError: The recipe has errors, or names files that only this machine has.
    """
    changes = list(overrides)
    if address is not None:
        quoted = address.replace("'", "''")
        changes += ["data.source.kind=files", f"data.source.paths={{all: '{quoted}'}}"]
    mounted = (
        recipes / f"{name_or_path}.yaml" if recipes is not None and Path(name_or_path).name == name_or_path else None
    )
    found = mounted is not None and mounted.is_file()
    recipe = load_recipe(str(mounted) if found else name_or_path, changes)
    here = [path for path in getattr(recipe.data.source, "addresses", ()) if only_here(path)]
    if here:
        instead = "give the file with --data, or use" if isinstance(recipe.data.source, FilesData) else "use"
        raise ConfigError(
            f"The recipe reads {', '.join(here)[:200]}, which the cluster does not have: {instead} s3:// or https:// "
            "addresses."
        )
    return recipe


def only_here(path: str) -> bool:
    """Whether a path of a recipe means a file of this machine."""
    if "://" in path or path.startswith(SCHEME):
        return False
    return not Path(path).is_absolute() or Path(path).exists()


def submit(airflow: Airflow, open_store: Callable[[], Store | None], request: SubmitRequest) -> Submitted:
    """Begin a run.

    Args:
        airflow: Airflow.
        open_store: Opens the cluster's store; returns None where the settings name none. Asked where it is needed.
        request: What is wanted.

    Raises:
        ConfigError: The recipe has errors, the file cannot be uploaded, or the run exists with another recipe.
        TemporaryError: Airflow or the store does not answer.
    """
    address = None if request.data is None else upload_address(request.data)
    # All errors before anything is sent.
    recipe = recipe_for(request.recipe, request.overrides, address, request.recipes)
    plan(recipe, request.run or f"{recipe.name}-1", request.endpoint)
    if request.data is not None:
        upload_file(open_store(), request.data, address)
    text = yaml.safe_dump(canonical(recipe), sort_keys=True, allow_unicode=True)
    conf: dict[str, Any] = {"recipe": text, "overrides": [], "endpoint": request.endpoint}
    paused = airflow.paused()
    if request.run is not None:
        conf["run"] = request.run
        created = airflow.trigger(request.run, conf)
        end = None if created else run_end(airflow, check_same(airflow, request.run, conf))
        return Submitted(request.run, created, paused, address, end)
    while True:
        run = free_name(recipe.name, airflow, open_store())
        if airflow.trigger(run, {**conf, "run": run}):  # else another one took the name meanwhile
            return Submitted(run, True, paused, address)
        time.sleep(TAKEN_PAUSE_S)


def upload_file(store: Store | None, data: Path, address: str | None) -> str:
    """Upload a file and return its address.

    Raises:
        ConfigError: There is no store, or the file cannot be uploaded.
    """
    if store is None:
        raise ConfigError(
            "--data needs the cluster's store: set KUBETUNE_STORE to s3://bucket with its keys, or run "
            "`kubetune login`."
        )
    return put_upload(store, data, address)


def run_end(airflow: Airflow, standing: DagRun) -> RunOutcome | None:
    """Return what a run that exists has come to; None if it goes on.

    Raises:
        ConfigError: It was cancelled or failed, so nothing would run.
    """
    if not standing.finished:
        return None
    end = outcome(airflow, standing, stages_of(airflow, standing.name))
    if end.code in DECIDED:
        return end
    raise ConfigError(
        f"Run {standing.name!r} was submitted before and is over ({end.word}), a run does not go on after its end: "
        f"submit under another name, or without --run; what it committed is adopted. {end.sentence}"
    )


def check_same(airflow: Airflow, run: str, conf: dict[str, Any]) -> DagRun:
    """Return a run that exists if it is the one that was asked for.

    Raises:
        ConfigError: It has another recipe or endpoint.
    """
    standing = airflow.run(run)
    differ = [name for name, value in conf.items() if standing.conf.get(name) != value]
    if differ:
        raise ConfigError(
            f"Run {run!r} exists already and is {standing.state}, with another {' and '.join(differ)}: a run "
            "keeps what it was begun with, use a new run name."
        )
    return standing


def free_name(recipe: str, airflow: Airflow, store: Store | None) -> str:
    """Return a free run id: the next `<recipe>-<n>` by Airflow's runs and by the store's.

    Where the store is not known, the time of day takes the place of the number: Airflow forgets old runs, and a name
    that the store still knows could belong to another recipe.
    """
    if store is None:
        return f"{recipe}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    prefix = f"{recipe}-"
    numbers = [name.removeprefix(prefix) for name in airflow.names(f"{prefix}%")]
    number = max((int(text) for text in numbers if text.isdecimal() and len(text) < 8), default=0) + 1
    while store.stat(layout.run_record(f"{prefix}{number}")) is not None:
        number += 1
    return f"{prefix}{number}"
