"""JSON lines: one object a line. Types are kept, which takes two passes: one finds them, one reads."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from kubetune.data.bounds import STANDARD, SourceBounds
from kubetune.data.sources.base import Facts
from kubetune.data.sources.text_lines import MOST_COLUMNS, read_lines
from kubetune.errors import DataError

SURROGATE = re.compile("[\ud800-\udfff]")
EXACT_IN_DOUBLE, EXACT_IN_INT64 = 1 << 53, 1 << 63


@dataclass
class Types:
    """What the values of JSON lines are, found in a first pass over all files of a source.

    A column of integers is int64, of numbers double, of truth values bool; anything else is string, and there a
    value that is none is kept in JSON's notation (`true`, `1.5`). So is a number that its type could not hold exactly.

    Attributes:
        columns: Split → names in the order of their first appearance.
        kinds: Column → kinds of its values in any split, so that a column has one type in all of them.
    """

    columns: dict[str, dict[str, None]] = field(default_factory=dict)
    kinds: dict[str, set[str]] = field(default_factory=dict)

    def learn(self, split: str, rows: "Iterator[tuple[int, dict[str, Any]]]", name: str) -> None:
        """Take in the rows of a file.

        Raises:
            DataError: There are too many different keys.
        """
        columns = self.columns.setdefault(split, {})
        for _, row in rows:
            for column, value in row.items():
                columns.setdefault(column)
                self.kinds.setdefault(column, set()).add(_kind(value))
            if len(columns) > MOST_COLUMNS:
                raise DataError("columns", f"{name} has more than {MOST_COLUMNS} different keys: keep those needed.")

    def schema(self, split: str) -> pa.Schema:
        """Return the schema of a split."""
        return pa.schema([(column, _type(self.kinds[column] - {"null"})) for column in self.columns[split]])


def values(row: dict[str, Any], schema: pa.Schema) -> list[Any]:
    """Return a row's values in the schema's order; a missing key is null."""
    found = []
    for column in schema:
        value = row.get(column.name)
        as_text = value is not None and not isinstance(value, str) and pa.types.is_string(column.type)
        found.append(json.dumps(value) if as_text else value)
    return found


def read_objects(
    path: Any, name: str, encoding: str, facts: Facts | None = None, bounds: SourceBounds = STANDARD
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Stream (line, object); blank lines are no rows.

    Args:
        path: The file.
        name: Its name for messages; `.gz` at its end is unpacked.
        encoding: Its encoding.
        facts: Where replaced surrogates are counted.
        bounds: How much it may become.

    Raises:
        DataError: A line is no JSON, no object, or holds a list or an object; names the line.
    """
    for number, line in enumerate(read_lines(path, name, encoding, bounds, facts), start=1):
        if not line.strip(" \t\r\n"):
            continue
        row = _object(line.lstrip("\ufeff"), name, number)  # a mark inside: files joined one after another
        yield number, plain_row(row, (name, number), line, facts)


def plain_row(row: dict[str, Any], place: tuple[str, int], source: str, facts: Facts | None) -> dict[str, Any]:
    """Return a row of values that a table can hold.

    Args:
        row: As it was decoded.
        place: File and line, for messages.
        source: What it was decoded from.
        facts: Where replaced surrogates are counted.

    Raises:
        DataError: A value is a list or an object.
    """
    name, number = place
    for column, value in row.items():
        if isinstance(value, list | dict):
            raise DataError(
                "nested-value",
                f"{name} line {number}: {column!r:.80} holds {'a list' if isinstance(value, list) else 'an object'}; "
                "allowed are strings, numbers, true, false and null: flatten or remove it (a list of labels is "
                "multi-label, and a row has one label here).",
            )
    if "\\u" in source:  # the only way in which a lone surrogate can stand in decoded text
        row, replaced = _without_surrogates(row)
        if facts is not None:
            facts.surrogates += replaced
    return row


def _object(line: str, name: str, number: int) -> dict[str, Any]:
    try:
        row = DECODER.decode(line)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    else:
        if isinstance(row, dict):
            return row
        raise DataError(
            "not-an-object",
            f"{name} line {number} is JSON but no object: every line must be one object, {{column: value}}; set "
            "data.source.format=json for an array of objects.",
        )
    hint = ", or set data.source.format=json if objects take several lines" if number == 1 else ""
    raise DataError("malformed-json", f"{name} line {number} is not JSON ({reason}): repair or remove the line{hint}.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _without_surrogates(row: dict[str, Any]) -> tuple[dict[str, Any], int]:
    replaced = 0
    found = {}
    for column, value in row.items():
        plain_column, in_column = SURROGATE.subn("\ufffd", column)
        plain, in_value = SURROGATE.subn("\ufffd", value) if isinstance(value, str) else (value, 0)
        found[plain_column] = plain
        replaced += in_column + in_value
    return found, replaced


def _kind(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) <= EXACT_IN_DOUBLE:
            return "integer"
        return "long integer" if -EXACT_IN_INT64 <= value < EXACT_IN_INT64 else "string"
    return {type(None): "null", bool: "bool", float: "number", str: "string"}[type(value)]


def _type(kinds: set[str]) -> pa.DataType:
    if kinds == {"bool"}:
        return pa.bool_()
    if kinds and kinds <= {"integer", "long integer"}:
        return pa.int64()
    if kinds and kinds <= {"integer", "number"}:
        return pa.float64()
    return pa.string()
