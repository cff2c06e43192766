"""Whether the columns that a recipe names are there: known from names alone, before anything else is downloaded."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.config.data import Columns
from kubetune.data.cells import nested
from kubetune.data.label_column import is_binary, is_list
from kubetune.data.rows import RowRules
from kubetune.data.targets.base import TargetType
from kubetune.errors import DataError
from kubetune.text.shown import one_line


def check_split_columns(path: Path, rules: RowRules, target: TargetType) -> list[str]:
    """Refuse a raw split that lacks a column, or has one of which no text can be made.

    Returns:
        A sentence for each column whose values are bytes.

    Raises:
        DataError: A column that the recipe names is missing (the nearest is named), or holds lists or maps that it
            cannot hold. Or the file is not Parquet.
    """
    try:
        schema = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise DataError("malformed-parquet", f"{path.name} is not a complete Parquet file; ingest it again.") from error
    wanted = named_columns(rules.text_columns, rules.label, rules.keep, rules.group_columns, rules.truth)
    check_names(path.stem, schema.names, wanted)
    for name in rules.columns:
        kind = schema.field(name).type
        allowed = (name == rules.label and target.accepts(kind)) or (
            name in rules.text_columns and target.words and is_list(kind) and not pa.types.is_nested(kind.value_type)
        )
        if pa.types.is_nested(kind) and not allowed:
            raise nested([] if is_list(kind) else {}, name)
    said = [words_sentence(name) for name in rules.text_columns if is_list(schema.field(name).type)]
    return said + [bytes_sentence(name) for name in rules.columns if is_binary(schema.field(name).type)]


def words_sentence(column: str) -> str:
    """Say that a column's lists of words were read as texts."""
    return f"Column {one_line(column, 80)!r} holds lists of words, read as one text with a blank between two words."


def bytes_sentence(column: str) -> str:
    """Say that a column's bytes were read as text."""
    return f"Column {one_line(column, 80)!r} holds bytes, read as UTF-8."


LABELLED = frozenset({"train", "validation", "test", "all"})
"""Splits of a source that have the columns of the recipe; others are not read."""


def wanted_columns(columns: Columns) -> dict[str, str]:
    """Return column → the recipe's key that names it."""
    given = (columns.text, columns.text_pair)
    texts = [name for text in given for name in ([text] if isinstance(text, str) else text or [])]
    groups, (truth, label) = [] if columns.group is None else [columns.group], truth_column(columns)
    return named_columns(texts, label, columns.keep, groups, truth)


def truth_column(columns: Columns) -> tuple[str, str | None]:
    """Return the recipe's key that names the column of the truth, and the column; None: there is none."""
    return ("label", columns.label) if columns.negative is None else ("negative", columns.negative)


def named_columns(
    texts: Sequence[str], label: str | None, keep: Sequence[str], groups: Sequence[str] = (), truth: str = "label"
) -> dict[str, str]:
    """Return column → the recipe's key that names it; `truth` is that of the label."""
    where = dict.fromkeys(texts, "data.columns.text")
    where |= {name: "data.columns.keep" for name in keep if name not in where}
    where |= {name: "data.columns.group" for name in groups if name not in where}
    return where | ({label: f"data.columns.{truth}"} if label is not None else {})


def check_names(split: str, found: Sequence[str], wanted: Mapping[str, str]) -> None:
    """Refuse a split without a column.

    Args:
        split: Its name.
        found: The columns that it has.
        wanted: Of `named_columns`.

    Raises:
        DataError: Names the missing one, and the nearest that is there.
    """
    for name, where in wanted.items():
        if name not in found:
            shown = [one_line(column, 60) for column in found]
            near = difflib.get_close_matches(name, shown, n=1, cutoff=0.65)
            hint = f"did you mean {near[0]!r}? " if near else ""
            listed = ", ".join(shown[:20]) + (", …" if len(shown) > 20 else "")
            raise DataError(
                "missing-column",
                f"Split {split} has no column {name!r:.80}, which {where} names: {hint}it has {listed}.",
            )
