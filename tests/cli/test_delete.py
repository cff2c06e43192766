"""`delete` takes many names and patterns, asks, and never takes what serves or is a champion."""

from pathlib import Path

import pytest

from commands import kubetune, last_line
from kubetune import layout
from kubetune.cli.runs import matched
from kubetune.config.load import canonical, load_recipe
from kubetune.errors import ConfigError
from kubetune.storage.endpoints import ServedArchive, change_endpoint
from kubetune.storage.local import LocalStore
from kubetune.storage.records import encode
from kubetune.storage.registry import RegisteredModel, Version
from kubetune.storage.runs import create_run, list_runs

pytestmark = pytest.mark.slow

KNOWN = ["try-1", "try-2", "keep-1"]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    found = LocalStore(tmp_path / "kubetune-store")
    for run in KNOWN:
        create_run(found, run, canonical(load_recipe("tickets")))
    return found


def a_champion(store: LocalStore, run: str) -> None:
    version = Version(1, run, "a" * 64, "b" * 64, "c" * 64, "promote", "2026-01-01T00:00:00Z")
    model = RegisteredModel("tickets", 1, (version,), (1,), 1)
    assert store.create(layout.model("tickets"), encode(model.to_json()))


def left(store: LocalStore) -> set[str]:
    return {item.run for item in list_runs(store)}


def test_names_and_patterns_each_once_in_order() -> None:
    assert matched("run", ["try-2", "try-*", "keep-[0-9]"], KNOWN) == ["try-2", "try-1", "keep-1"]
    for wrong in ("other", "no-*"):
        with pytest.raises(ConfigError, match=f"No run is called '{wrong[:4]}.*nothing was deleted"):
            matched("run", ["try-1", wrong], KNOWN)


def test_many_are_deleted_by_pattern_only_where_somebody_agrees(store: LocalStore, tmp_path: Path) -> None:
    refused = kubetune(tmp_path, "delete", "try-*")
    assert refused.returncode == 78 and "--yes" in last_line(refused)
    assert left(store) == set(KNOWN)
    done = kubetune(tmp_path, "delete", "try-*", "--yes")
    assert done.returncode == 0, done.stderr
    assert left(store) == {"keep-1"}


def test_a_champions_run_stays_and_so_does_all_else_that_was_named(store: LocalStore, tmp_path: Path) -> None:
    a_champion(store, "try-2")
    done = kubetune(tmp_path, "delete", "*", "--yes")
    assert done.returncode == 78 and "made the champion of tickets" in last_line(done)
    assert left(store) == set(KNOWN)


def test_a_model_goes_once_nothing_serves_it_and_its_comparisons_stay(store: LocalStore, tmp_path: Path) -> None:
    a_champion(store, "try-2")
    target = ServedArchive("try-2", ())
    change_endpoint(store, "tickets", lambda old: type(old)("x", desired=target, observed=target), event="e", at="now")
    store.put(layout.comparisons("tickets"), b"{}")
    done = kubetune(tmp_path, "models", "delete", "tickets", "--yes")
    assert done.returncode == 78 and "kubetune endpoints delete tickets" in last_line(done)
    assert kubetune(tmp_path, "endpoints", "delete", "tickets", "--yes").returncode == 0
    assert store.stat(layout.endpoint("tickets")) is None
    done = kubetune(tmp_path, "models", "delete", "tick*", "--yes")
    assert done.returncode == 0, done.stderr
    assert store.stat(layout.model("tickets")) is None
    assert store.stat(layout.comparisons("tickets")) is not None, "alpha that was spent stays spent"
