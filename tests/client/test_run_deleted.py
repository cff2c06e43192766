"""A run that somebody deletes while it is executed: its records are cached, and the end says so all the same."""

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_server import Done
from kubetune.cli.run import ShownRun
from kubetune.execution.adopt import StageResult
from kubetune.plan import StageCall
from kubetune.storage.local import LocalStore
from kubetune.storage.runs import delete_run, list_runs
from pipelines import TOY


def test_a_run_that_was_deleted_meanwhile_does_not_end_well(
    kubetune: Callable[..., Done], tmp_path: Path, toy_data: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, store = tmp_path / "toy.yaml", tmp_path / "store"
    text.write_text(TOY.format(data=toy_data, model=toy_model), encoding="utf-8")
    words = ["run", str(text), "--until", "ingest", "--store", str(store)]
    assert kubetune(*words, "--run", "first").code == 0
    usual = ShownRun.tell

    def tell(work: ShownRun, call: StageCall, result: StageResult) -> None:
        usual(work, call, result)
        delete_run(LocalStore(store), "second")  # by another process, which has a store of its own

    monkeypatch.setattr(ShownRun, "tell", tell)
    done = kubetune(*words, "--run", "second")
    assert done.code == 78 and "Run 'second' does not exist" in done.last, done
    assert "adopted from first" in done.out
    assert [item.run for item in list_runs(LocalStore(store))] == ["first"]
