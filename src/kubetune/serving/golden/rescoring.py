"""An archive's answers on many raw rows, for a comparison with another model."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from kubetune.config.cpus import cpu_quota_threads
from kubetune.errors import KubetuneError
from kubetune.serving.golden.vectors import Answers, Predict
from kubetune.serving.predictor import Answer, Predictor, Refusal

CHUNK_ROWS = 512
"""Rows between two looks at the stop flag."""


def golden_answers(predictor: Predictor) -> Predict:
    """Return what asks a loaded archive its golden rows, the whole answer of each."""
    columns, labels, form = predictor.task.served, predictor.archive.labels, predictor.task.form

    def ask(items: Sequence[Mapping[str, str]]) -> Answers:
        asked = [predictor.task.asked(tuple(item[name] for name in columns), {}) for item in items]
        read = iter(predictor.predict([found[0] for found in asked if not isinstance(found, str)]))
        outcomes = [None if isinstance(found, str) else next(read) for found in asked]
        found = [
            form.expectation(form.decode(outcome.prediction, labels, {})) if isinstance(outcome, Answer) else None
            for outcome in outcomes
        ]
        return Answers(found, predictor.precision)

    return ask


@dataclass(frozen=True)
class NewAnswers:
    """The answers of the archive, of any task.

    Attributes:
        labels: Its class names by class number.
        columns: Of the rows that have an answer, in their order: see `Task.answer_columns`.
        answered: Whether there is an answer, shape (rows,).
        texts: Numbers that are equal for rows which the archive reads as the same text, shape (rows,).
    """

    labels: tuple[str, ...]
    columns: pa.Table
    answered: NDArray[np.bool_]
    texts: NDArray[np.int64]


def ask_again(folder: Path, items: Sequence[Sequence[str]], looked: Callable[[int], None]) -> NewAnswers:
    """Ask an archive rows in its own way: its cleaning, its tokenizer, its maximum length.

    Args:
        folder: A served directory.
        items: Raw texts of each row, in the order of the task's columns.
        looked: Called after each chunk with the number of its rows; may raise to stop.

    Raises:
        KubetuneError: The model fails on a row, or the archive cannot be loaded.
    """
    on_gpu = torch.cuda.is_available()
    torch.backends.cudnn.allow_tf32 = False  # else a recurrent layer on a GPU is not fp32
    # fp32, as `evaluate` runs every model: `auto` would be bf16 where the hardware has it, and the candidate's answers
    # would then be compared with rougher ones of the champion.
    predictor = Predictor(
        folder,
        "cuda" if on_gpu else "cpu",
        precision="fp32",
        threads=min(cpu_quota_threads(), torch.get_num_threads()),
        bounded=False,  # `evaluate` knows no such limit
    )
    outcomes: list[Answer | Refusal] = []
    read: list[Hashable] = []
    known: dict[Hashable, int] = {}
    for start in range(0, len(items), CHUNK_ROWS):
        chunk = items[start : start + CHUNK_ROWS]
        outcomes += predictor.predict(chunk)
        read += predictor.reads(chunk)
        looked(min(CHUNK_ROWS, len(items) - start))
    failed = sum(isinstance(outcome, Refusal) and outcome.status == 500 for outcome in outcomes)
    if failed:
        raise KubetuneError(f"The model of the archive fails on {failed:,} of {len(items):,} rows: package it again.")
    found = [outcome.prediction for outcome in outcomes if isinstance(outcome, Answer)]
    return NewAnswers(
        labels=predictor.archive.labels,
        columns=pa.table(predictor.task.answer_columns(found)),
        answered=np.array([isinstance(outcome, Answer) for outcome in outcomes], dtype=bool),
        texts=np.array([known.setdefault(text, len(known)) for text in read], dtype=np.int64),
    )
