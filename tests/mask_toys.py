"""Texts in which each word follows from the others, and a packaged toy model that learnt to fill masks in them."""

import json
import random
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
from kubetune.tasks.reading import Turn
from kubetune.tasks.spec import save_model

KIND = "fill-mask"
TASK = load_task(KIND)
MAX_LENGTH = 24
WORDS = [*toys.NEUTRAL[:8], *toys.POSITIVE[:4]]
QUIET: dict[str, Any] = {"task": KIND, "labels": (), "head": {}, "encoder_dropout": 0.0, "max_length": MAX_LENGTH}
EXTRA = ["the caf\u00e9 \U0001f922 a day", "the", " ".join(WORDS * 5), "we saw <b>it</b> https://a.day/film was"]


def texts(count: int, seed: int = 0) -> list[str]:
    """Return texts of one word, 4 to 14 times."""
    draw = random.Random(seed)
    return [" ".join([draw.choice(WORDS)] * draw.randint(4, 14)) for _ in range(count)]


def write_dataset(folder: Path, tokenizer: Any, rows: int = 160) -> Path:
    """Write artifact `dataset` as `prepare` does."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = {"train": rows, "validation": 40, "test": 40}
    for number, (split, count) in enumerate(splits.items()):
        found = texts(count, number)
        features = TASK.encode(tokenizer, [(text,) for text in found], MAX_LENGTH, [True] * count).features
        ragged = {name: pa.array([row[name] for row in features], pa.list_(pa.int32())) for name in features[0]}
        columns = {"row_id": [f"{split}-{n}" for n in range(count)], "text": found, "raw_text": found, **ragged}
        columns |= {"label": [True] * count, "length": [len(row["input_ids"]) for row in features]}
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")
    facts = {"labels": [], "max_length": MAX_LENGTH, "pad_token_id": 0, "splits": splits}
    facts |= {"vocabulary": len(tokenizer), "tokens": TASK.token_names(tokenizer)}
    (folder / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


def learnt(source: Path, tokenizer: Any, steps: int = 40) -> torch.nn.Module:
    """Return a module that fills most masks rightly, in about a second."""
    spec = ModelSpec(KIND, (), "stock", {}, 0.0, MAX_LENGTH)
    rows = TASK.encode(tokenizer, [(text,) for text in texts(64)], MAX_LENGTH).features
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = TASK.build_model(spec, source, pretrained=True)
        optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
        module.train()
        for step in range(steps):
            taught = TASK.taught(rows, torch.arange(len(rows)).numpy(), Turn(0, step, 0.2, len(tokenizer)))
            optimizer.zero_grad()
            TASK.losses(module(**TASK.collate(taught, 0)), TASK.targets(taught, 0)).sum().div(100).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
    return module.eval()


def served_inputs(folder: Path, cleaning: tuple[str, ...] = served_toys.CLEANING) -> dict[str, Path]:
    """Write artifacts tokenizer, model, report and so on, which `package` reads."""
    from kubetune.text.cleaning import clean

    torch.set_num_threads(1)
    source = toys.write_toy_model(folder / "source")
    (folder / "tokenizer").mkdir()
    for name in served_toys.TOKENIZER:
        if (source / name).exists():
            (folder / "tokenizer" / name).write_bytes((source / name).read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    module = learnt(source, tokenizer)
    (folder / "model").mkdir()
    save_model(module, ModelSpec(KIND, (), "stock", {}, 0.0, MAX_LENGTH), folder / "model")
    raw = [*texts(60, 7), *EXTRA]
    cleaned = [str(clean(text, cleaning)) for text in raw]
    items = [(text,) for text in cleaned]
    encoding = TASK.encode(tokenizer, items, MAX_LENGTH, [True] * len(items))
    task = TASK.of_tokenizer(tokenizer)
    found = task.predictions(predict_outputs(module, encoding.features, task, 0, 64), encoding, items, ())
    columns: dict[str, Any] = {"row_id": [f"{number:04}" for number in range(len(raw))], "raw_text": raw}
    columns |= {"text": cleaned, "length": [len(row["input_ids"]) for row in encoding.features]}
    (folder / "report").mkdir()
    pq.write_table(pa.table(columns | task.answer_columns(found)), folder / "report" / "predictions.parquet")
    metrics = {"metrics": {}, "rows": len(raw), "verdict": {"code": 0, "reasons": []}, "slices": {}, "truncated": 1}
    (folder / "report" / "metrics.json").write_text(json.dumps({**metrics, "labels": [], "per_class": []}))
    inputs = {name: folder / name for name in ("tokenizer", "model", "report")}
    inputs |= {"behaviour": served_toys.write_behaviour(folder / "behaviour")}
    return inputs | {"decision": served_toys.write_decision(folder / "decision")}


def packaged(inputs: dict[str, Path], out: Path, cleaning: tuple[str, ...] = served_toys.CLEANING) -> Path:
    """Run `package` on `served_inputs`."""
    view = served_toys.recipe_view(KIND)
    view.data.cleaning, view.model.max_length = list(cleaning), MAX_LENGTH
    out.mkdir()
    package.run(view, inputs, {"archive": out}, served_toys.Quiet(out.parent))
    return out
