"""The body of stage `fetch`, given what the runner gives it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kubetune.config.model_sources import PathModel, ScratchModel
from kubetune.errors import DataError
from kubetune.stages import BY_NAME, fetch


class Said:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, what: str, total: int | None = None) -> None:
        self.lines.append(what)

    def advance(self, by: int = 1, **facts: float | str) -> None:
        pass

    def note(self, line: str) -> None:
        self.lines.append(line)


def run(source: Any, folder: Path) -> tuple[Any, dict[str, Path], Said]:
    outputs = {name: folder / name for name in BY_NAME["fetch"].outputs}
    for path in (*outputs.values(), folder / "scratch"):
        path.mkdir(parents=True)
    said = Said()
    context = SimpleNamespace(progress=said, platform={}, scratch=folder / "scratch", should_stop=lambda: False)
    config = SimpleNamespace(model=SimpleNamespace(source=source))
    return fetch.run(config, {}, outputs, context), outputs, said


def test_facts_and_metrics_are_said_and_the_same_twice(toy_model: Path, tmp_path: Path) -> None:
    source = PathModel(path=str(toy_model))
    first, outputs, said = run(source, tmp_path / "first")
    second, again, _ = run(source, tmp_path / "second")
    assert first == second
    assert first.verdict.passed
    assert first.metrics["parameters"] > 10_000
    assert first.facts == json.loads((outputs["weights"] / "source.json").read_text())
    assert said.lines[0] == "fetching the model from path"
    assert said.lines[-1].startswith("licence: not stated; parameters: ")
    for name, folder in outputs.items():
        for path in folder.iterdir():
            assert path.read_bytes() == (again[name] / path.name).read_bytes()


def test_the_model_that_train_builds_is_the_one_that_was_fetched(toy_model: Path, tmp_path: Path) -> None:
    """Through the task that trains it, without anything else in the folder."""
    import torch
    from transformers import AutoModel

    from kubetune.tasks import load_task
    from kubetune.tasks.base import ModelSpec

    _, outputs, _ = run(PathModel(path=str(toy_model)), tmp_path)
    head = {"kind": "own", "pooling": "mean", "dropout": 0.1, "hidden_size": None}
    spec = ModelSpec("text-classification", ("a", "b"), "own", head=head, max_length=16)
    module = load_task(spec.task).build_model(spec, outputs["weights"], pretrained=True)
    state, wanted = module.state_dict(), AutoModel.from_pretrained(toy_model).state_dict()
    shared = [name for name in wanted if f"encoder.{name}" in state]
    assert len(shared) > 30
    assert all(torch.equal(state[f"encoder.{name}"], wanted[name]) for name in shared)


def test_scratch_says_that_train_draws_the_weights(toy_model: Path, tmp_path: Path) -> None:
    result, _, said = run(ScratchModel(tokenizer=PathModel(path=str(toy_model))), tmp_path)
    assert result.metrics == {}
    assert said.lines[-1] == "licence: not stated; parameters: drawn in train"


def test_what_was_added_is_said(toy_model: Path, tmp_path: Path) -> None:
    import shutil

    model = Path(shutil.copytree(toy_model, tmp_path / "model"))
    stated = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(
        json.dumps({name: value for name, value in stated.items() if name != "tokenizer_class"})
    )
    _, outputs, said = run(PathModel(path=str(model)), tmp_path)
    assert "added to tokenizer_config.json: tokenizer_class=BertTokenizer" in said.lines
    assert (
        json.loads((outputs["tokenizer"] / "tokenizer_config.json").read_text())["tokenizer_class"] == "BertTokenizer"
    )


def test_a_refusal_is_not_swallowed(toy_model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no config\.json"):
        run(PathModel(path=str(tmp_path / "empty")), tmp_path)
