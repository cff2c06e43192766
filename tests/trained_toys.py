"""A toy run of the training loop: a prepared dataset, a job, and a stage context that lives in memory and on disk."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import toys
from kubetune.config.training import TrainingSection
from kubetune.tasks import load_task
from kubetune.tasks.base import ModelSpec
from kubetune.training.job import Job

PAD = 0
MAX_LENGTH = 32


def write_dataset(folder: Path, model: Path, kind: str = "text-classification", rows: int = 120) -> Path:
    """Write artifact `dataset` of toy rows as `prepare` does; lengths are ragged."""
    from transformers import AutoTokenizer

    task, tokenizer = load_task(kind), AutoTokenizer.from_pretrained(model, local_files_only=True)
    folder.mkdir(parents=True, exist_ok=True)
    splits = {}
    for number, (split, count) in enumerate({"train": rows, "validation": 40, "test": 40}.items()):
        found = toys.toy_rows(count, seed=number)
        texts = [row["text"] for row in found]
        pairs = [(text,) if len(task.columns) == 1 else (text, texts[-n]) for n, text in enumerate(texts)]
        encoded, truncated = task.encode(tokenizer, pairs, MAX_LENGTH)
        columns: dict[str, Any] = {
            "row_id": pa.array([f"{split}-{n}" for n in range(count)]),
            "text": pa.array(texts),
            "label": pa.array([toys.LABELS.index(row["label"]) for row in found], pa.int32()),
            "input_ids": pa.array([row["input_ids"] for row in encoded], pa.list_(pa.int32())),
            "length": pa.array([len(row["input_ids"]) for row in encoded], pa.int32()),
            "truncated": pa.array(truncated),
        }
        if len(task.columns) == 2:
            columns["token_type_ids"] = pa.array([row["token_type_ids"] for row in encoded], pa.list_(pa.int8()))
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")
        splits[split] = count
    facts = {"labels": list(toys.LABELS), "max_length": MAX_LENGTH, "pad_token_id": PAD, "splits": splits}
    (folder / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def make_job(folder: Path, dataset: Path, weights: Path, **changes: Any) -> Job:
    """Return a job of 16 rows a step in fp32, its output and spool below `folder`; `changes` go where they belong."""
    values = {"batch": 16, "learning_rate": 2e-3, "precision": "fp32", "epochs": 2.0}
    spec = {"task": "text-classification", "labels": toys.LABELS, "architecture": "stock", "max_length": MAX_LENGTH}
    spec["head"] = {"pooling": "cls", "hidden_size": None, "dropout": 0.1}
    job: dict[str, Any] = {}
    for name, value in changes.items():
        home = values if name in TrainingSection.model_fields else spec if name in ModelSpec.__annotations__ else job
        home[name] = value
    if "steps" in values:
        del values["epochs"]
    output = folder / "model"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    return Job(
        spec=ModelSpec(**spec),
        settings=TrainingSection(**values),
        dataset=dataset,
        weights=weights,
        output=output,
        spool=folder / "spool",
        pad_token_id=PAD,
        **job,
    )


def write_scratch_weights(folder: Path, vocab_size: int = 105) -> Path:
    """Write artifact `weights` of a bi-LSTM from scratch."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"architecture": "bilstm", "embedding_size": 16, "hidden_size": 16, "layers": 2}
    (folder / "architecture.json").write_text(json.dumps(values | {"vocab_size": vocab_size, "pad_token_id": PAD}))
    return folder


@dataclass
class ToyContext:
    """Implements `contract.Context`; checkpoints are kept as folders, the newest three."""

    scratch: Path
    kept: Path
    stop_after: int | None = None
    """Ask to stop once so many steps were recorded."""
    on_publish: Callable[[Path], None] = lambda folder: None
    platform: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.kept.mkdir(parents=True, exist_ok=True)
        self.progress = self.telemetry = self.checkpoints = self

    def start(self, what: str, total: int | None = None) -> None: ...

    def advance(self, by: int = 1, **facts: float | str) -> None: ...

    def note(self, line: str) -> None:
        self.notes.append(line)

    def record(self, event: str, **values: Any) -> None:
        self.events.append({"event": event, **values})

    def restore(self) -> list[Path]:
        return sorted(self.kept.glob("step-*"), reverse=True)

    def publish(self, folder: Path) -> None:
        self.on_publish(folder)
        shutil.copytree(folder, self.kept / folder.name)
        for old in self.restore()[3:]:
            shutil.rmtree(old)

    def should_stop(self) -> bool:
        return self.stop_after is not None and len(self.of("step")) >= self.stop_after - 1

    def of(self, event: str) -> list[dict[str, Any]]:
        return [values for values in self.events if values["event"] == event]
