"""Texts in, answers or typed refusals out. Knows nothing of any server and reads no environment."""

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import AutoTokenizer

from kubetune.config.cpus import cpu_quota_threads
from kubetune.errors import ConfigError
from kubetune.serving.archive.manifest import Archive, read_archive
from kubetune.tasks import load_task
from kubetune.tasks.arrays import READ
from kubetune.tasks.hardware import native_bf16
from kubetune.tasks.inference import Precision, predict_outputs
from kubetune.tasks.output_layer import ExactLinear
from kubetune.tasks.reading import Unanswered
from kubetune.tasks.spec import load_spec
from kubetune.text.gate import TextGate, Unreadable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What the model says of an item.

    Attributes:
        prediction: As the task made it, see `Task.predictions`; an array is a tuple here, so that answers compare.
        tokens: That the model read for it, special ones included and what was cut left out.
    """

    prediction: Any
    tokens: int = 0


@dataclass(frozen=True)
class Refusal:
    """Why an item has no answer.

    Attributes:
        status: HTTP status: 400 wrong form, 413 too long, 422 nothing to predict on, 500 the model failed.
        reason: One sentence that holds nothing of the text.
    """

    status: int
    reason: str


Outcome = Answer | Refusal


class Predictor:
    """A loaded archive. Not thread-safe; a server's worker process holds one."""

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        threads: int | None = None,
        bounded: bool = True,
    ) -> None:
        """Load and verify the archive in `folder`.

        Args:
            folder: A served directory.
            device: Torch device.
            precision: `auto` is bf16 autocast where `device` has it natively, else fp32.
            threads: Torch threads; None: see `threads_per_worker`.
            bounded: Whether a text over `serving.max_characters` is refused. That bounds a server's work and says
                nothing about the model.

        Raises:
            ConfigError: It is no archive of a known format, or cleans texts whose characters its answers point at.
            CorruptArtifactError: A file does not have its digest.
            DataError: The weights do not fit.
        """
        self.archive: Archive = read_archive(folder)
        self.gate = TextGate(self.archive.cleaning, self.archive.serving.max_characters if bounded else None)
        if device == "cpu":
            torch.set_num_threads(threads or threads_per_worker(cpu_quota_threads(), self.archive.serving.workers))
        auto: Precision = "bf16" if native_bf16(device) else "fp32"
        self.precision: Precision = auto if precision == "auto" else precision
        spec = load_spec(folder)
        self.task = load_task(self.archive.task).of_model(spec)
        if self.task.schema.offsets and self.archive.cleaning:
            raise ConfigError(
                f"The archive cleans texts ({', '.join(self.archive.cleaning)}) and answers with places in them, which "
                "cleaning moves: train with data.cleaning=[]."
            )
        self._tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        # What it was trained with: a tokenizer without a padding token says nothing, and decoders look for this one.
        pad = self._tokenizer.pad_token_id if spec.pad_token_id is None else spec.pad_token_id
        self._pad = pad or 0
        self.task = self.task.of_tokenizer(self._tokenizer)
        self._module = self.task.build_model(spec, folder, pretrained=False).to(device).eval()
        if self.precision == "bf16":
            _cast_linears(self._module)

    def predict(self, items: Sequence[Sequence[object]]) -> list[Outcome]:
        """Answer items, each a sequence of raw texts in the order of the task's columns, or of those that are served.

        One bad item never changes its neighbours' answers: it is refused before tokenising, and where a batch fails
        in the model each of its items is tried alone.
        """
        cleaned = [self._clean(item) for item in items]
        answers = iter(self._answer([item for item in cleaned if not isinstance(item, Refusal)]))
        return [item if isinstance(item, Refusal) else next(answers) for item in cleaned]

    def reads(self, items: Sequence[Sequence[object]]) -> list[Hashable]:
        """Return what the model reads of each item, equal where it cannot tell two apart; a refusal reads as itself."""
        cleaned = [self._clean(item) for item in items]
        readable = [item for item in cleaned if not isinstance(item, Refusal)]
        encoding = self.task.encode(self._tokenizer, readable, self.archive.max_length)
        tokens: list[list[Hashable]] = [[] for _ in readable]
        for feature, example in zip(encoding.features, encoding.example, strict=True):
            tokens[example].append(_hashable(feature))
        found = iter(tokens)
        return [item if isinstance(item, Refusal) else tuple(next(found)) for item in cleaned]

    def warm(self) -> None:
        """Run each power-of-two length once, so that no client pays for first-use allocation."""
        length = 2
        while length < self.archive.max_length:
            length = min(2 * length, self.archive.max_length)
            rows = [{"input_ids": [self._pad] * length}]
            predict_outputs(self._module, rows, self.task, self._pad, self.archive.serving.split, self.precision)

    def _clean(self, item: Sequence[object]) -> tuple[str, ...] | Refusal:
        """Check one item and clean its texts."""
        columns = self.task.columns if len(item) == len(self.task.columns) else self.task.served
        if len(item) != len(columns):
            return Refusal(400, f"task {self.archive.task} takes {' and '.join(columns)}: {len(item)} texts given")
        cleaned = []
        for name, text in zip(columns, item, strict=True):
            if not isinstance(text, str):
                return Refusal(400, f"{name} must be a string, not {type(text).__name__}")
            found = self.gate.read(text)
            if isinstance(found, Unreadable):
                return self._refusal(name, len(text), found)
            cleaned.append(found)
        return tuple(cleaned)

    def _refusal(self, name: str, characters: int, reason: Unreadable) -> Refusal:
        if reason is Unreadable.OVER_LIMIT:
            return Refusal(413, f"{name} has {characters} characters: at most {self.gate.most} are allowed")
        if reason is Unreadable.BLANK:
            return Refusal(422, f"{name} is empty after cleaning, or of blanks and invisible characters alone")
        if reason is Unreadable.UNSTABLE:
            return Refusal(422, f"{name} hides markup in markup, so that cleaning it comes to no end")
        return Refusal(422, f"{name} holds a {reason.value}")

    def _answer(self, items: Sequence[tuple[str, ...]]) -> list[Outcome]:
        try:
            return self._forward(items)
        except Exception as error:  # a model can fail in ways that no list names; the culprit alone must pay
            log.warning("batch of %d failed (%s); retrying one by one", len(items), type(error).__name__)
        return [self._alone(item) for item in items]

    def _alone(self, item: tuple[str, ...]) -> Outcome:
        try:
            return self._forward([item])[0]
        except Exception as error:  # reported as this item's 500
            log.error("an item of %d characters failed (%s)", sum(map(len, item)), type(error).__name__)
            return Refusal(500, "the model failed on this item")

    def _forward(self, items: Sequence[tuple[str, ...]]) -> list[Outcome]:
        """Encode, sort and split, run, decode."""
        if not items:
            return []
        encoding = self.task.encode(self._tokenizer, items, self.archive.max_length)
        split = self.archive.serving.split
        outputs = predict_outputs(self._module, encoding.features, self.task, self._pad, split, self.precision)
        if not all(np.isfinite(output).all() for output in outputs):
            raise ArithmeticError("outputs are not finite")
        found = self.task.predictions(outputs, encoding, items, self.archive.labels)
        tokens = [0] * len(items)
        for feature, example in zip(encoding.features, encoding.example, strict=True):
            tokens[example] += len(feature["input_ids"])
        return [_outcome(each, count) for each, count in zip(found, tokens, strict=True)]


def _outcome(prediction: Any, tokens: int) -> Outcome:
    """Return what a prediction is to the server: an array becomes a tuple, so that answers compare."""
    if isinstance(prediction, Unanswered):
        return Refusal(422, prediction.reason)
    return Answer(tuple(prediction.tolist()) if isinstance(prediction, np.ndarray) else prediction, tokens)


def threads_per_worker(cpus: int, workers: int) -> int:
    """Return the torch threads of one of `workers` workers on `cpus` CPUs, at least 1.

    One CPU is left to the server that feeds them: OpenMP threads spin while they wait for each other, and when one of
    two loses its CPU to the server a forward takes many times as long (measured: 165 instead of 21 ms).
    """
    return max(1, (cpus - 1) // workers)


def _hashable(row: Mapping[str, Sequence[int]]) -> Hashable:
    return tuple((name, tuple(row[name])) for name in READ if name in row)


def _cast_linears(module: torch.nn.Module) -> None:
    """Cast the weights of linear layers to bf16 once; autocast would do the same at every forward, bit for bit.

    An output layer that shares its weights with the embeddings is left to autocast, which rounds for that layer alone,
    and one that computes in fp32 stays so.
    """
    tables = {id(part.weight) for part in module.modules() if isinstance(part, torch.nn.Embedding)}
    for part in module.modules():
        if isinstance(part, torch.nn.Linear) and not isinstance(part, ExactLinear) and id(part.weight) not in tables:
            part.to(torch.bfloat16)
