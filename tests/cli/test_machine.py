"""What a machine lacks is found before anything runs; the template for one's own CSV asks for nothing special."""

from pathlib import Path

import pytest

import toys
from commands import kubetune, last_line
from kubetune.config.load import load_recipe
from kubetune.errors import ConfigError
from kubetune.execution import machine


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without a GPU whose container may use 8 GiB."""
    (tmp_path / "memory.max").write_text(f"{8 << 30}\n")
    monkeypatch.setattr(machine.visible_gpus, "__defaults__", (tmp_path,))
    monkeypatch.setattr(machine.total_memory, "__defaults__", (tmp_path,))


def test_the_template_asks_for_no_gpu_and_no_column_but_text_and_label(small: None) -> None:
    recipe = load_recipe("tickets")
    machine.require(recipe)
    assert recipe.data.columns.keep == [] and set(recipe.evaluation.slices) == {"length", "label"}


def test_all_that_is_lacking_is_said_at_once_with_what_to_do(small: None) -> None:
    recipe = load_recipe("tickets", ["resources.train={gpus: 2, memory: 12Gi}", "resources.evaluate.hardware=gpu"])
    with pytest.raises(ConfigError) as caught:
        machine.require(recipe)
    said = str(caught.value)
    assert "resources.train asks for 2 GPU(s) and 0 can be used" in said and "resources.train.gpus=0" in said
    assert "resources.train.memory is 12Gi and there are 8.0 GiB" in said
    assert "resources.evaluate asks for 1 GPU(s)" in said and "kubetune submit" in said
    machine.require(recipe, ["ingest", "prepare"])


@pytest.mark.parametrize(
    ("asked", "fits"), [("8Gi", True), ("8500M", True), ("9Gi", False), ("0.5Ti", False), ("x", True)]
)
def test_memory_is_compared_in_kubernetes_units(small: None, asked: str, fits: bool) -> None:
    recipe = load_recipe("tickets", [f"resources.train.memory={asked}"])
    if fits:
        machine.require(recipe)
        return
    with pytest.raises(ConfigError, match=f"memory is {asked}"):
        machine.require(recipe)


@pytest.mark.slow
def test_validate_and_run_refuse_before_the_first_stage(tmp_path: Path) -> None:
    change = "resources.train.gpus=64"
    for words in (["validate", "tickets", change], ["run", "tickets", change]):
        done = kubetune(tmp_path, *words)
        assert done.returncode == 78, done.stderr
        assert "asks for 64 GPU(s)" in last_line(done)
    assert not list((tmp_path / "kubetune-store").rglob("run.json")), "no empty run is left behind"
    assert kubetune(tmp_path, "validate", "--cluster", "tickets", change).returncode == 0


@pytest.mark.slow
def test_the_template_runs_as_the_quickstart_writes_it(tmp_path: Path, toy_model: Path) -> None:
    rows = [f"{row['text']},{row['label']}" for row in toys.toy_rows(240)]
    (tmp_path / "tickets.csv").write_text("\n".join(["body,queue", *rows]) + "\n", encoding="utf-8")
    written = kubetune(tmp_path, "recipes", "tickets").stdout
    model = f"model: {{source: {{kind: path, path: {toy_model}}}, max_length: 32}}\ntraining:"
    before, after = written.partition("model:")[0], written.partition("training:")[2]
    (tmp_path / "mine.yaml").write_text(before + model + after, encoding="utf-8")
    checked = kubetune(tmp_path, "validate", "mine.yaml")
    assert checked.returncode == 0, checked.stderr
    done = kubetune(tmp_path, "run", "mine.yaml", "--until", "evaluate", "training.epochs=1")
    assert done.returncode == 77, done.stderr  # one word tells the label, which tf-idf sees at once
    assert "of tf-idf" in last_line(done)
