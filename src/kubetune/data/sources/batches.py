"""Rows collected to record batches of a bounded size."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from kubetune.data.sources.text_lines import MOST_COLUMNS
from kubetune.errors import DataError

BATCH_ROWS = 16_384
BATCH_CHARACTERS = 16 << 20


def check_columns(columns: Sequence[str], name: str) -> None:
    """Refuse names that a table cannot have.

    Raises:
        DataError: There are none or too many of them, or one comes twice.
    """
    if not columns or len(columns) > MOST_COLUMNS:
        raise DataError("columns", f"{name} has {len(columns)} columns: allowed are 1 to {MOST_COLUMNS}.")
    seen: set[str] = set()
    for column in columns:
        if column in seen:
            raise DataError("duplicate-column", f"{name} has two columns named {column!r:.80}: rename one of them.")
        seen.add(column)


def in_batches(
    rows: Iterable[Sequence[Any]], schema: pa.Schema, *, as_strings: bool = False
) -> Iterator[pa.RecordBatch]:
    """Collect rows to batches of at most `BATCH_ROWS` rows and about `BATCH_CHARACTERS` characters.

    Args:
        rows: Values in the schema's order.
        schema: Names and types.
        as_strings: Every value is a string, which is quicker to measure.
    """
    waiting: list[Sequence[Any]] = []
    characters = 0
    for row in rows:
        waiting.append(row)
        characters += sum(map(len, row)) if as_strings else sum(map(_size, row))
        if len(waiting) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield _batch(waiting, schema)
            waiting, characters = [], 0
    if waiting:
        yield _batch(waiting, schema)


def _size(value: Any) -> int:
    """Return the characters of a value, each part of a nested one as another."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(1 + _size(item) for item in value)
    return sum(map(_size, value.values())) if isinstance(value, dict) else 0


def _batch(rows: list[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
