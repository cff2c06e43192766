"""What the values of JSON objects are: found in a first pass over all files of a source, so that a column has one type.

A column of integers is int64, of numbers double, of truth values bool; anything else is string, and there a value that
is none is kept in JSON's notation (`true`, `1.5`). So is a number that its type could not hold exactly. Lists and
objects have the types of what is in them; a column either has them throughout or not at all.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from kubetune.data.sources.text_lines import MOST_COLUMNS
from kubetune.errors import DataError

EXACT_IN_DOUBLE, EXACT_IN_INT64 = 1 << 53, 1 << 63
DEEPEST = 4
"""Lists and objects inside one another; a list of objects is two."""
WORDS = {"list": "a list", "object": "an object", "scalar": "a single value"}


@dataclass
class ValueKind:
    """What the values of a column are.

    Attributes:
        form: `list`, `object` or `scalar`; empty while only nulls were met.
        scalars: Kinds of single values.
        items: Of the values in lists.
        fields: Of the values in objects.
    """

    form: str = ""
    scalars: set[str] = field(default_factory=set)
    items: "ValueKind | None" = None
    fields: dict[str, "ValueKind"] = field(default_factory=dict)

    def learn(self, value: Any, depth: int = 0) -> None:
        """Take in a value.

        Raises:
            ValueError: It does not go with those before it; says why.
        """
        if value is None:
            return
        form = "list" if isinstance(value, list) else "object" if isinstance(value, dict) else "scalar"
        if self.form and form != self.form:
            raise ValueError(f"holds {WORDS[form]}, and rows before it hold {WORDS[self.form]}")
        self.form = form
        if form == "scalar":
            self.scalars.add(_scalar(value))
            return
        if depth == DEEPEST:
            raise ValueError(f"holds {WORDS[form]} inside of {DEEPEST} others")
        if form == "list":
            self.items = self.items or ValueKind()
        for name, item in value.items() if isinstance(value, dict) else (("", item) for item in value):
            within = self.fields.setdefault(name, ValueKind()) if self.items is None else self.items
            within.learn(item, depth + 1)
        if len(self.fields) > MOST_COLUMNS:
            raise ValueError(f"holds objects with more than {MOST_COLUMNS} different keys")

    def type(self) -> pa.DataType:
        """Return the Arrow type; of objects without any key, string."""
        if self.form == "list":
            return pa.list_((self.items or ValueKind()).type())
        if self.form == "object" and self.fields:
            return pa.struct([(name, kind.type()) for name, kind in self.fields.items()])
        return _type(self.scalars)


@dataclass
class Types:
    """The types of all columns of a source.

    Attributes:
        columns: Split → names in the order of their first appearance.
        kinds: Column → what its values are in any split.
    """

    columns: dict[str, dict[str, None]] = field(default_factory=dict)
    kinds: dict[str, ValueKind] = field(default_factory=dict)

    def learn(self, split: str, rows: "Iterator[tuple[int, dict[str, Any]]]", name: str) -> None:
        """Take in the rows of a file.

        Raises:
            DataError: There are too many different keys, or a column holds lists or objects in some rows only.
        """
        columns = self.columns.setdefault(split, {})
        for line, row in rows:
            for column, value in row.items():
                columns.setdefault(column)
                try:
                    self.kinds.setdefault(column, ValueKind()).learn(value)
                except ValueError as error:
                    raise DataError(
                        "nested-value",
                        f"{name} line {line}: {column!r:.80} {error}; allowed are single values throughout (strings, "
                        "numbers, true, false), or lists or objects throughout: write the column alike in each row.",
                    ) from None
            if len(columns) > MOST_COLUMNS:
                raise DataError("columns", f"{name} has more than {MOST_COLUMNS} different keys: keep those needed.")

    def schema(self, split: str) -> pa.Schema:
        """Return the schema of a split."""
        return pa.schema([(column, self.kinds[column].type()) for column in self.columns[split]])


def values(row: dict[str, Any], schema: pa.Schema) -> list[Any]:
    """Return a row's values in the schema's order; a missing key is null."""
    return [_fitted(row.get(column.name), column.type) for column in schema]


def _fitted(value: Any, kind: pa.DataType) -> Any:
    if value is None or (isinstance(value, str) and pa.types.is_string(kind)):
        return value
    if pa.types.is_list(kind):
        return [_fitted(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {item.name: _fitted(value.get(item.name), item.type) for item in kind}
    return json.dumps(value) if pa.types.is_string(kind) else value


def _scalar(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) <= EXACT_IN_DOUBLE:
            return "integer"
        return "long integer" if -EXACT_IN_INT64 <= value < EXACT_IN_INT64 else "string"
    return {bool: "bool", float: "number", str: "string"}[type(value)]


def _type(kinds: set[str]) -> pa.DataType:
    if kinds == {"bool"}:
        return pa.bool_()
    if kinds and kinds <= {"integer", "long integer"}:
        return pa.int64()
    if kinds and kinds <= {"integer", "number"}:
        return pa.float64()
    return pa.string()
