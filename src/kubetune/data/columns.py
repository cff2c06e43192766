"""Whether the raw rows have the columns that the recipe names, and what the source calls its classes."""

import difflib
import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.data.rows import RowRules
from kubetune.data.shown import one_line
from kubetune.errors import DataError


def check_columns(path: Path, rules: RowRules) -> pa.Schema:
    """Return the columns of a raw split.

    Raises:
        DataError: One that the recipe names is missing; the nearest is named. Or the file is not Parquet.
    """
    try:
        schema = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise DataError("malformed-parquet", f"{path.name} is not a complete Parquet file; ingest it again.") from error
    where = dict.fromkeys(rules.texts, "data.columns.text")
    where |= {name: "data.columns.keep" for name in rules.keep if name not in where}
    if rules.label is not None:
        where[rules.label] = "data.columns.label"
    for name in rules.columns:
        if name not in schema.names:
            shown = [one_line(column, 60) for column in schema.names]
            near = difflib.get_close_matches(name, shown, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            listed = ", ".join(shown[:20]) + (", …" if len(shown) > 20 else "")
            raise DataError(
                "missing-column",
                f"Split {path.stem} has no column {name!r:.80}, which {where[name]} names: {hint}it has {listed}.",
            )
    return schema


def class_names(schemas: Iterable[pa.Schema], label: str | None) -> list[str] | None:
    """Return the names that a hub data set gives to integer labels, if it does.

    Args:
        schemas: Columns of the raw splits; `datasets` leaves its features in their metadata.
        label: Name of the label column.
    """
    for schema in schemas:
        stored = (schema.metadata or {}).get(b"huggingface")
        if stored is None or label is None:
            continue
        features = json.loads(stored).get("info", {}).get("features", {})
        feature = features.get(label)
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            return [str(name) for name in feature["names"]]
    return None
