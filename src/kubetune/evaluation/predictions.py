"""`predictions.parquet`: every test row with what the model answered, for people, `package` and later comparisons."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kubetune.evaluation.same_texts import joined_groups, numbered, same_words
from kubetune.metrics.base import Ints
from kubetune.text.shown import one_line

TEXT_GROUP = "text_group"
"""Column: equal numbers are rows with the same text, see `same_texts`."""
CARRIED = ("row_id", "raw_text", "raw_text_pair", "text", "text_pair")
AFTER = ("length", "truncated")
TOKENS = ("input_ids", "token_type_ids")
ROW_GROUP = 10_000

Describe = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""A row of the table → `{"label", "prediction"}` as text, and `{"confidence", "given"}`: the probability of the answer
and that of the label, each None where there is none."""


def predictions_table(
    rows: pa.Table, answers: Mapping[str, pa.Array], right: NDArray[np.bool_], losses: NDArray[Any], texts: Ints
) -> pa.Table:
    """Return the table.

    Args:
        rows: The test split of artifact `dataset`.
        answers: Columns of what was answered, in the order of `rows`; the answer itself comes first.
        right: Whether each answer is right, shape (rows,).
        losses: Of each row, shape (rows,).
        texts: Number of each row's text, shape (rows,).
    """
    label = rows["label"]
    columns: dict[str, Any] = {name: rows[name] for name in CARRIED if name in rows.column_names}
    columns |= {
        TEXT_GROUP: pa.array(texts.astype(np.int32)),
        "label": label.cast(pa.int32()) if pa.types.is_integer(label.type) else label,
    }
    first, *further = answers
    columns |= {first: answers[first], "correct": pa.array(right)} | {name: answers[name] for name in further}
    columns |= {"loss": pa.array(losses.astype(np.float32))}
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
    pairs = zip(table["row_id"].to_pylist(), truths(table["label"], names), strict=True)
    lines = sorted(json.dumps([row, truth], sort_keys=True) for row, truth in pairs)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def truths(column: pa.ChunkedArray, names: Sequence[str]) -> list[Any]:
    """Return the truth of each row as a plain value: the names of class numbers, any other cell as it is."""
    values: list[Any] = column.to_pylist()
    if pa.types.is_list(column.type) and pa.types.is_integer(column.type.value_type):
        return [sorted(names[number] for number in value) for value in values]
    return [names[value] for value in values] if pa.types.is_integer(column.type) else values


def write_predictions(table: pa.Table, path: Path) -> None:
    """Write the table, byte-stable for equal content and pyarrow version."""
    pq.write_table(table, path, row_group_size=ROW_GROUP, compression="zstd")


def hardest(table: pa.Table, most: int, describe: Describe) -> list[Mapping[str, Any]]:
    """Return the wrong rows with the highest loss, that is the surest mistakes, ready to be shown.

    Args:
        table: Of `predictions_table`.
        most: How many.
        describe: Says what was answered.

    Returns:
        `{"row_id", "texts", "label", "prediction", "confidence", "given"}`; texts are one line of at most 200
        characters without control characters, still to be escaped.
    """
    wrong = np.flatnonzero(~table["correct"].to_numpy())
    losses = table["loss"].to_numpy()[wrong]
    order = wrong[np.argsort(-losses, kind="stable")[:most]]
    columns = [name for name in ("raw_text", "raw_text_pair") if name in table.column_names]
    found: list[Mapping[str, Any]] = []
    for row in table.take(pa.array(order)).to_pylist():
        described = describe(row)
        words = {name: one_line(str(described[name]), 200) for name in ("label", "prediction")}
        case: dict[str, Any] = {
            "row_id": one_line(row["row_id"], 80),
            "texts": [one_line(row[name]) for name in columns],
        }
        found.append(case | words | {name: described.get(name) for name in ("confidence", "given")})
    return found


def _bytes_of(column: pa.ChunkedArray) -> list[bytes]:
    """Return each row's list of numbers, or its lists of them (one a window), as bytes."""
    whole = column.combine_chunks()
    offsets, values = whole.offsets.to_numpy(), whole.values
    while pa.types.is_list(values.type):
        offsets, values = values.offsets.to_numpy()[offsets], values.values
    numbers = values.to_numpy()
    return [numbers[start:end].tobytes() for start, end in pairwise(offsets.tolist())]
