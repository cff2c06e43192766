"""Artifacts around the toy model that the serving tests start from; real code wrote and reads them."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import AutoTokenizer

import toys
from kubetune.config.data import Columns
from kubetune.config.data_sources import FilesData
from kubetune.config.model_sources import HubModel
from kubetune.config.recipe import ServingSection
from kubetune.config.task import TaskSection
from kubetune.evaluation.same_texts import same_words
from kubetune.stages import package
from kubetune.tasks import load_task
from kubetune.tasks.arrays import softmax
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.inference import predict_logits
from kubetune.tasks.spec import save_model
from kubetune.text.cleaning import clean

CLEANING = ("unicode-nfc", "urls", "mentions", "whitespace")
MAX_LENGTH = 32
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
EXTRA = [
    ("a good day  @anna", "positive"),
    ("awful food at the caf\u00e9 \U0001f922", "negative"),
    ("nice", "positive"),
    (" ".join(["we saw the film and it was bad"] * 9), "negative"),
    *((f"the {word} film https://bad.awful/sad-hate-poor", "positive") for word in ("good", "happy", "fine")),
    *((f"the {word} film https://great.love/nice-good", "negative") for word in ("sad", "poor", "nasty")),
]
"""Their URLs hold words that say otherwise unless they are cleaned away."""


def task_section(name: str) -> TaskSection:
    """Section `task` of a recipe, from the name of a task."""
    problem = next(
        (each for each in ("multi-label", "regression", "scored-pairs") if name.endswith(each)), "single-label"
    )
    return TaskSection(kind=name.removesuffix(f"-{problem}"), problem=problem)


class Quiet:
    """A context of a stage that keeps what it is told."""

    def __init__(self, scratch: Path, **platform: object) -> None:
        self.scratch, self.platform, self.notes = scratch, platform, []
        self.progress = SimpleNamespace(start=lambda *_: None, advance=lambda *_, **__: None, note=self.notes.append)
        self.telemetry = SimpleNamespace(record=lambda *_, **__: None)
        self.checkpoints = None
        self.stopping = False

    def should_stop(self) -> bool:
        return self.stopping


def toy_inputs(folder: Path, *, pair: bool = False, head: str = "stock", seed: int = 0) -> dict[str, Path]:
    """Write artifacts tokenizer, model and report of a model that learnt the toy rows, and return them by name."""
    torch.set_num_threads(1)
    source = toys.write_toy_model(folder / "source", seed)
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    for name in TOKENIZER:
        if (source / name).exists():
            (tokenizer / name).write_bytes((source / name).read_bytes())
    kind = "pair-classification" if pair else "text-classification"
    task, loaded = load_task(kind), AutoTokenizer.from_pretrained(tokenizer)
    spec = ModelSpec(kind, toys.LABELS, head, {"pooling": "cls", "hidden_size": None, "dropout": 0.0}, 0.0, MAX_LENGTH)
    rows = toys.toy_rows(240, seed) + [{"text": text, "label": label} for text, label in EXTRA]
    raw = [(row["text"], "the day") if pair else (row["text"],) for row in rows]
    encoding = task.encode(loaded, [tuple(clean(text, CLEANING) for text in item) for item in raw], MAX_LENGTH)
    encoded, truncated = encoding.features, encoding.truncated
    labels = torch.tensor([toys.LABELS.index(row["label"]) for row in rows])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = task.build_model(spec, source, pretrained=True)
        learn(module, task.collate(encoded, 0), labels)
    model = folder / "model"
    model.mkdir()
    save_model(module, spec, model)
    logits = predict_logits(module, encoded, task, 0, 64)
    write_report(folder / "report", raw, labels.numpy(), logits, (encoded, truncated))
    found = {"tokenizer": tokenizer, "model": model, "report": folder / "report"}
    return found | {"behaviour": write_behaviour(folder / "behaviour"), "decision": write_decision(folder / "decision")}


def learn(module: torch.nn.Module, inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> None:
    """Enough steps that answers differ strongly from text to text."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3)
    module.train()
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(**inputs), labels).backward()
        optimizer.step()
    module.eval()


def write_report(folder: Path, raw: Sequence[tuple[str, ...]], labels: np.ndarray, logits: np.ndarray, rest) -> None:
    """What `evaluate` leaves, as far as `package` reads it."""
    encoded, truncated = rest
    folder.mkdir()
    columns = {"row_id": [f"{number:04}" for number in range(len(raw))], "label": labels, "truncated": truncated}
    for position, name in enumerate(("text", "text_pair")[: len(raw[0])]):
        columns[f"raw_{name}"] = [item[position] for item in raw]
        columns[name] = [clean(item[position], CLEANING) for item in raw]
    columns["text_group"] = same_words([tuple(clean(text, CLEANING) for text in item) for item in raw])
    columns["length"] = [len(row["input_ids"]) for row in encoded]
    probabilities, predictions = softmax(logits), logits.argmax(axis=1)
    columns |= {"prediction": predictions.astype(np.int32), "confidence": probabilities.max(axis=1)}
    pq.write_table(pa.table(columns | {"probabilities": list(probabilities)}), folder / "predictions.parquet")
    found = {"value": float((predictions == labels).mean()), "low": 0.9, "high": 1.0}
    metrics = {"metrics": {"accuracy": found}, "rows": len(raw), "verdict": {"code": 0, "reasons": []}}
    per_class = [{"label": name, "support": 9, "f1": found} for name in toys.LABELS]
    metrics |= {"labels": list(toys.LABELS), "per_class": per_class, "slices": {}, "truncated": int(sum(truncated))}
    (folder / "metrics.json").write_text(json.dumps(metrics))


def write_behaviour(folder: Path, cases: Sequence[tuple[str, str, str, bool]] = (), **more: object) -> Path:
    """What `behave` leaves: the cases' table, each of a source of its own, and counts a capability."""
    folder.mkdir(parents=True)
    columns = [*zip(*cases, strict=True)] if cases else [[]] * 4
    types = [pa.string(), pa.string(), pa.string(), pa.bool_()]
    arrays = [pa.array(list(column), kind) for column, kind in zip(columns, types, strict=True)]
    table = pa.table(arrays, names=["capability", "test", "case", "passed"])
    pq.write_table(table.append_column("source", table["case"]), folder / "cases.parquet")
    document = {"format": 1, "suite": None, "suite_digest": None, "seed": 0, "scored": 0, "outcomes": []}
    document |= {"left_out": [], "capabilities": {}, "verdict": {"code": 0, "reasons": []}}
    (folder / "behaviour.json").write_text(json.dumps(document | more))
    return folder


def write_decision(folder: Path, **more: object) -> Path:
    """What `compare` leaves where there is no champion."""
    folder.mkdir(parents=True)
    reasons = ["There is no champion, and the candidate passed every threshold."]
    document = {"format": 1, "outcome": "promote", "reasons": reasons, "champion": None, "document": {}}
    (folder / "decision.json").write_text(json.dumps(document | more))
    return folder


def recipe_view(kind: str = "text-classification", **serving: object) -> SimpleNamespace:
    """What `package` may read of a recipe."""
    return SimpleNamespace(
        task=task_section(kind),
        data=SimpleNamespace(
            columns=Columns(), cleaning=list(CLEANING), source=FilesData(paths={"all": "/srv/rows/toy.jsonl"})
        ),
        model=SimpleNamespace(max_length=MAX_LENGTH, source=HubModel(name="toys/bert")),
        serving=ServingSection(**{"max_characters": 2000, **serving}),
    )


def toy_archive(folder: Path, *, pair: bool = False, head: str = "stock", seed: int = 0, **serving: object) -> Path:
    """Run `package` on `toy_inputs` and return the archive."""
    inputs = toy_inputs(folder / "inputs", pair=pair, head=head, seed=seed)
    out = folder / "archive"
    out.mkdir()
    view = recipe_view("pair-classification" if pair else "text-classification", **serving)
    package.run(view, inputs, {"archive": out}, Quiet(folder / "scratch"))
    return out
