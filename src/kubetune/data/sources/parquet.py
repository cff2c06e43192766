"""Parquet as record batches of a bounded size: a file of 1 kB can hold a text of 1 MB in each of a million rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kubetune.data.bounds import SourceBounds, check_expansion
from kubetune.data.sources.batches import check_columns

BATCH_ROWS = 8192
BATCH_BYTES = 16 << 20
"""Bytes of the decoded values of one batch, unless a single row has more."""
FEWEST_BYTES = {"BOOLEAN": 0.125, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
"""Bytes of one decoded value by physical type; of a text at least its 4 bytes of offset."""


def read_parquet(path: Path, name: str, packed: int, bounds: SourceBounds) -> Iterator[pa.RecordBatch]:
    """Stream the rows of a Parquet file; dictionaries are resolved, strings are checked to be UTF-8.

    Args:
        path: The file, unpacked.
        name: Its name for messages.
        packed: Bytes of the file as it was given.
        bounds: How much it may become.

    Raises:
        DataError: It becomes far larger than it is, or has columns that a table cannot have.
        pyarrow.ArrowException, OSError: It is no readable Parquet file.
    """
    with pq.ParquetFile(path) as table:
        metadata = table.metadata
        check_columns(table.schema_arrow.names, name)
        check_expansion(_stated(metadata), packed, name, bounds)
    size = 0
    # Texts stay references into their dictionary until their sizes are known.
    with pq.ParquetFile(path, read_dictionary=_text_columns(metadata)) as table:
        for batch in table.iter_batches(_rows_at_once(metadata)):
            batch.validate(full=True)
            sizes = _row_sizes(batch)
            size += int(sizes.sum())
            check_expansion(size, packed, name, bounds)
            for start, end in _cuts(sizes):
                yield _plain(batch.slice(start, end - start))


def _chunks(metadata: Any) -> Iterator[Any]:
    for group in range(metadata.num_row_groups):
        yield from (metadata.row_group(group).column(column) for column in range(metadata.num_columns))


def _stated(metadata: Any) -> int:
    """Bytes that the file says its pages have unpacked, or that its values have at least if that is more."""
    return sum(
        max(chunk.total_uncompressed_size, int(chunk.num_values * FEWEST_BYTES.get(chunk.physical_type, 4)))
        for chunk in _chunks(metadata)
    )


def _text_columns(metadata: Any) -> list[str]:
    if metadata.num_row_groups == 0:
        return []
    group = metadata.row_group(0)
    columns = (group.column(column) for column in range(metadata.num_columns))
    return [found.path_in_schema for found in columns if found.physical_type == "BYTE_ARRAY"]


def _rows_at_once(metadata: Any) -> int:
    """Return how many rows to ask for: fewer where rows are large as stored, or hold many values each."""
    most = 1.0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        chunks = [row_group.column(column) for column in range(metadata.num_columns)]
        stated = sum(max(chunk.total_uncompressed_size, chunk.num_values * 8) for chunk in chunks)
        most = max(most, stated / max(row_group.num_rows, 1))
    return max(1, min(BATCH_ROWS, int(BATCH_BYTES / most)))


def _row_sizes(batch: pa.RecordBatch) -> np.ndarray:
    """Return the bytes of each row once it is decoded, shape (rows,)."""
    sizes = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and (_is_text(column.type.value_type)):
            lengths = pc.binary_length(column.dictionary).fill_null(0)
            sizes += lengths.take(column.indices.fill_null(0)).to_numpy(zero_copy_only=False) if len(lengths) else 0
        elif pa.types.is_list(column.type) and pa.types.is_dictionary(column.type.value_type):
            values = column.flatten()
            lengths = pc.binary_length(values.dictionary).fill_null(0).to_numpy(zero_copy_only=False)
            each = lengths[values.indices.fill_null(0).to_numpy(zero_copy_only=False)] + 4
            ends = np.cumsum(pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False))
            sizes += np.diff(np.concatenate([[0], np.cumsum(each)])[np.concatenate([[0], ends])])
        elif _is_text(column.type):
            sizes += pc.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False)
        else:
            sizes += -(-column.nbytes // max(batch.num_rows, 1))
    return sizes


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )  # fmt: skip


def _cuts(sizes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of runs of rows of at most `BATCH_BYTES`, or of one row."""
    start, ends = 0, np.cumsum(sizes)
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + BATCH_BYTES, side="right")))
        yield start, end
        start = end


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    arrays = [column.cast(_plain_type(column.type)) for column in batch]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return an Arrow type without dictionaries, at any depth of lists and structs."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(item.name, _plain_type(item.type)) for item in kind])
    return kind
