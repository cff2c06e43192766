"""A toy run of the training loop: a prepared dataset, a job, and a stage context that lives in memory and on disk."""

import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import toys
from kubetune.config.training import TrainingSection
from kubetune.tasks.base import ModelSpec
from kubetune.training.job import Job

PAD = 0
MAX_LENGTH = 32


WORDS = toys.POSITIVE + toys.NEGATIVE + toys.NEUTRAL
CLS, SEP, FIRST_WORD = 2, 3, 5


EXTRA = [FIRST_WORD] * 3
TYPES = ("good", "bad")
"""Entity types of the toy texts: runs of positive and of negative words."""


def entity_columns(texts: list[str], ids: list[list[int]]) -> dict[str, Any]:
    """Return the columns of token classification for texts of single words and their tokens, as `prepare` writes."""
    kinds = {**dict.fromkeys(toys.POSITIVE, 0), **dict.fromkeys(toys.NEGATIVE, 1)}
    tags, starts, ends = [], [], []
    for text in texts:
        words = text.split()
        labels = [kinds.get(word) for word in words]
        before = [None, *labels[:-1]]
        pairs = zip(labels, before, strict=True)
        tags.append([-100, *(0 if now is None else 1 + 2 * now + (now == former) for now, former in pairs), -100])
        places = [sum(len(word) + 1 for word in words[:number]) for number in range(len(words))]
        starts.append([-1, *places, -1])
        ends.append([-1, *(place + len(word) for place, word in zip(places, words, strict=True)), -1])
    assert all(len(row) == len(tag) for row, tag in zip(ids, tags, strict=True))
    return {
        name: pa.array(values, pa.list_(pa.int32()))
        for name, values in (("tags", tags), ("starts", starts), ("ends", ends))
    }


WINDOW, STEP = 12, 8
"""Tokens of the context in a window, and from one window to the next."""


def answer_columns(texts: list[str], ids: list[list[int]]) -> dict[str, Any]:
    """Return the columns of question answering, in windows: the answer is the last feeling word of a toy text.

    The question is one token, the label's own first word; a text without such a word has no answer.
    """
    feelings = {*toys.POSITIVE, *toys.NEGATIVE}
    found: dict[str, list[Any]] = {name: [] for name in ("input_ids", "marks", "starts", "ends", "label")}
    for text, row in zip(texts, ids, strict=True):
        words, tokens = text.split(), row[1:-1]
        places = [sum(len(word) + 1 for word in words[:number]) for number in range(len(words))]
        at = max((number for number, word in enumerate(words) if word in feelings), default=-1)
        answers = [] if at < 0 else [words[at]]
        found["label"].append({"text": answers, "answer_start": [places[at]] if answers else []})
        windows: dict[str, list[Any]] = {name: [] for name in ("input_ids", "marks", "starts", "ends")}
        for first in range(0, max(1, len(tokens) - WINDOW + STEP), STEP):
            here = range(first, min(first + WINDOW, len(tokens)))
            windows["input_ids"].append([CLS, FIRST_WORD, SEP, *tokens[here.start : here.stop], SEP])
            windows["marks"].append([0 if at in here else 3, -100, -100, *(3 * (n == at) for n in here), -100])
            windows["starts"].append([-1, -1, -1, *(places[n] for n in here), -1])
            windows["ends"].append([-1, -1, -1, *(places[n] + len(words[n]) for n in here), -1])
        for name, values in windows.items():
            found[name].append(values)
    target = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32()))])
    kinds = dict.fromkeys(found, pa.list_(pa.list_(pa.int32()))) | {"label": target}
    return {name: pa.array(values, kinds[name]) for name, values in found.items()}


def several_columns(kind: str, ids: list[list[int]]) -> tuple[list[list[int]], Any]:
    """Return tokens and column `label` of texts with any number of feelings: labels, or a score far from 0.

    Of three texts one has two toy texts, one has one, and one has none of their feeling words.
    """
    feelings = {FIRST_WORD + WORDS.index(word): word in toys.POSITIVE for word in toys.POSITIVE + toys.NEGATIVE}
    tokens = [
        [CLS, *row[1:-1], *(ids[number - 1][1:-1] if number % 3 == 0 else []), SEP][:MAX_LENGTH]
        for number, row in enumerate(ids)
    ]
    tokens = [row if n % 3 < 2 else [token for token in row if token not in feelings] for n, row in enumerate(tokens)]
    found = [[feelings[token] for token in row if token in feelings] for row in tokens]
    if kind.endswith("regression"):
        return tokens, pa.array([400.0 + 30 * (2 * sum(each) - len(each)) for each in found])
    return tokens, pa.array([sorted({int(each) for each in row}) for row in found], pa.list_(pa.int32()))


def write_dataset(folder: Path, kind: str = "text-classification", rows: int = 120) -> Path:
    """Write artifact `dataset` of toy rows as `prepare` does, lengths ragged.

    Words are numbered by hand: the toy tokenizer numbers them differently in each process, and losses are pinned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    splits = {}
    for number, (split, count) in enumerate({"train": rows, "validation": 40, "test": 40}.items()):
        found = toys.toy_rows(count, seed=number)
        ids = [[FIRST_WORD + WORDS.index(word) for word in row["text"].split()] for row in found]
        if kind == "pair-classification":
            second = [other[:6] for other in reversed(ids)]
            types = [[0] * (len(a) + 2) + [1] * (len(b) + 1) for a, b in zip(ids, second, strict=True)]
            ids = [[CLS, *a, SEP, *b, SEP] for a, b in zip(ids, second, strict=True)]
        else:
            types, ids = None, [[CLS, *a, SEP] for a in ids]
        several = None
        if kind.endswith(("multi-label", "regression")):
            ids, several = several_columns(kind, ids)
        columns: dict[str, Any] = {
            "row_id": pa.array([f"{split}-{n}" for n in range(count)]),
            "text": pa.array([row["text"] for row in found]),
            "label": pa.array([toys.LABELS.index(row["label"]) for row in found], pa.int32()),
            "input_ids": pa.array(ids, pa.list_(pa.int32())),
            "length": pa.array([len(row) for row in ids], pa.int32()),
        }
        if several is not None:
            columns["label"] = several
        if kind == "token-classification":
            del columns["label"]
            columns |= entity_columns([row["text"] for row in found], ids)
        if kind == "question-answering":
            texts = [f"{row['text']} {row['text']} it was so" for row in found]
            columns["raw_text_pair"] = pa.array(texts)
            columns |= answer_columns(texts, [[CLS, *row[1:-1], *row[1:-1], *EXTRA, SEP] for row in ids])
        if types is not None:
            columns["token_type_ids"] = pa.array(types, pa.list_(pa.int8()))
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")
        splits[split] = count
    facts = {
        "labels": {
            "token-classification": list(TYPES),
            "question-answering": [],
            "text-classification-regression": [],
        }.get(kind, list(toys.LABELS)),
        "max_length": MAX_LENGTH,
        "pad_token_id": PAD,
        "splits": splits,
        "vocabulary": 5 + len(WORDS),
    }
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


def sha(folder: Path) -> str:
    """SHA-256 of the weights in artifact `model`."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["kubetune.training.loop", "kubetune.tasks.encoder", "pyarrow.parquet", "trained_toys"])


def forked_rank(rendezvous: Path, rank: int, environment: dict[str, str]) -> None:
    from kubetune.training.rank import main

    os.environ.update(environment)
    with (rendezvous / f"stderr-{rank}").open("wb") as stderr:
        os.dup2(stderr.fileno(), 2)
    sys.exit(main(rendezvous, rank))


class ForkedRank:
    """Implements `launch.RankProcess` by forking a process that has the imports done: half a second, not ten."""

    target = staticmethod(forked_rank)

    def __init__(self, rendezvous: Path, rank: int, environment: Mapping[str, str]) -> None:
        self._process = FORKS.Process(target=self.target, args=(rendezvous, rank, dict(environment)), daemon=True)
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def slowly_validating_rank(rendezvous: Path, rank: int, environment: dict[str, str]) -> None:
    """A rank that validates row by row and, where it is asked to be slow, pauses before each forward pass."""
    from kubetune.tasks.classification import Classification
    from kubetune.training import validation

    pause = float((rendezvous / "pause").read_text()) if environment.get("SLOW") else 0.0
    real = Classification.collate

    def collate(self: Any, rows: Any, *more: Any) -> Any:
        if len(rows) == 1:
            time.sleep(pause)
        return real(self, rows, *more)

    validation.EVALUATION_BATCH = 1
    Classification.collate = collate
    forked_rank(rendezvous, rank, environment)


def train_slowly(home: Path, dataset: Path, weights: Path, changes: dict[str, Any]) -> None:
    """A run to be killed from outside."""
    from kubetune.training.launch import launch

    slow = ToyContext(home / "scratch", home / "kept", on_publish=lambda folder: time.sleep(0.05))
    launch(make_job(home, dataset, weights, **changes), slow)
