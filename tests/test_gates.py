"""A refusal holds: on the run, on its retry, for every later stage, and when another run adopts the commit."""

from pathlib import Path

import pytest

import toys
from kubetune.errors import ConfigError, RefusedError
from kubetune.execution.run import open_configured_store, run_stage
from kubetune.plan import call_of
from kubetune.storage.commits import committed, read_commit
from pipelines import Silent, run_plan, settings_of, toy_recipe

IMPOSSIBLE = "evaluation.thresholds=[{metric: accuracy, at_least: 1.1}]"
SENTENCE = r"accuracy.*1\.1"


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory, toy_model: Path):
    """A store in which run `first` was refused by its thresholds."""
    folder = tmp_path_factory.mktemp("refused")
    data = toys.write_jsonl(folder / "rows.jsonl", toys.toy_rows(120))
    settings = settings_of(folder)
    store = open_configured_store(settings)
    recipe = toy_recipe(data, toy_model, [IMPOSSIBLE])
    with pytest.raises(RefusedError, match=SENTENCE) as caught:
        run_plan(recipe, "first", store, settings)
    assert caught.value.exit_code == 77
    return recipe, store, settings


def test_the_report_is_committed_with_its_verdict_and_nothing_after_it(refused) -> None:
    _, store, _ = refused
    found = committed(store, "first", ["train", "evaluate", "package"])
    assert set(found) == {"train", "evaluate"}
    assert found["evaluate"].verdict.code == 77
    assert {file.path for file in found["evaluate"].outputs["report"]} >= {"report.html", "metrics.json"}


def test_the_sentence_says_which_number_missed_by_how_much(refused) -> None:
    _, store, _ = refused
    (reason,) = read_commit(store, "first", "evaluate").verdict.reasons
    accuracy = read_commit(store, "first", "evaluate").metrics["accuracy"]
    assert f"{accuracy:.4f}"[:5] in reason
    assert f"{1.1 - accuracy:.4f}"[:4] in reason


def test_a_retry_refuses_again_without_running(refused) -> None:
    recipe, store, settings = refused
    with pytest.raises(RefusedError, match=SENTENCE):
        run_plan(recipe, "first", store, settings)


def test_a_later_stage_called_directly_refuses(refused) -> None:
    recipe, store, settings = refused
    for stage in ("package", "deploy"):
        with pytest.raises(RefusedError, match=SENTENCE):
            run_stage(call_of(stage, recipe, "first"), store, settings, progress=Silent())


def test_another_run_that_adopts_the_commit_refuses_too(refused) -> None:
    recipe, store, settings = refused
    with pytest.raises(RefusedError, match=SENTENCE):
        run_plan(recipe, "second", store, settings)
    assert read_commit(store, "second", "evaluate").verdict.code == 77
    with pytest.raises(RefusedError, match=SENTENCE):
        run_stage(call_of("package", recipe, "second"), store, settings, progress=Silent())


def test_a_stage_whose_inputs_are_missing_says_what_to_run(refused) -> None:
    recipe, store, settings = refused
    with pytest.raises(ConfigError, match="stage ingest has not committed: run `kubetune stage ingest --run third`"):
        run_stage(call_of("prepare", recipe, "third"), store, settings, progress=Silent())


def test_a_source_that_changes_while_it_is_read_commits_nothing(
    tmp_path: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else new rows would lie under the key of the old ones, and every later skip would be unsound."""
    import kubetune.stages.ingest as ingest
    from kubetune.errors import TemporaryError

    data = toys.write_jsonl(tmp_path / "rows.jsonl", toys.toy_rows(40))
    settings = settings_of(tmp_path)
    store = open_configured_store(settings)
    real = ingest.run

    def read_and_edit(*arguments):
        result = real(*arguments)
        toys.write_jsonl(data, toys.toy_rows(41))
        return result

    monkeypatch.setattr(ingest, "run", read_and_edit)
    call = call_of("ingest", toy_recipe(data, toy_model), "r")
    with pytest.raises(TemporaryError, match="changed while it was read"):
        run_stage(call, store, settings, progress=Silent())
    assert read_commit(store, "r", "ingest") is None
