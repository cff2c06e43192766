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
LABEL = {SCORED: pa.float64(), PAIRS: pa.string()}
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


def triplet_rows(count: int, seed: int = 0) -> list[tuple[str, str, str]]:
    """Return a pair, and the words of the text but for one: near, and of another text."""
    draw, found = random.Random(seed), []
    for text, positive in pair_rows(count, seed):
        words = text.split()
        words[draw.randrange(len(words))] = draw.choice(trained_toys.WORDS)
        found.append((text, positive, " ".join(words)))
    return found


def write_dataset(folder: Path, kind: str, rows: int = 120, negatives: bool = False) -> Path:
    """Write artifact `dataset`; words are numbered by hand, see `trained_toys.write_dataset`."""
    folder.mkdir(parents=True, exist_ok=True)
    words, ends = trained_toys.WORDS, (trained_toys.CLS, trained_toys.SEP)
    splits = {"train": rows, "validation": 40, "test": 40}
    for number, (split, count) in enumerate(splits.items()):
        made = scored_rows if kind == SCORED else triplet_rows if negatives else pair_rows
        found: list[Any] = list(made(count, number))
        sides = [
            [
                [ends[0], *(trained_toys.FIRST_WORD + words.index(word) for word in text.split()), ends[1]]
                for text in row
                if isinstance(text, str)
            ]
            for row in found
        ]
        columns = {
            "row_id": pa.array([f"{split}-{n}" for n in range(count)]),
            "text": pa.array([row[0] for row in found]),
            "text_pair": pa.array([row[1] for row in found]),
            "label": pa.array([row[2] if len(row) > 2 else None for row in found], LABEL[kind]),
            "input_ids": pa.array(
                [[number for text in texts for number in text] for texts in sides], pa.list_(pa.int32())
            ),
            "sides": pa.array(
                [[side for side, text in enumerate(texts) for _ in text] for texts in sides], pa.list_(pa.int32())
            ),
        }
        columns["length"] = pa.array([sum(map(len, texts)) for texts in sides], pa.int32())
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")
    facts = {"labels": [], "max_length": trained_toys.MAX_LENGTH, "pad_token_id": 0, "splits": splits}
    (folder / "dataset.json").write_text(json.dumps(facts | {"vocabulary": 5 + len(words)}), encoding="utf-8")
    return folder
