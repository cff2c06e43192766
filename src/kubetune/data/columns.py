"""Whether the raw rows have the columns that the recipe names."""

import difflib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.data.rows import RowRules
from kubetune.data.shown import one_line
from kubetune.errors import DataError


def check_columns(path: Path, rules: RowRules) -> None:
    """Refuse a raw split that lacks a column.

    Raises:
        DataError: One that the recipe names is missing; the nearest is named. Or the file is not Parquet.
    """
    try:
        schema = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise DataError("malformed-parquet", f"{path.name} is not a complete Parquet file; ingest it again.") from error
    where = dict.fromkeys(rules.text_columns, "data.columns.text")
    where |= {name: "data.columns.keep" for name in rules.keep if name not in where}
    if rules.label is not None:
        where[rules.label] = "data.columns.label"
    for name in rules.columns:
        if name not in schema.names:
            shown = [one_line(column, 60) for column in schema.names]
            near = difflib.get_close_matches(name, shown, n=1, cutoff=0.65)
            hint = f"did you mean {near[0]!r}? " if near else ""
            listed = ", ".join(shown[:20]) + (", …" if len(shown) > 20 else "")
            raise DataError(
                "missing-column",
                f"Split {path.stem} has no column {name!r:.80}, which {where[name]} names: {hint}it has {listed}.",
            )
