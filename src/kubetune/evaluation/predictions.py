"""`predictions.parquet`: every test row with what the model answered, for people, `package` and later comparisons."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kubetune.evaluation.counts import Ints
from kubetune.evaluation.metrics import Scores
from kubetune.evaluation.same_texts import joined_groups, numbered, same_words
from kubetune.text.shown import one_line

TEXT_GROUP = "text_group"
"""Column: equal numbers are rows with the same text, see `same_texts`."""
CARRIED = ("row_id", "raw_text", "raw_text_pair", "text", "text_pair")
AFTER = ("length", "truncated")
TOKENS = ("input_ids", "token_type_ids")
ROW_GROUP = 10_000


def predictions_table(
    rows: pa.Table, scores: Scores, probabilities: NDArray[np.float32], logits: NDArray[np.float32], texts: Ints
) -> pa.Table:
    """Return the table.

    Args:
        rows: The test split of artifact `dataset`.
        scores: The model's answers, in the order of `rows`.
        probabilities: Shape (rows, classes), float32.
        logits: Shape (rows, classes), float32.
        texts: Number of each row's text, shape (rows,).
    """
    labels = rows["label"].to_numpy()
    columns: dict[str, Any] = {name: rows[name] for name in CARRIED if name in rows.column_names}
    columns |= {
        TEXT_GROUP: pa.array(texts.astype(np.int32)),
        "label": pa.array(labels.astype(np.int32)),
        "prediction": pa.array(scores.predictions.astype(np.int32)),
        "correct": pa.array(scores.predictions == labels),
        "confidence": pa.array(scores.confidence.astype(np.float32)),
        "probabilities": _lists(probabilities),
        "logits": _lists(logits),
        "loss": pa.array(scores.losses.astype(np.float32)),
    }
    columns |= {name: rows[name] for name in AFTER}
    columns |= {name: rows[name] for name in rows.column_names if name.startswith("column_")}
    return pa.table(columns)


def text_groups(rows: pa.Table, texts: Sequence[str]) -> Ints:
    """Return the number of each row's text, shape (rows,), counted from 0 in the order of first occurrence.

    Args:
        rows: A split of artifact `dataset`.
        texts: Names of its columns of cleaned text: one, or two for pairs.
    """
    words = same_words(list(zip(*(rows[name].to_pylist() for name in texts), strict=True)))
    tokens = [_bytes_of(rows[name]) for name in TOKENS if name in rows.column_names]
    return joined_groups(words, numbered(zip(*tokens, strict=True))) if tokens else words


def test_rows_digest(table: pa.Table, names: Sequence[str]) -> str:
    """Return the digest (hex) of which rows were asked and what is right there, whatever a model answered.

    Args:
        table: Of `predictions_table`.
        names: Class names by number.
    """
    pairs = zip(table["row_id"].to_pylist(), table["label"].to_pylist(), strict=True)
    lines = sorted(json.dumps([row, names[label]]) for row, label in pairs)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write_predictions(table: pa.Table, path: Path) -> None:
    """Write the table, byte-stable for equal content and pyarrow version."""
    pq.write_table(table, path, row_group_size=ROW_GROUP, compression="zstd")


def hardest(table: pa.Table, names: Sequence[str], most: int) -> list[Mapping[str, Any]]:
    """Return the wrong rows with the highest loss, that is the surest mistakes, ready to be shown.

    Args:
        table: Of `predictions_table`.
        names: Class names by number.
        most: How many.

    Returns:
        `{"row_id", "texts", "label", "prediction", "confidence", "given"}`; texts are one line of at most 200
        characters without control characters, still to be escaped; `given` is the probability of the true label.
    """
    wrong = np.flatnonzero(~table["correct"].to_numpy())
    losses = table["loss"].to_numpy()[wrong]
    order = wrong[np.argsort(-losses, kind="stable")[:most]]
    columns = [name for name in ("raw_text", "raw_text_pair") if name in table.column_names]
    return [
        {
            "row_id": one_line(row["row_id"], 80),
            "texts": [one_line(row[name]) for name in columns],
            "label": one_line(names[row["label"]], 60),
            "prediction": one_line(names[row["prediction"]], 60),
            "confidence": row["confidence"],
            "given": row["probabilities"][row["label"]],
        }
        for row in table.take(pa.array(order)).to_pylist()
    ]


def _lists(values: NDArray[np.float32]) -> pa.ListArray:
    """(rows, classes) as a list a row."""
    flat = np.ascontiguousarray(values, dtype=np.float32)
    offsets = np.arange(0, flat.size + 1, flat.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat.ravel()))


def _bytes_of(column: pa.ChunkedArray) -> list[bytes]:
    """Return each row's list of numbers as bytes."""
    whole = column.combine_chunks()
    offsets, values = whole.offsets.to_numpy(), whole.values.to_numpy()
    return [values[start:end].tobytes() for start, end in pairwise(offsets.tolist())]
