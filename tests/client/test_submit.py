"""`kubetune submit`: what reaches Airflow, what is refused before anything does, and what a second time does."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from airflow_server import Done, FakeAirflow
from kubetune import layout
from kubetune.config.load import canonical, load_recipe
from kubetune.storage.base import Store
from kubetune.storage.uploads import fetch_upload

Kubetune = Callable[..., Done]


def test_the_dag_gets_the_whole_recipe_as_this_machine_reads_it(
    airflow: FakeAirflow, kubetune: Kubetune, recipe: Path
) -> None:
    done = kubetune("submit", str(recipe), "training.epochs=2", "--set", "training.seed=7", "--run", "mine")
    assert done.code == 0, done.err
    assert "run mine is submitted" in done.out
    conf = airflow.runs["mine"]["conf"]
    assert (conf["overrides"], conf["run"], conf["endpoint"]) == ([], "mine", None)
    assert yaml.safe_load(conf["recipe"]) == canonical(
        load_recipe(str(recipe), ["training.epochs=2", "training.seed=7"])
    )


def test_the_same_submission_again_changes_nothing(airflow: FakeAirflow, kubetune: Kubetune, recipe: Path) -> None:
    assert kubetune("submit", str(recipe), "--run", "mine").code == 0
    again = kubetune("submit", str(recipe), "--run", "mine")
    assert again.code == 0 and "submitted before, with the same recipe" in again.out
    other = kubetune("submit", str(recipe), "training.seed=3", "--run", "mine")
    assert other.code == 78 and "exists already and is queued, with another recipe" in other.last
    moved = kubetune("submit", str(recipe), "--run", "mine", "--endpoint", "elsewhere")
    assert moved.code == 78 and "another endpoint" in moved.last
    assert len(airflow.runs) == 1


@pytest.mark.parametrize(
    ("state", "stages", "note", "code", "said"),
    [
        ("failed", {"train": "failed"}, "cancelled with `kubetune cancel` by ada", 78, "over (cancelled)"),
        ("failed", {"train": "failed"}, "", 78, "over (failed)"),
        ("failed", {"evaluate": "failed"}, "", 0, "is over (refused)"),
        ("success", {"compare": "skipped"}, "", 0, "is over (nothing to do)"),
        ("success", {"compare": "success"}, "", 0, "is over (complete)"),
    ],
)
def test_a_run_that_is_over_is_said_to_be_when_it_is_submitted_again(
    airflow: FakeAirflow, kubetune: Kubetune, recipe: Path, state: str, stages: dict[str, str], note: str, code: int,
    said: str,
) -> None:  # fmt: skip
    assert kubetune("submit", str(recipe), "--run", "mine").code == 0
    airflow.end("mine", state)
    airflow.runs["mine"]["note"] = note
    for name, word in stages.items():
        airflow.add_task("mine", name, word)
    airflow.reasons["mine", "evaluate"] = "refused by a gate: accuracy 0.6 is below 0.9"
    again = kubetune("submit", str(recipe), "--run", "mine")
    assert again.code == code
    assert said in again.out + again.last
    assert "kubetune follow" not in again.out, "there is nothing to follow"


@pytest.mark.parametrize("words", [["--run", "mine"], []])
def test_a_lost_reply_is_no_second_run(
    airflow: FakeAirflow, kubetune: Kubetune, recipe: Path, words: list[str]
) -> None:
    usual = airflow.inside

    def lost(method: str, path: str, *rest: object) -> tuple[int, object]:
        answer = usual(method, path, *rest)  # type: ignore[arg-type]
        if method == "POST":
            airflow.inside = usual  # type: ignore[method-assign]
            return 502, None
        return answer

    airflow.inside = lost  # type: ignore[method-assign, assignment]
    assert kubetune("submit", str(recipe), *words).code == 0
    assert len(airflow.runs) == 1


def test_a_mounted_recipe_comes_before_a_shipped_one(
    airflow: FakeAirflow, kubetune: Kubetune, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recipe.parent / "tweets.yaml").write_text(recipe.read_text())
    monkeypatch.setenv("KUBETUNE_RECIPES_DIR", str(recipe.parent))
    assert kubetune("submit", "tweets", "--run", "mine").code == 0
    assert yaml.safe_load(airflow.runs["mine"]["conf"]["recipe"])["name"] == "toy"


def test_names_are_the_next_free_of_airflow_and_store(
    airflow: FakeAirflow, kubetune: Kubetune, recipe: Path, bucket: Store
) -> None:
    airflow.begin("toy-3")
    bucket.put(layout.run_record("toy-4"), b"{}")
    assert "run toy-5 is submitted" in kubetune("submit", str(recipe)).out


def test_without_a_store_the_time_makes_the_name(airflow: FakeAirflow, kubetune: Kubetune, recipe: Path) -> None:
    assert kubetune("submit", str(recipe)).code == 0
    (name,) = airflow.runs
    assert name.startswith("toy-20") and airflow.runs[name]["conf"]["run"] == name


def test_a_file_is_uploaded_and_takes_the_place_of_the_data(
    airflow: FakeAirflow, kubetune: Kubetune, recipe: Path, bucket: Store, tmp_path: Path
) -> None:
    rows = tmp_path / "it's mine: all.csv"
    rows.write_text("text,label\ngood,positive\n", encoding="utf-8")
    done = kubetune("submit", str(recipe), "--data", str(rows), "--run", "mine")
    assert done.code == 0, done.err
    source = yaml.safe_load(airflow.runs["mine"]["conf"]["recipe"])["data"]["source"]
    assert source["kind"] == "files"
    assert fetch_upload(bucket, source["paths"]["all"], tmp_path / "back").read_text() == rows.read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["training.bach=1"], "did you mean `batch`?"),
        (["--run", "Not Allowed"], "inner hyphens"),
        (["--endpoint", "Not Allowed"], "inner hyphens"),
        (["--data", __file__], "--data needs the cluster's store"),
        (["--data", "missing.csv"], "missing.csv cannot be uploaded"),
        (["data.source.kind=files", "data.source.paths={all: rows.csv}"], "give the file with --data"),
    ],
)
def test_what_cannot_work_reaches_no_one(
    airflow: FakeAirflow, kubetune: Kubetune, recipe: Path, words: list[str], sentence: str
) -> None:
    done = kubetune("submit", str(recipe), *words)
    assert done.code == 78 and sentence in done.last, done
    assert not airflow.runs and not airflow.requests


def test_a_missing_file_is_named(airflow: FakeAirflow, kubetune: Kubetune, recipe: Path, bucket: Store) -> None:
    done = kubetune("submit", str(recipe), "--data", "missing.csv")
    assert done.code == 78 and "missing.csv cannot be uploaded" in done.last
    assert not airflow.runs


def test_a_paused_dag_is_said(airflow: FakeAirflow, kubetune: Kubetune, recipe: Path) -> None:
    airflow.paused = True
    assert "paused" in kubetune("submit", str(recipe), "--run", "mine").err


def test_no_dag_yet(airflow: FakeAirflow, kubetune: Kubetune, recipe: Path) -> None:
    airflow.has_dag = False
    done = kubetune("submit", str(recipe), "--run", "mine")
    assert done.code == 78 and "has no DAG 'finetune' yet" in done.last
