"""The body of `evaluate` on toy rows: a model that learnt, one that learnt nothing, and the gate."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import toys
from class_answers import in_training
from kubetune.config.evaluation import EvaluationSection
from kubetune.config.task import TaskSection
from kubetune.contract import Result
from kubetune.errors import ConfigError, DataError, InterruptedRunError, KubetuneError
from kubetune.stages.evaluate import run
from kubetune.tasks import load_task
from kubetune.tasks.arrays import softmax
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.spec import save_spec
from kubetune.tasks.weights import save_weights

KIND = "text-classification"
TASK = load_task(KIND)
COUNTS = {"train": 160, "validation": 20, "test": 80}
SPEC = ModelSpec(KIND, toys.LABELS, "stock", {"kind": "stock", "dropout": 0.1}, None, 32)
TRAINING = {"evaluations": [], "best": None}


@dataclass
class Alone:
    """A stage context without a runner."""

    stop: bool = False
    advanced: list[int] = field(default_factory=list)
    recorded: list[dict[str, Any]] = field(default_factory=list)

    @property
    def progress(self) -> Any:
        return SimpleNamespace(
            start=lambda what, total=None: None,
            advance=lambda by=1, **facts: self.advanced.append(by),
            note=lambda line: None,
        )

    @property
    def telemetry(self) -> Any:
        return SimpleNamespace(record=lambda event, **values: self.recorded.append({"event": event, **values}))

    def should_stop(self) -> bool:
        return self.stop


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Toys are too small to share, and the body sets the threads of the whole process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr("kubetune.stages.evaluate.cpu_quota_threads", lambda: 1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    """Artifact `dataset` of toy rows with a kept column."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("dataset")
    tokenizer = AutoTokenizer.from_pretrained(toy_model, local_files_only=True)
    for seed, (split, count) in enumerate(COUNTS.items()):
        rows = toys.toy_rows(count, seed)
        texts = [row["text"] for row in rows]
        encoding = TASK.encode(tokenizer, [(text,) for text in texts], 32)
        encoded, truncated = encoding.features, encoding.truncated
        columns: dict[str, Any] = {
            "row_id": [f"{split}-{number}" for number in range(count)],
            "raw_text": [f"  {text}" for text in texts],
            "text": texts,
            "label": pa.array([toys.LABELS.index(row["label"]) for row in rows], pa.int32()),
            "input_ids": pa.array([row["input_ids"] for row in encoded], pa.list_(pa.int32())),
            "length": pa.array([len(row["input_ids"]) for row in encoded], pa.int32()),
            "truncated": truncated,
            "column_place": ["here" if number % 3 else "there" for number in range(count)],
        }
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")
    facts = {
        "format": 1,
        "task": KIND,
        "labels": list(toys.LABELS),
        "splits": COUNTS,
        "label_counts": {split: [count // 2] * 2 for split, count in COUNTS.items()},
        "max_length": 32,
        "cleaning": ["whitespace"],
        "pad_token_id": tokenizer.pad_token_id,
    }
    (folder / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def write_model(folder: Path, module: torch.nn.Module) -> Path:
    save_weights(module, folder)
    save_spec(SPEC, folder)
    (folder / "config.json").write_text(json.dumps(module.configuration()), encoding="utf-8")
    (folder / "training.json").write_text(json.dumps(TRAINING), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, toy_model: Path, dataset: Path) -> Path:
    """Artifact `model` that has learnt the toy rows."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = TASK.build_model(SPEC, toy_model, pretrained=True).train()
    table = pq.read_table(dataset / "train.parquet")
    inputs = TASK.collate(table.select(["input_ids"]).to_pylist(), 0)
    labels = torch.tensor(table["label"].to_pylist())
    optimizer = torch.optim.AdamW(module.parameters(), 5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        TASK.losses(module(**inputs), labels).mean().backward()
        optimizer.step()
    return write_model(tmp_path_factory.mktemp("taught"), module)


@pytest.fixture(scope="module")
def one_sided(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    """Artifact `model` that answers class 1 whatever it reads."""
    torch.manual_seed(0)
    module = TASK.build_model(SPEC, toy_model, pretrained=True)
    with torch.no_grad():
        module.state_dict()["classifier.weight"].zero_()
        module.state_dict()["classifier.bias"].copy_(torch.tensor([0.0, 2.0]))
    return write_model(tmp_path_factory.mktemp("one-sided"), module)


def evaluate(
    folder: Path, dataset: Path, model: Path, context: Alone | None = None, hardware: str = "cpu", **section: Any
) -> Result:
    config = SimpleNamespace(
        task=TaskSection(kind=KIND),
        evaluation=EvaluationSection.model_validate({"bootstrap_samples": 100, **section}),
        resources=SimpleNamespace(evaluate=SimpleNamespace(hardware=hardware)),
    )
    folder.mkdir(exist_ok=True)
    return run(config, {"dataset": dataset, "model": model}, {"report": folder}, context or Alone())


def metrics_of(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return document


def bad_findings(folder: Path) -> str:
    page = (folder / "report.html").read_text(encoding="utf-8")
    return page[: page.index("<nav")]


def test_a_good_model_passes_with_everything_written(tmp_path: Path, dataset: Path, taught: Path) -> None:
    context = Alone()
    bars = [{"metric": "accuracy", "at_least": 0.9}, {"metric": "macro_f1", "above_baseline": "majority"}]
    result = evaluate(tmp_path, dataset, taught, context, thresholds=bars, slices=["length", "label", "place"])
    assert result.verdict.passed
    assert sum(context.advanced) == COUNTS["test"]
    assert context.recorded == [{"event": "device", "type": "cpu", "threads": 1, "precision": "fp32"}]
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.json", "predictions.parquet", "report.html"}
    flat: Mapping[str, float] = result.metrics
    assert flat["accuracy_low"] <= flat["accuracy"] <= flat["accuracy_high"]
    assert {"macro_f1", "baseline_majority_macro_f1", "baseline_tfidf_macro_f1_low", "ece", "loss"} <= set(flat)
    assert flat["baseline_majority_macro_f1"] == pytest.approx(1 / 3)
    document = metrics_of(tmp_path)
    assert document["metrics"]["accuracy"]["value"] == flat["accuracy"]
    assert document["verdict"] == {"code": 0, "reasons": []}
    assert list(document["slices"]) == ["label", "length", "place"]  # keys are sorted in the file
    assert {part["name"] for part in document["slices"]["place"]} == {"here", "there"}
    assert "✓ </span>Passed" in bad_findings(tmp_path)
    assert "Better than the majority class: macro F1" in bad_findings(tmp_path)


def test_predictions_hold_every_row_with_what_the_model_said(tmp_path: Path, dataset: Path, taught: Path) -> None:
    flat = evaluate(tmp_path, dataset, taught).metrics
    table = pq.read_table(tmp_path / "predictions.parquet")
    assert table.column_names == [
        *("row_id", "raw_text", "text", "text_group", "label", "prediction", "correct", "confidence", "probabilities"),
        *("logits", "loss", "length", "truncated", "column_place"),
    ]
    assert table["row_id"].to_pylist() == pq.read_table(dataset / "test.parquet")["row_id"].to_pylist()
    types = {name: str(table.schema.field(name).type) for name in ("label", "logits", "probabilities", "loss")}
    assert types["label"] == "int32"
    assert types["logits"].startswith("list<")
    assert types["logits"].endswith("float>")
    logits = np.array(table["logits"].to_pylist())
    assert np.array_equal(logits.argmax(axis=1), table["prediction"].to_numpy())
    assert np.allclose(np.array(table["probabilities"].to_pylist()), softmax(logits), atol=1e-6)
    assert table["correct"].to_numpy().mean() == pytest.approx(flat["accuracy"])
    assert table["loss"].to_numpy().mean() == pytest.approx(flat["loss"], rel=1e-5)
    assert in_training(table["label"].to_numpy(), logits)["macro_f1"] == pytest.approx(flat["macro_f1"])


def test_two_evaluations_are_byte_equal(tmp_path: Path, dataset: Path, taught: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    assert evaluate(first, dataset, taught) == evaluate(second, dataset, taught)
    for name in ("metrics.json", "predictions.parquet", "report.html"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_batch_size_is_no_matter_of_the_answers(tmp_path: Path, dataset: Path, taught: Path) -> None:
    many, few = (evaluate(tmp_path / str(batch), dataset, taught, batch=batch).metrics for batch in (64, 7))
    assert many["accuracy"] == few["accuracy"]
    assert many["loss"] == pytest.approx(few["loss"], abs=1e-6)


def test_a_missed_threshold_is_written_and_refuses(tmp_path: Path, dataset: Path, taught: Path) -> None:
    result = evaluate(tmp_path, dataset, taught, thresholds=[{"metric": "loss", "at_most": 0.0}])
    assert result.verdict.code == 77
    (reason,) = result.verdict.reasons
    assert reason.startswith("loss is ")
    assert "at most 0 is required: missed by" in reason
    assert metrics_of(tmp_path)["verdict"] == {"code": 77, "reasons": [reason]}
    assert reason in bad_findings(tmp_path)


def test_a_useless_model_is_called_one(tmp_path: Path, dataset: Path, one_sided: Path) -> None:
    result = evaluate(tmp_path, dataset, one_sided)
    assert result.verdict.code == 77
    assert result.verdict.reasons[0].startswith("collapsed to one class: 100.0% of 80 predictions are “positive”")
    said = bad_findings(tmp_path)
    assert "The model is collapsed to one class" in said
    assert "Worse than tf-idf: macro F1 0.333" in said
    assert "Not better than the majority class" in said


def test_the_guard_can_be_switched_off_but_not_the_sentence(tmp_path: Path, dataset: Path, one_sided: Path) -> None:
    result = evaluate(tmp_path, dataset, one_sided, refuse_collapsed=False)
    assert result.verdict.passed
    assert "The model is collapsed to one class" in bad_findings(tmp_path)


def test_an_empty_test_split_is_refused_by_name(tmp_path: Path, dataset: Path, taught: Path) -> None:
    copy = tmp_path / "dataset"
    copy.mkdir()
    for path in dataset.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    pq.write_table(pq.read_table(dataset / "test.parquet").slice(0, 0), copy / "test.parquet")
    with pytest.raises(DataError, match=r"no rows.*data\.splits\.test") as refusal:
        evaluate(tmp_path / "report", copy, taught)
    assert refusal.value.rule == "empty-test"


def test_a_model_whose_numbers_overflow_is_refused(tmp_path: Path, dataset: Path, toy_model: Path) -> None:
    torch.manual_seed(0)
    module = TASK.build_model(SPEC, toy_model, pretrained=True)
    with torch.no_grad():
        module.state_dict()["bert.pooler.dense.bias"].fill_(10)  # the pooled units are all 1 …
        module.state_dict()["classifier.weight"].fill_(3e38)  # … so that finite weights give infinite logits
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(DataError, match="not finite for 80 test rows"):
        evaluate(tmp_path / "report", dataset, write_model(folder, module))


def test_being_asked_to_stop_leaves_nothing(tmp_path: Path, dataset: Path, taught: Path) -> None:
    with pytest.raises(InterruptedRunError):
        evaluate(tmp_path, dataset, taught, Alone(stop=True))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the GPU that the recipe asks for")
def test_a_declared_gpu_that_is_absent_is_an_error(tmp_path: Path, dataset: Path, taught: Path) -> None:
    with pytest.raises(ConfigError, match=r"resources\.evaluate\.hardware is gpu"):
        evaluate(tmp_path, dataset, taught, hardware="gpu")


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_input_record_is_named(tmp_path: Path, dataset: Path, taught: Path, text: str) -> None:
    copy = tmp_path / "model"
    copy.mkdir()
    for path in taught.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "training.json").write_text(text)
    with pytest.raises(KubetuneError, match=r"training\.json of an input artifact"):
        evaluate(tmp_path / "report", dataset, copy)
