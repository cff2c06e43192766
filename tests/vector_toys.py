"""Rows of two toy texts that share words, and a data set of them as `prepare` writes it."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import toys
import trained_toys

SCORED = "feature-extraction-scored-pairs"
PAIRS = "feature-extraction"
HEAD = {"pooling": "mean", "hidden_size": None, "dropout": None}


def scored_rows(count: int, seed: int = 0) -> list[tuple[str, str, float]]:
    """Return two texts and the share of words of the first that the second begins with."""
    draw, found = random.Random(seed), []
    for row in toys.toy_rows(count, seed):
        words = row["text"].split()
        kept = draw.randint(0, len(words))
        others = draw.choices(trained_toys.WORDS, k=len(words) - kept)
        found.append((row["text"], " ".join([*words[:kept], *others]), kept / len(words)))
    return found


def pair_rows(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return a text and its words in another order."""
    draw = random.Random(seed)
    texts = [row["text"] for row in toys.toy_rows(count, seed)]
    return [(text, " ".join(draw.sample(text.split(), len(text.split())))) for text in texts]


def write_dataset(folder: Path, kind: str, rows: int = 120) -> Path:
    """Write artifact `dataset`; words are numbered by hand, see `trained_toys.write_dataset`."""
    folder.mkdir(parents=True, exist_ok=True)
    words, ends = trained_toys.WORDS, (trained_toys.CLS, trained_toys.SEP)
    splits = {"train": rows, "validation": 40, "test": 40}
    for number, (split, count) in enumerate(splits.items()):
        found: list[Any] = scored_rows(count, number) if kind == SCORED else pair_rows(count, number)
        sides = [
            [
                [ends[0], *(trained_toys.FIRST_WORD + words.index(word) for word in text.split()), ends[1]]
                for text in row[:2]
            ]
            for row in found
        ]
        columns = {
            "row_id": pa.array([f"{split}-{n}" for n in range(count)]),
            "text": pa.array([row[0] for row in found]),
            "text_pair": pa.array([row[1] for row in found]),
            "label": pa.array([row[2] for row in found], pa.float64()) if kind == SCORED else pa.array([True] * count),
            "input_ids": pa.array([first + second for first, second in sides], pa.list_(pa.int32())),
            "sides": pa.array([[0] * len(first) + [1] * len(second) for first, second in sides], pa.list_(pa.int32())),
        }
        columns["length"] = pa.array([len(first) + len(second) for first, second in sides], pa.int32())
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")
    facts = {"labels": [], "max_length": trained_toys.MAX_LENGTH, "pad_token_id": 0, "splits": splits}
    (folder / "dataset.json").write_text(json.dumps(facts | {"vocabulary": 5 + len(words)}), encoding="utf-8")
    return folder
