"""From the command to the pod: each process makes a recipe of a document once, and hands on what it made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_server import Done, FakeAirflow
from kubetune.config.cluster import ClusterSettings
from kubetune.config.recipe import Recipe
from kubetune.orchestration.pods import run_pods
from kubetune.orchestration.requests import RunRequest, find_recipe, read_request
from kubetune.storage.base import Store
from kubetune.storage.cached import cached_run
from kubetune.storage.commits import read_commit
from kubetune.storage.local import LocalStore
from pipelines import TOY

Kubetune = Callable[..., Done]
CLUSTER = {
    "release": "r",
    "namespace": "n",
    "images": {"registry": "", "tag": "1"},
    "store": {"url": "s3://kubetune", "endpoint": "http://minio:9000"},
    "serving": {"namespace": "n", "release": "r"},
    "accounts": {"default": "d"},
    "secrets": {},
}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the recipes that were made since it was cleared; the schema itself makes them."""
    made: list[str] = []
    usual = Recipe.model_validate.__func__  # type: ignore[attr-defined]

    def counted(cls: type[Recipe], document: Any, **rest: Any) -> Recipe:
        found: Recipe = usual(cls, document, **rest)
        made.append(found.name)
        return found

    monkeypatch.setattr(Recipe, "model_validate", classmethod(counted))
    return made


def test_each_process_between_command_and_pod_parses_the_recipe_once(
    airflow: FakeAirflow, kubetune: Kubetune, recipe: Path, bucket: Store, parsed: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\ngood,positive\nbad,negative\n", encoding="utf-8")
    done = kubetune("submit", str(recipe), "training.epochs=2", "--data", str(rows), "--run", "mine")
    assert done.code == 0, done.err
    assert parsed == ["toy"], "submit: the address of the upload is known before it is sent"

    parsed.clear()
    conf = airflow.runs["mine"]["conf"]
    request = read_request(RunRequest, conf, conf)
    cluster = ClusterSettings.model_validate(CLUSTER)
    pods = run_pods(find_recipe(request.recipe, request.overrides, tmp_path / "none"), "mine", None, cluster)
    assert parsed == ["toy"], "resolve: pods are made of one recipe"

    parsed.clear()
    container = pods["ingest"]["spec"]["containers"][0]
    assert kubetune(*(argument.replace("$$", "$") for argument in container["args"])).code == 0
    assert parsed == ["toy"], "the pod: what it was given is what it records and runs"
    assert read_commit(bucket, "mine", "ingest") is not None


def test_a_local_run_parses_its_recipe_once_and_a_stage_that_reads_it_once(
    kubetune: Kubetune, parsed: list[str], tmp_path: Path, toy_data: Path, toy_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    text = tmp_path / "toy.yaml"
    text.write_text(TOY.format(data=toy_data, model=toy_model), encoding="utf-8")
    store = str(tmp_path / "store")
    for words in (["run", str(text), "--until", "ingest", "--run", "a"], ["stage", "ingest", "--run", "a"]):
        parsed.clear()
        done = kubetune(*words, "--store", store)
        assert done.code == 0, done.err
        assert parsed == ["toy"], words
    found = cached_run(LocalStore(Path(store)), "a")
    assert read_commit(found, "a", "ingest") is not None
