"""The mirror in MLflow's own database: repeated, killed, rebuilt, beside others, it is always what the store says."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tracked_toys as toys
from kubetune import layout
from kubetune.config.settings import Settings
from kubetune.models.register import withdraw
from kubetune.storage.commits import create_commit
from kubetune.storage.runs import delete_run, record_attempt
from kubetune.tracking.facts import BEGUN, RUN, STORE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # MLflow uses what its own libraries call deprecated
]


class KilledError(BaseException):
    """Stands for the end of the process."""


class Dying:
    """MLflow's client in a process that is killed before its nth writing call, or after it where `late`."""

    def __init__(self, client: Any, calls: int, *, late: bool) -> None:
        self._client, self._left, self._late = client, calls, late

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name.startswith(("get", "search", "list")):
            return found

        def call(*words: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left < 0 and not self._late:
                raise KilledError
            answer = found(*words, **named)
            if self._left < 0:
                raise KilledError
            return answer

        return call


def test_everything_is_mirrored_and_a_second_time_changes_nothing(filled: Settings) -> None:
    done = toys.sync(filled)
    assert len(done.runs) == 7
    assert done.models == ["toy"]
    first = toys.contents(filled)
    again = toys.sync(filled)
    assert (again.runs, again.models, again.refused) == ([], [], {})
    assert toys.contents(filled) == first

    run = first["runs"]["toy-1"]
    assert run["times"][0] == "FINISHED"
    assert run["params"]["training.batch"] == "16"
    assert [value for _, _, value in run["metrics"]["training/loss"]] == [0.9, 0.7]
    assert run["metrics"]["validation/macro_f1"] == [(2, 1_003_000, 0.6)]
    assert run["metrics"]["evaluate/macro_f1"][0][2] == 0.9204
    assert run["files"] == ["decision/decision.json", "decision/report.html", "report/report.html"]
    assert run["tags"]["kubetune.decision"] == "promote"
    states = {name: found["times"][0] for name, found in first["runs"].items()}
    assert states == {
        "toy-1": "FINISHED", "toy-2": "FINISHED", "toy-3": "FAILED", "toy-4": "RUNNING",
        "rates": "FINISHED", "rates-1": "FINISHED", "rates-2": "RUNNING",
    }  # fmt: skip


def test_an_adopting_run_names_its_source_and_repeats_no_curve(filled: Settings) -> None:
    toys.sync(filled)
    run = toys.contents(filled)["runs"]["toy-2"]
    assert run["tags"]["kubetune.stage.train.adopted_from"] == "toy-1"
    assert "training/loss" not in run["metrics"]
    assert "evaluate/macro_f1" in run["metrics"]


def test_trials_are_nested_in_their_sweep(filled: Settings) -> None:
    toys.sync(filled)
    runs = toys.contents(filled)["runs"]
    assert {name for name, run in runs.items() if run["tags"]["mlflow.parentRunId"] == "rates"} == {
        "rates-1",
        "rates-2",
    }
    assert runs["rates"]["tags"]["kubetune.winner"] == "rates-2"


def test_a_pass_without_news_does_not_ask_mlflow(filled: Settings) -> None:
    with toys.syncing(filled) as syncer:
        syncer.once()
        syncer.mirror.client = None
        assert syncer.once().runs == []


def test_a_growing_run_is_followed(settings: Settings) -> None:
    store = toys.store_of(settings)
    toys.begin(store, "toy-1")
    with toys.syncing(settings) as syncer:
        for count in (1, 2, 3, 4):
            toys.history(store, "toy-1", toys.LINES[:count])
            assert syncer.once().runs == ["toy-1"]
        assert toys.contents(settings)["runs"]["toy-1"]["times"][0] == "RUNNING"
        record_attempt(
            store, "toy-1", "train", "a", {"exit_code": 75, "kind": "InterruptedRunError", "reason": "row 7"}
        )
        syncer.once()
        failed = toys.contents(settings)["runs"]["toy-1"]
        assert failed["times"][0] == "FAILED"
        assert failed["tags"]["kubetune.failure"] == "train ended with 75 (InterruptedRunError)"
        for record in toys.commits_of(store, "toy-1").values():
            create_commit(store, record)
        syncer.once()
    followed = toys.contents(settings)
    assert "kubetune.failure" not in followed["runs"]["toy-1"]["tags"]
    with toys.syncing(settings) as fresh:
        fresh.rebuild()
    assert toys.contents(settings) == followed


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("calls", [0, 1, 2, 6, 30])
def test_a_killed_sync_is_finished_by_the_next(filled: Settings, calls: int, late: bool) -> None:
    with pytest.raises(KilledError):
        toys.sync(filled, lambda client: Dying(client, calls, late=late))
    toys.sync(filled)
    killed = toys.contents(filled)
    with toys.syncing(filled) as syncer:
        syncer.rebuild()
    assert toys.contents(filled) == killed
    assert len(killed["runs"]) == 7
    assert sorted(killed["models"]["toy"]["versions"]) == [1, 2]


def test_aliases_follow_promotion_and_rollback(filled: Settings) -> None:
    store = toys.store_of(filled)
    toys.sync(filled)
    found = toys.contents(filled)["models"]["toy"]
    assert found["aliases"] == {"champion": 2, "previous": 1, "candidate": 2}
    assert [found["versions"][number][2] for number in (1, 2)] == ["toy-1", "rates-2"]
    toys.roll_back(store)
    toys.sync(filled)
    found = toys.contents(filled)["models"]["toy"]
    assert found["aliases"] == {"champion": 1, "candidate": 2}
    assert found["versions"][2][0]["kubetune.withdrawn"] == "rolled back"
    withdraw(store, "toy", "aa" * 32, toys.AT, "no answer")
    toys.sync(filled)
    found = toys.contents(filled)["models"]["toy"]
    assert found["aliases"] == {"champion": 2, "previous": 1, "candidate": 2}
    assert "kubetune.withdrawn" not in found["versions"][2][0]
    toys.roll_back(store)
    toys.sync(filled)
    toys.register(store, "rates-2", "bb")
    toys.sync(filled)
    found = toys.contents(filled)["models"]["toy"]
    assert found["aliases"] == {"champion": 2, "previous": 1, "candidate": 2}
    assert "kubetune.withdrawn" not in found["versions"][2][0]


def test_versions_that_somebody_else_made_are_put_right(filled: Settings) -> None:
    toys.sync(filled)
    before = toys.contents(filled)["models"]["toy"]["versions"]
    with toys.syncing(filled) as syncer:
        syncer.mirror.client.create_model_version("toy", "kubetune:by-hand")
    toys.register(toys.store_of(filled), "toy-2", "cc")
    toys.sync(filled)
    after = toys.contents(filled)["models"]["toy"]["versions"]
    assert sorted(after) == [1, 2, 3]
    assert {number: after[number] for number in (1, 2)} == before


def test_a_registered_model_of_somebody_else_is_left_alone(filled: Settings) -> None:
    with toys.syncing(filled) as syncer:
        syncer.mirror.client.create_registered_model("toy", tags={"owner": "anna"})
        done = syncer.once()
        assert "is not of this store" in done.refused["model toy"]
        assert len(done.runs) == 7
        assert syncer.mirror.client.get_registered_model("toy").tags == {"owner": "anna"}


def test_a_run_that_was_deleted_and_begun_again_is_another(filled: Settings) -> None:
    store = toys.store_of(filled)
    toys.sync(filled)
    delete_run(store, "toy-1")
    toys.begin(store, "toy-1", "training.batch=8")
    toys.sync(filled)
    run = toys.contents(filled)["runs"]["toy-1"]
    assert run["params"]["training.batch"] == "8"
    assert run["metrics"] == {}


def test_the_second_of_two_runs_that_two_machines_made_is_removed(filled: Settings) -> None:
    toys.sync(filled)
    before = toys.contents(filled)
    with toys.syncing(filled) as syncer:
        one = syncer.mirror.found_runs()["toy-4"]
        tags = {name: one.data.tags[name] for name in (RUN, STORE, BEGUN)}
        syncer.mirror.client.create_run(one.info.experiment_id, one.info.start_time, tags, "toy-4")
    toys.sync(filled)
    assert toys.contents(filled) == before


def test_a_broken_page_keeps_nothing_else_from_being_mirrored(filled: Settings) -> None:
    store = toys.store_of(filled)
    written = toys.commits_of(store, "toy-1")["evaluate"].outputs["report"]
    (page,) = [file for file in written if file.path == "report.html"]
    store.put(layout.blob(page.sha256), b"rotten")
    done = toys.sync(filled)
    assert set(done.refused) == {"toy-1", "toy-2"}
    assert len(done.runs) == 5


def test_an_empty_store_gets_no_database(tmp_path: Path) -> None:
    settings = toys.settings_of(tmp_path)
    assert toys.sync(settings).runs == []
    assert not (tmp_path / "store" / "mlflow.db").exists()


def test_rows_of_data_are_in_no_table(filled: Settings) -> None:
    """The mirror holds names, numbers and digests; a failed attempt's reason may quote a row and stays away."""
    store = toys.store_of(filled)
    record_attempt(store, "toy-4", "train", "x", {"exit_code": 65, "kind": "DataError", "reason": "SECRETROW is empty"})
    toys.sync(filled)
    with sqlite3.connect(Path(filled.store) / "mlflow.db") as database:
        assert "SECRETROW" not in "\n".join(database.iterdump())


def test_two_syncs_at_once_make_each_run_once(filled: Settings) -> None:
    command = [sys.executable, "-m", "kubetune", "tracking", "sync", "--store", filled.store]
    environment = {**os.environ, "KUBETUNE_TRACKING": "local"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    said = [process.communicate(timeout=200) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(toys.contents(filled)["runs"]) == 7
