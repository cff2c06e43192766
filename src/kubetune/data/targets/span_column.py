"""Before the rows are judged: what a column of spans holds as a whole, so which classes there are and how often."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kubetune.data.label_column import is_list
from kubetune.data.labels import MOST_LABELS, LabelBook, too_many_labels
from kubetune.data.targets.base import TargetRules
from kubetune.data.targets.tags import parted_tag
from kubetune.errors import DataError
from kubetune.text.label_names import label_name
from kubetune.text.shown import one_line


@dataclass
class Marked:
    """How the cells of a column of spans are read.

    Attributes:
        book: Numbers the classes.
        tags: Whether cells are lists of tags, by the column's type; in a column of texts each cell says it.
        names: Names of the tags where they are numbers.
        counts: Class → spans, or tags, in the whole column.
        decisions: What was decided, a sentence each.
    """

    book: LabelBook
    tags: bool
    names: Sequence[str] | None
    counts: Counter[str]
    decisions: list[str]
    _read: dict[Any, str | None] = field(default_factory=dict)

    def parsed(self, value: Any) -> Any:
        """Return a cell as a list where it is one, or the text of one: JSON, or tags with blanks between them."""
        if not isinstance(value, str):
            return value
        if not value.lstrip().startswith("["):
            return value.split() or None
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value

    def tag(self, value: Any) -> str | None:
        """Return the name of a tag, or None for a number without one."""
        if value not in self._read:
            if len(self._read) > MOST_LABELS * 4:
                raise too_many_labels()
            self._read[value] = _tag_name(value, self.names)
        return self._read[value]

    def rows_of(self, number: int) -> int:
        """Return how often a class occurs."""
        return self.counts[self._names()[number]]

    def _names(self) -> Sequence[str]:
        if len(self._ordered) != len(self.book.numbers):
            self._ordered = list(self.book.numbers)
        return self._ordered

    _ordered: list[str] = field(default_factory=list)


def open_spans(rules: TargetRules, files: Mapping[str, Path], source: Mapping[str, Any]) -> Marked:
    """Read the column of each split.

    Args:
        rules: What the recipe says.
        files: Split → Parquet file that has the column.
        source: `source.json` of artifact `raw`.

    Raises:
        DataError: Tags are numbers that nothing names, or there are too many classes.
    """
    column = rules.column or ""
    names = source.get("class_names", {}).get(column)
    kinds = [pq.read_schema(path).field(column).type for path in files.values()]
    tags = any(is_list(kind) and not pa.types.is_struct(kind.value_type) for kind in kinds)
    if names is None and any(is_list(kind) and pa.types.is_integer(kind.value_type) for kind in kinds):
        raise DataError(
            "tag-numbers",
            f"Column {one_line(column, 80)!r} holds tags as numbers and the source does not say what they mean: write "
            "the tags (O, B-person, I-person, …) into the column.",
        )
    declared = rules.classes
    if declared is None and names is not None:
        declared = list(
            dict.fromkeys(parted[1] for name in names if (parted := parted_tag(label_name(name))) and parted[1])
        )
    marked = Marked(LabelBook(declared), tags, names, Counter(), [])
    for path in files.values():
        for value, rows in _counted(path, column, marked):
            if isinstance(value, _Class):
                name = label_name(value)
            else:
                parted = parted_tag(marked.tag(value) or "")
                name = "" if parted is None else parted[1]
            if name:
                marked.counts[name] += rows
    if names is not None and tags:
        listed = ", ".join(f"{number} is {name}" for number, name in list(enumerate(names))[:3])
        more = ", …" if len(names) > 3 else "."
        marked.decisions.append(f"Column {one_line(column, 80)!r} holds tags that the source names: {listed}{more}")
    return marked


class _Class(str):
    """Name of a class, and no tag."""


def _counted(path: Path, column: str, marked: Marked) -> Iterator[tuple[Any, int]]:
    """Yield each tag, or class of a span, and how often it occurs, some thousand rows at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1 << 16, columns=[column]):
            array = batch.column(0)
            if not is_list(array.type):
                yield from _of_texts(array, marked)
                continue
            values = array.flatten()
            spans = pa.types.is_struct(values.type)
            counted = pc.value_counts(values.field("label") if spans else values)
            for value, rows in zip(
                counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True
            ):
                if value is not None:
                    yield _Class(value) if spans else value, rows


def _of_texts(array: pa.Array, marked: Marked) -> Iterator[tuple[Any, int]]:
    for cell in array.to_pylist():
        value = marked.parsed(cell if isinstance(cell, str) else None)
        for item in value if isinstance(value, list) else ():
            name = item.get("label") if isinstance(item, dict) else None
            if isinstance(name, str | int):
                yield _Class(name), 1
            elif isinstance(item, str):
                yield item, 1


def _tag_name(value: Any, names: Sequence[str] | None) -> str | None:
    if isinstance(value, str):
        return label_name(value)
    if isinstance(value, int) and names is not None and 0 <= value < len(names):
        return label_name(names[value])
    return None
