"""A packaged toy model that finds entities: runs of positive and of negative words; real code made it."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import AutoTokenizer

import served_toys
import toys
from kubetune.stages import package
from kubetune.tasks import load_task
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.inference import predict_outputs
from kubetune.tasks.spec import save_model

KIND = "token-classification"
TYPES = ("praise", "blame")
TASK = load_task(KIND)
MAX_LENGTH = served_toys.MAX_LENGTH
EXTRA = [
    "Nice, we saw the film;  it was AWFUL sad.",
    "caf\u00e9 \U0001f922 the great love",
    "we saw the film on monday",
    "the day was it",
    "nice",
    " ".join(["we saw the film and it was bad"] * 9),
]


def spans_in(text: str) -> list[dict[str, int]]:
    """Return the entities of a text: each run of blank-separated words of one kind."""
    kinds = {**dict.fromkeys(toys.POSITIVE, 0), **dict.fromkeys(toys.NEGATIVE, 1)}
    found: list[dict[str, int]] = []
    start, before = 0, None
    for word in text.split(" "):
        kind = kinds.get(word.strip(".,;").lower())
        end = start + len(word.rstrip(".,;"))
        if kind is not None and kind == before:
            found[-1]["end"] = end
        elif kind is not None:
            found.append({"start": start, "end": end, "label": kind})
        start, before = start + len(word) + 1, kind
    return found


def entity_inputs(folder: Path, head: str = "stock", seed: int = 0) -> dict[str, Path]:
    """Write artifacts tokenizer, model and report of a model that learnt the toy texts, and return them by name."""
    torch.set_num_threads(1)
    source = toys.write_toy_model(folder / "source", seed)
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    for name in served_toys.TOKENIZER:
        if (source / name).exists():
            (tokenizer / name).write_bytes((source / name).read_bytes())
    loaded = AutoTokenizer.from_pretrained(tokenizer)
    spec = ModelSpec(KIND, TYPES, head, {"pooling": "cls", "hidden_size": None, "dropout": 0.0}, 0.0, MAX_LENGTH)
    texts = [row["text"] for row in toys.toy_rows(240, seed)] + EXTRA
    items = [(text,) for text in texts]
    encoding = TASK.encode(loaded, items, MAX_LENGTH, [spans_in(text) for text in texts])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = TASK.build_model(spec, source, pretrained=True)
        learn(TASK, module, encoding.features)
    model = folder / "model"
    model.mkdir()
    save_model(module, spec, model)
    outputs = predict_outputs(module, encoding.features, TASK, 0, 64)
    predictions = TASK.predictions(outputs, encoding, items, TYPES)
    _write_report(folder / "report", texts, encoding.features, predictions)
    found = {"tokenizer": tokenizer, "model": model, "report": folder / "report"}
    behaviour = served_toys.write_behaviour(folder / "behaviour")
    return found | {"behaviour": behaviour, "decision": served_toys.write_decision(folder / "decision")}


def learn(task: Any, module: torch.nn.Module, features: Any, steps: int = 40) -> None:
    """Enough steps that answers differ strongly from text to text."""
    inputs = task.collate(features, 0)
    targets = task.targets(features, inputs["input_ids"].shape[1])
    optimizer = torch.optim.AdamW(module.parameters(), lr=5e-3)
    module.train()
    for _ in range(steps):
        optimizer.zero_grad()
        (task.losses(module(**inputs), targets).sum() / int(task.terms(features).sum())).backward()
        optimizer.step()
    module.eval()


def _write_report(folder: Path, texts: list[str], features: Any, predictions: Any) -> None:
    """What `evaluate` leaves, as far as `package` reads it."""
    folder.mkdir()
    columns = {"row_id": [f"{number:04}" for number in range(len(texts))], "raw_text": texts, "text": texts}
    columns |= {"length": [len(feature["input_ids"]) for feature in features]}
    pq.write_table(pa.table(columns | TASK.answer_columns(predictions)), folder / "predictions.parquet")
    found = {"value": 0.97, "low": 0.9, "high": 1.0}
    metrics = {"metrics": {"f1": found}, "rows": len(texts), "verdict": {"code": 0, "reasons": []}}
    metrics |= {"labels": list(TYPES), "slices": {}, "truncated": 1}
    (folder / "metrics.json").write_text(json.dumps(metrics))


def recipe_view(**serving: object) -> Any:
    """What `package` may read of a recipe."""
    view = served_toys.recipe_view(KIND, **serving)
    view.data.cleaning = []
    return view


def entity_archive(folder: Path, **serving: object) -> Path:
    """Run `package` on `entity_inputs` and return the archive."""
    inputs = entity_inputs(folder / "inputs")
    out = folder / "archive"
    out.mkdir()
    package.run(recipe_view(**serving), inputs, {"archive": out}, served_toys.Quiet(folder / "scratch"))
    return out
