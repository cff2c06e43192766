"""Toy rows of each task whose training `resume.py` kills, and what a recipe says of them."""

import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import toys
import vector_toys
from entity_toys import TYPES, spans_in

ROWS = 240
WINDOWED = 24
"""Words that are set before each second context, so that it is read in several windows."""


@dataclass(frozen=True)
class Toys:
    """What a task is trained on here.

    Attributes:
        rows: Makes that many rows of the source.
        overrides: Of the recipe.
    """

    rows: Callable[[int], list[dict[str, Any]]]
    overrides: tuple[str, ...]


def entities(count: int) -> list[dict[str, Any]]:
    """Return texts with spans of two types."""
    return [
        {"text": row["text"], "spans": [span | {"label": TYPES[span["label"]]} for span in spans_in(row["text"])]}
        for row in toys.toy_rows(count)
    ]


def answers(count: int) -> list[dict[str, Any]]:
    """Return a question and contexts of one window or several; one in eight has no answer."""
    draw, found = random.Random(0), []
    for number, row in enumerate(toys.toy_rows(count)):
        before = " ".join(draw.choices(toys.NEUTRAL, k=WINDOWED)) + " " if number % 2 else ""
        text, span = before + row["text"], spans_in(row["text"])[0]
        start, end = span["start"] + len(before), span["end"] + len(before)
        answer = [] if number % 8 == 3 else [{"text": text[start:end], "answer_start": start}]
        found.append({"question": "what was it", "context": text, "answers": answer})
    return found


def pairs(count: int) -> list[dict[str, Any]]:
    """Return texts that belong together."""
    return [{"anchor": one, "positive": other} for one, other in vector_toys.pair_rows(count)]


def scored(count: int) -> list[dict[str, Any]]:
    """Return texts and how alike they are."""
    rows = vector_toys.scored_rows(count)
    return [{"sentence1": one, "sentence2": other, "score": score} for one, other, score in rows]


def several(count: int) -> list[dict[str, Any]]:
    """Return texts with any number of labels: the words of feeling in two of them."""
    rows, words = toys.toy_rows(count), (*toys.POSITIVE, *toys.NEGATIVE)
    texts = [f"{one['text']} {other['text']}" for one, other in zip(rows, rows[7:] + rows[:7], strict=True)]
    return [{"text": text, "labels": sorted({word for word in text.split() if word in words[:6]})} for text in texts]


TASKS: Mapping[str, Toys] = {
    "text-classification": Toys(toys.toy_rows, ()),
    "token-classification": Toys(entities, ("data.columns.text=text", "data.columns.label=spans")),
    "question-answering": Toys(answers, ()),
    "feature-extraction": Toys(pairs, ()),
    "feature-extraction-scored-pairs": Toys(scored, ("data.score_range=[0, 1]",)),
    "text-classification-multi-label": Toys(several, ("data.empty_labels=keep",)),
}
PROBLEMS = ("scored-pairs", "multi-label")


def task_overrides(name: str) -> list[str]:
    """Return what a recipe of the task says."""
    problem = next((problem for problem in PROBLEMS if name.endswith(problem)), None)
    kind = name if problem is None else name.removesuffix(f"-{problem}")
    return [f"task.kind={kind}", *([f"task.problem={problem}"] if problem else []), *TASKS[name].overrides]
