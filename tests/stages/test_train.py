"""Stage `train` as the runner calls it."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import trained_toys as toys
from kubetune.config.recipe import Head
from kubetune.config.resources import StageResources
from kubetune.config.task import TaskSection
from kubetune.config.training import TrainingSection
from kubetune.errors import ConfigError, DataError
from kubetune.stages import train
from kubetune.tasks.hardware import blas_mode, cpu_vendor

FAST = TrainingSection(steps=3, batch=16, precision="fp32")


def configuration(hardware: str = "any", training: TrainingSection = FAST, **head: Any) -> Any:
    return SimpleNamespace(
        task=TaskSection(),
        model=SimpleNamespace(encoder_dropout=None, head=Head(**head)),
        training=training,
        resources=SimpleNamespace(train=SimpleNamespace(hardware=hardware)),
    )


@pytest.fixture
def inputs(tmp_path: Path, toy_model: Path) -> dict[str, Path]:
    return {"dataset": toys.write_dataset(tmp_path / "dataset"), "tokenizer": toy_model, "weights": toy_model}


@pytest.fixture
def outputs(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "model").mkdir()
    return {"model": tmp_path / "model"}


@pytest.fixture
def context(tmp_path: Path) -> toys.ToyContext:
    return toys.ToyContext(tmp_path / "scratch", tmp_path / "kept")


def test_it_writes_the_artifact(inputs: Any, outputs: Any, context: Any, tmp_path: Path) -> None:
    inputs["weights"] = Path(shutil.copytree(inputs["weights"], tmp_path / "weights"))
    (inputs["weights"] / "source.json").write_text(json.dumps({"kind": "hub", "revision": "abc", "licence": "mit"}))
    facts = json.loads((inputs["dataset"] / "dataset.json").read_text()) | {"source": {"licence": "cc0-1.0"}}
    (inputs["dataset"] / "dataset.json").write_text(json.dumps(facts))
    result = train.run(configuration(), inputs, outputs, context)
    origin = json.loads((outputs["model"] / "origin.json").read_text())
    assert origin["base_model"] == {"revision": "abc", "licence": "mit"}
    assert origin["data"] == {"revision": None, "licence": "cc0-1.0"}
    files = {path.name for path in outputs["model"].iterdir()}
    assert files == {"config.json", "kubetune.json", "model.safetensors", "origin.json", "training.json"}
    spec = json.loads((outputs["model"] / "kubetune.json").read_text())
    assert spec["labels"] == list(toys.toys.LABELS)
    assert (spec["architecture"], spec["max_length"], spec["format"]) == ("stock", toys.MAX_LENGTH, 1)
    assert result.verdict.passed
    assert 0 <= result.metrics["validation_macro_f1"] <= 1
    fingerprint = result.facts["fingerprint"]
    assert fingerprint["world_size"] == 1
    assert fingerprint["cpu_vendor"] == cpu_vendor()
    assert fingerprint["blas"] == blas_mode()
    assert fingerprint["cpu_capability"].startswith(torch.backends.cpu.get_cpu_capability())
    json.dumps([dict(result.metrics), dict(result.facts)])


def test_a_model_from_scratch_takes_its_vocabulary_from_the_tokenizer(
    inputs: Any, outputs: Any, context: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    values = {"kind": "scratch", "architecture": "bilstm", "embedding_size": 8, "hidden_size": 8, "layers": 1}
    (folder / "architecture.json").write_text(json.dumps(values))
    train.run(configuration(), inputs | {"weights": folder}, outputs, context)
    assert json.loads((outputs["model"] / "config.json").read_text())["vocab_size"] == 112
    assert json.loads((outputs["model"] / "kubetune.json").read_text())["architecture"] == "bilstm"


@pytest.mark.parametrize(
    ("resources", "hardware", "sentence"),
    [
        (StageResources(gpus=64), "any", "resources.train.gpus is 64, this machine has"),
        (StageResources(), "gpu", "hardware=gpu and gpus=0"),
        (StageResources(gpus=1), "cpu", "hardware=cpu and gpus=1"),
    ],
)
def test_hardware_that_is_not_there(
    inputs: Any, outputs: Any, context: Any, resources: Any, hardware: str, sentence: str
) -> None:
    context.platform = {"resources": resources}
    with pytest.raises(ConfigError, match=sentence):
        train.run(configuration(hardware), inputs, outputs, context)


def test_processes_become_ranks(inputs: Any, outputs: Any, context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[Any] = []
    monkeypatch.setattr(train, "launch", lambda job, context: jobs.append(job) or SimpleNamespace(metrics={}, facts={}))
    monkeypatch.setattr(train, "threads_allowed", lambda: 8)
    context.platform = {"resources": StageResources(processes=4)}
    train.run(configuration(), inputs, outputs, context)
    assert (jobs[0].ranks, jobs[0].device, jobs[0].threads) == (4, "cpu", 2)


@pytest.mark.parametrize("damage", ["dataset.json", "train.parquet", "label"])
def test_a_damaged_dataset_is_bad_data(inputs: Any, outputs: Any, context: Any, damage: str) -> None:
    if damage == "label":
        facts = json.loads((inputs["dataset"] / "dataset.json").read_text())
        (inputs["dataset"] / "dataset.json").write_text(json.dumps(facts | {"labels": ["negative"]}))
    else:
        (inputs["dataset"] / damage).write_bytes(b"PAR1")
    with pytest.raises(DataError) as caught:
        train.run(configuration(), inputs, outputs, context)
    assert caught.value.exit_code == 65


def test_early_stopping_needs_validation_rows(inputs: Any, outputs: Any, context: Any) -> None:
    import pyarrow.parquet as pq

    path = inputs["dataset"] / "validation.parquet"
    pq.write_table(pq.ParquetFile(path).read().slice(0, 0), path)
    training = FAST.model_copy(update={"early_stopping": {"patience": 1}})
    with pytest.raises(ConfigError, match="needs validation rows"):
        train.run(configuration(training=training), inputs, outputs, context)
    train.run(configuration(), inputs, outputs, context)
    assert json.loads((outputs["model"] / "training.json").read_text())["best"] is None


def test_threads_and_determinism_are_put_back(inputs: Any, outputs: Any, context: Any) -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    train.run(configuration(), inputs, outputs, context)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
