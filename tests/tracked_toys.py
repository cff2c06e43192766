"""Runs and models as records in a store, without running a stage, and what a mirror of them holds."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import chain_toys
from kubetune import layout
from kubetune.config.load import canonical
from kubetune.config.settings import Settings
from kubetune.contract import Verdict
from kubetune.search.sweeps import choose
from kubetune.storage.base import Store
from kubetune.storage.blobs import File, put_blob
from kubetune.storage.commits import adopt_commit, create_commit
from kubetune.storage.open import open_store
from kubetune.storage.registry import Event, Version, change_model, demote, set_champion, with_version
from kubetune.storage.runs import create_run
from kubetune.tracking.mirror import Mirror
from kubetune.tracking.sync import Syncer
from kubetune.tracking.target import client_of, tracking_target
from pipelines import toy_recipe

AT = "2026-01-01T00:00:00Z"
PAGES = {"report": ("report.html",), "decision": ("report.html", "decision.json")}
LINES = [
    {"event": "started", "at": 1000.0},
    {"event": "step", "at": 1001.0, "step": 1, "loss": 0.9, "rate": 1e-3, "norm": 2.0},
    {"event": "step", "at": 1002.0, "step": 2, "loss": 0.7, "rate": 2e-3, "norm": 1.5},
    {"event": "evaluation", "at": 1003.0, "step": 2, "epoch": 1.0, "train_loss": 0.8, "validation": {"macro_f1": 0.6}},
]


def settings_of(folder: Path, **more: Any) -> Settings:
    return Settings(**{"store": str(folder / "store"), "state_dir": folder / "state", "tracking": "local", **more})


def store_of(settings: Settings) -> Store:
    return open_store(settings.store)


def begin(store: Store, run: str, *overrides: str) -> None:
    create_run(store, run, canonical(toy_recipe(Path("/rows.jsonl"), Path("/model"), overrides)))


def history(store: Store, run: str, lines: list[dict[str, Any]], attempt: str = "a") -> None:
    data = "".join(json.dumps(line) + "\n" for line in lines)
    store.put(layout.telemetry(run, "train", f"history-{attempt}.jsonl"), data.encode())


def commits_of(store: Store, run: str) -> dict[str, Any]:
    """The commits of a run, with files that people read among their outputs."""
    found = chain_toys.commits(run)
    for stage, record in found.items():
        outputs = {}
        for artifact, files in record.outputs.items():
            pages = {name: f"<p>{artifact} {name} of {run}</p>".encode() for name in PAGES.get(artifact, ())}
            outputs[artifact] = (*files, *(File(n, len(d), put_blob(store, d)) for n, d in pages.items()))
        found[stage] = replace(record, outputs=outputs)
    facts = {"outcome": "promote", "reasons": ["A gain is shown."]}
    found["compare"] = replace(found["compare"], facts=facts)
    return found


def whole_run(store: Store, run: str, until: str = "package") -> None:
    """A run that has come as far as a stage."""
    begin(store, run)
    history(store, run, LINES)
    for stage, record in commits_of(store, run).items():
        create_commit(store, record)
        if stage == until:
            return


def adopting_run(store: Store, run: str, source: str) -> None:
    """A run that adopts all that another one made."""
    begin(store, run)
    for record in commits_of(store, source).values():
        adopt_commit(store, record, run, "b")


def refused_run(store: Store, run: str) -> None:
    begin(store, run)
    evaluated = commits_of(store, run)["evaluate"]
    create_commit(store, replace(evaluated, verdict=Verdict(77, ("macro_f1 0.5 is below 0.8.",))))


def register(store: Store, run: str, archive: str, name: str = "toy") -> None:
    version = Version(0, run, archive * 32, f"model-{archive}", "0" * 64, "promote", AT)
    event = Event("promoted", AT, run, "A gain is shown.")

    def change(model: Any) -> Any:
        model, standing = with_version(model, version)
        return set_champion(model, standing.number), event

    change_model(store, name, change)


def roll_back(store: Store, name: str = "toy") -> None:
    change_model(store, name, lambda model: (demote(model, "person"), Event("rolled-back", AT, "anna", "slower")))


def fill(settings: Settings) -> None:
    """A complete run, one that adopts it, a refused and an open one, a sweep, and a model of two versions."""
    store = store_of(settings)
    whole_run(store, "toy-1")
    adopting_run(store, "toy-2", "toy-1")
    refused_run(store, "toy-3")
    whole_run(store, "toy-4", until="prepare")
    for number in (1, 2):
        begin(store, f"rates-{number}", f"training.seed={number}")
        trained = commits_of(store, f"rates-{number}")["train"]
        create_commit(store, replace(trained, metrics={"validation_macro_f1": 0.5 + number / 10}))
    choose(store, "rates", ["rates-1", "rates-2"])
    register(store, "toy-1", "aa")
    register(store, "rates-2", "bb")


@contextmanager
def syncing(settings: Settings, around: Any = None) -> Iterator[Syncer]:
    """A syncer of its own, as a process has one; `around` wraps MLflow's client."""
    target = tracking_target(settings)
    assert target is not None
    with client_of(target, settings) as opened:
        made = opened if around is None else (lambda: around(opened()))
        yield Syncer(Mirror(made, target, store_of(settings), settings.tracking_experiment))


def sync(settings: Settings, around: Any = None) -> Any:
    with syncing(settings, around) as syncer:
        return syncer.once()


def contents(settings: Settings) -> dict[str, Any]:
    """All that stands in the mirror, without the ids that MLflow draws."""
    with syncing(settings) as syncer:
        runs, client = syncer.mirror.found_runs(), syncer.mirror.client
        names = {run.info.run_id: name for name, run in runs.items()}
        experiment = syncer.mirror.experiment_id(create=False)
        assert len(client.search_runs([experiment])) == len(runs)
        assert client.get_experiment(experiment).tags["mlflow.experimentKind"] == "custom_model_development"
        models = syncer.mirror.found_models()
        return {
            "runs": {name: _run(client, run, names) for name, run in runs.items()},
            "models": {name: _model(client, name, model, names) for name, model in models.items()},
        }


def _run(client: Any, run: Any, names: dict[str, str]) -> dict[str, Any]:
    tags = dict(run.data.tags)
    tags["mlflow.parentRunId"] = names.get(tags.get("mlflow.parentRunId", ""), "")
    curves = {
        name: sorted(
            (item.step, item.timestamp, item.value) for item in client.get_metric_history(run.info.run_id, name)
        )
        for name in run.data.metrics
    }
    files = sorted(
        file.path
        for folder in client.list_artifacts(run.info.run_id)
        for file in client.list_artifacts(run.info.run_id, folder.path)
    )
    times = (run.info.status, run.info.start_time, run.info.end_time)
    return {"times": times, "tags": tags, "params": dict(run.data.params), "metrics": curves, "files": files}


def _model(client: Any, name: str, model: Any, names: dict[str, str]) -> dict[str, Any]:
    versions = {
        int(version.version): (dict(version.tags), version.source, names.get(version.run_id or ""))
        for version in client.search_model_versions(f"name = '{name}'")
    }
    aliases = {alias: int(number) for alias, number in model.aliases.items()}
    return {"tags": dict(model.tags), "aliases": aliases, "versions": versions}
