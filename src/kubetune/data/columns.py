"""Whether the raw rows have the columns that the recipe names, and values of which a text or a label can be made."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.data.cells import nested
from kubetune.data.column_names import check_names, named_columns
from kubetune.data.label_column import is_binary, is_list
from kubetune.data.rows import RowRules
from kubetune.data.shown import one_line
from kubetune.errors import DataError


def check_split_columns(path: Path, rules: RowRules) -> list[str]:
    """Refuse a raw split that lacks a column, or has one of which no text can be made.

    Returns:
        A sentence for each column whose values are bytes.

    Raises:
        DataError: A column that the recipe names is missing (the nearest is named), or holds lists or maps; a label may
            be in a list of one. Or the file is not Parquet.
    """
    try:
        schema = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise DataError("malformed-parquet", f"{path.name} is not a complete Parquet file; ingest it again.") from error
    check_names(path.stem, schema.names, named_columns(rules.text_columns, rules.label, rules.keep))
    for name in rules.columns:
        kind = schema.field(name).type
        if pa.types.is_nested(kind) and not (name == rules.label and is_list(kind)):
            raise nested([] if is_list(kind) else {}, name)
    return [bytes_sentence(name) for name in rules.columns if is_binary(schema.field(name).type)]


def bytes_sentence(column: str) -> str:
    """Say that a column's bytes were read as text."""
    return f"Column {one_line(column, 80)!r} holds bytes, read as UTF-8."
