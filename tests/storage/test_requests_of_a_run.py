"""How many requests an S3 server gets from a run whose results exist: one a record, counted where they arrive."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import toys
from fault_proxy import Proxy
from kubetune import layout
from kubetune.config.recipe import Recipe
from kubetune.config.settings import Settings
from kubetune.contract import Verdict
from kubetune.errors import ConfigError
from kubetune.execution.adopt import StageResult, prepare_call
from kubetune.execution.local import execute_plan
from kubetune.execution.states import run_lines
from kubetune.plan import StageCall, plan
from kubetune.stages import STAGES
from kubetune.storage.base import Store
from kubetune.storage.blobs import File, put_blob, put_tree
from kubetune.storage.cached import cached_run
from kubetune.storage.commits import Commit, create_commit, index, lookup, quarantine, read_commit
from kubetune.storage.runs import create_run, delete_run, record_attempt
from pipelines import Silent, settings_of, toy_recipe

RECORDS = {
    "recipe": r"/runs/[^/]+/run\.json",
    "commit": r"/runs/[^/]+/[^/]+/COMMIT\.json",
    "attempt": r"/attempts/",
    "index": r"/keys/",
    "blob": r"/blobs/",
    "model": r"/models/",
}
COMMITTED = [stage.name for stage in STAGES if stage.outputs]
FILES = sum(len(stage.outputs) for stage in STAGES)
"""Each artifact of the runs below is one file."""


def counted(proxy: Proxy) -> Counter[str]:
    """Requests by method and record since the last call; a listing by its prefix."""
    lines, found = proxy.seen[:], Counter[str]()
    proxy.seen.clear()
    for line in lines:
        method, _, path = line.partition(" ")
        if listed := re.search(r"prefix=[^&]*?%2F([^&]*)", path):
            found[f"LIST {listed[1].replace('%2F', '/')}"] += 1
            continue
        found[f"{method} {next((name for name, rule in RECORDS.items() if re.search(rule, path)), path)}"] += 1
    return found


class Onlooker:
    """Watches an execution; nobody is asked."""

    def __init__(self) -> None:
        self.statuses: list[str] = []

    def tell(self, call: StageCall, result: StageResult) -> None:
        self.statuses.append(result.status)

    def approve(self, call: StageCall) -> StageCall:
        raise AssertionError(call)


class World:
    """A store behind a counting proxy, with a run whose results exist. Bodies are not what is counted here."""

    def __init__(self, store: Store, proxy: Proxy, folder: Path, model: Path) -> None:
        self.store, self.proxy, self.folder = store, proxy, folder
        self.settings: Settings = settings_of(folder)
        data = toys.write_jsonl(folder / "rows.jsonl", toys.toy_rows(20))
        self.recipe: Recipe = toy_recipe(data, model)
        for call in plan(self.recipe, "first", until="package"):
            self.commit(call)
        counted(proxy)

    def commit(self, call: StageCall) -> None:
        """Commit a stage with one small file an artifact."""
        prepared = prepare_call(call, self.store, self.settings)
        outputs = {}
        for name in call.stage.outputs:
            folder = self.folder / call.run / name
            folder.mkdir(parents=True)
            (folder / "archive.json").write_text(f"{call.run} {name}", encoding="utf-8")
            outputs[name] = put_tree(self.store, folder)
        facts = {"champion": dict(prepared.champion.document)} if prepared.champion is not None else {}
        done = Commit(call.run, call.stage.name, prepared.key, prepared.fields, prepared.digests, outputs, facts=facts)
        index(self.store, create_commit(self.store, done))

    def run(self, name: str) -> tuple[set[str], Counter[str]]:
        """Run the plan; return the statuses and what was asked of the store."""
        onlooker = Onlooker()
        calls = plan(self.recipe, name, until="package")
        execute_plan(calls, self.store, self.settings, onlooker, Silent())
        return set(onlooker.statuses), counted(self.proxy)


@pytest.fixture
def store(through: Callable[..., Store]) -> Store:
    """An empty store behind the proxy."""
    return through()


def a_commit(run: str, stage: str, **values: Any) -> Commit:
    return Commit(run, stage, "k" * 64, **values)


@pytest.mark.slow
def test_a_run_whose_results_exist_asks_once_for_each_record(
    store: Store, proxy: Proxy, tmp_path: Path, toy_model: Path
) -> None:
    world = World(store, proxy, tmp_path, toy_model)
    statuses, asked = world.run("second")
    assert statuses == {"adopted"}
    stages = len(COMMITTED)
    assert asked == {
        "GET recipe": 1,
        "PUT recipe": 1,
        "GET commit": stages,  # its own, which is not there yet
        "PUT commit": stages,
        "GET index": stages,
        "HEAD blob": FILES,  # each time, since `gc` may have taken one
        "GET model": 1,  # who is champion
    }
    statuses, asked = world.run("second")
    assert statuses == {"kept"}
    assert asked == {"GET recipe": 1, "GET commit": stages, "GET index": stages, "HEAD blob": FILES}


def test_a_listing_asks_once_for_each_record(store: Store, proxy: Proxy) -> None:
    for run in ("first", "second", "third"):
        create_run(store, run, {"name": "toy"})
    for run, stage in product(("first", "second"), COMMITTED):
        create_commit(store, a_commit(run, stage))
    for attempt in ("try-1", "try-2"):
        record_attempt(store, "third", "ingest", attempt, {"exit_code": 65, "reason": attempt})
    counted(proxy)
    states = {line.run: line.state for line in run_lines(store)}
    assert states == {"first": "complete", "second": "complete", "third": "failed at ingest"}
    assert counted(proxy) == {
        "GET recipe": 3,
        "GET commit": 2 * len(COMMITTED),
        "GET attempt": 1,  # the last one says how the stage ended
        "LIST runs/": 1,
        "LIST models/": 1,
        "LIST endpoints/": 1,
    }


def test_what_is_absent_or_of_another_run_is_asked_for_again(store: Store, proxy: Proxy) -> None:
    cache = cached_run(store, "ours")
    assert cached_run(cache, "ours") is cache and cached_run(cache, "theirs") is not cache
    assert read_commit(cache, "ours", "train") is None
    for run in ("ours", "theirs"):
        create_commit(store, a_commit(run, "train"))
    counted(proxy)
    for _ in range(3):
        assert read_commit(cache, "ours", "train") == a_commit("ours", "train")
    assert counted(proxy) == {"GET commit": 1}
    for _ in range(3):
        assert read_commit(cache, "theirs", "train") is not None
    assert counted(proxy) == {"GET commit": 3}


def test_a_key_that_was_taken_out_of_use_is_seen_at_once(store: Store) -> None:
    cache = cached_run(store, "ours")
    digest = put_blob(store, b"weights")
    made = create_commit(store, a_commit("ours", "train", outputs={"model": (File("model", 7, digest),)}))
    index(store, made)
    assert lookup(cache, "train", made.key).commit == made
    quarantine(store, "train", made.key, [digest], "a reader found other bytes")
    assert lookup(cache, "train", made.key).broken == {digest}


def test_a_broken_record_is_not_kept(store: Store) -> None:
    create_commit(store, a_commit("ours", "train"))
    key, cache = layout.commit("ours", "train"), cached_run(store, "ours")
    whole = store.get(key)
    assert whole is not None
    store.put(key, whole.data[:-40])
    assert read_commit(cache, "ours", "train") is None
    store.put(key, whole.data)
    assert read_commit(cache, "ours", "train") is not None


def test_what_this_process_writes_takes_the_place_of_what_it_kept(store: Store, proxy: Proxy) -> None:
    cache = cached_run(store, "ours")
    create_run(cache, "ours", {"name": "toy"})
    with pytest.raises(ConfigError, match="begun with another recipe"):
        create_run(cache, "ours", {"name": "other"})
    found = cache.get(layout.run_record("ours"))
    assert found is not None
    assert cache.swap(layout.run_record("ours"), b"{}", found.etag) is None, "its etag was never asked for"
    assert delete_run(cache, "ours") == 1
    create_run(cache, "ours", {"name": "other"})
    counted(proxy)
    kept = a_commit("ours", "train", verdict=Verdict(77, ("no",)))
    assert create_commit(cache, kept) == kept == create_commit(cache, kept) == read_commit(cache, "ours", "train")
    assert counted(proxy) == {"PUT commit": 1}, "a record that this process created is known"
    assert delete_run(cache, "ours") == 2 and read_commit(cache, "ours", "train") is None
    create_commit(cache, kept)
    delete_run(store, "ours")
    cache.forget(layout.commit("ours", "train"))
    assert read_commit(cache, "ours", "train") is None
