"""Before the rows are judged: what the label column holds as a whole, and so what an integer in it means.

An integer is the name of a class or its number. Cell by cell both can be true (`1` among the names 1 to 5, counted from
zero), so it is decided once for the column, from all its values, and reported.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kubetune.data.cells import cell_text, multi_label
from kubetune.data.labels import MOST_LABELS
from kubetune.errors import DataError
from kubetune.text.label_names import label_name
from kubetune.text.shown import one_line

UNLABELLED = "-1"
"""What data sets write into the label column of rows whose labels are kept back."""


@dataclass
class LabelCells:
    """The label cells of one split.

    Attributes:
        split: Its name.
        rows: All rows.
        found: Name → rows, of the cells that hold one.
        missing: Mark → rows, of the cells that hold none; an empty cell's is the empty text.
        decoded: Whether cells were bytes.
        unwrapped: Whether cells were lists of one label.
    """

    split: str
    rows: int = 0
    found: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    decoded: bool = False
    unwrapped: bool = False

    @property
    def hidden(self) -> bool:
        """Whether no row has a label: all cells are empty, or -1 as in a benchmark's own test split."""
        return self.rows > 0 and set(self.found) <= {UNLABELLED}


def label_text(value: Any, column: str, marks: frozenset[str] = frozenset()) -> str | None:
    """Return the name or number in a label cell, or None where it holds a mark of missing values.

    Args:
        value: The cell: a scalar, or a list of at most one.
        column: Name of the column, for the sentence.
        marks: Names, case-folded, that mean that there is no label.

    Raises:
        DataError: The cell holds several labels, a map, or bytes that are no text.
    """
    if isinstance(value, list | tuple):
        if len(value) > 1:
            raise multi_label(column, len(value))
        value = value[0] if value else None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    name = label_name(str(int(value)) if isinstance(value, float) and value.is_integer() else cell_text(value, column))
    return None if not name or name.casefold() in marks else name


def marks_of(missing: Sequence[str], classes: Sequence[str]) -> frozenset[str]:
    """Return the marks of missing labels, case-folded; what is a class of its own is none."""
    return frozenset(label_name(mark).casefold() for mark in missing) - {name.casefold() for name in classes}


def survey(files: Mapping[str, Path], column: str, marks: frozenset[str], most: int = MOST_LABELS) -> list[LabelCells]:
    """Read the label column of each split.

    Args:
        files: Split → Parquet file that has the column.
        column: Its name.
        marks: See `label_text`.
        most: Different names that are kept a split; of further ones none is.

    Raises:
        DataError: A cell is no scalar.
    """
    return [_survey(split, path, column, (marks, most)) for split, path in files.items()]


def _survey(split: str, path: Path, column: str, how: tuple[frozenset[str], int]) -> LabelCells:
    marks, most = how
    cells = LabelCells(split)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1 << 16, columns=[column]):
            array = batch.column(0)
            cells.rows += len(array)
            cells.decoded |= is_binary(array.type)
            cells.unwrapped |= is_list(array.type)
            for value, rows in _counted(array):
                name = label_text(value, column, marks)
                if name is None:
                    cells.missing[_mark(value, column)] += rows
                elif name in cells.found or len(cells.found) <= most:
                    cells.found[name] += rows
    return cells


def is_binary(kind: pa.DataType) -> bool:
    """Whether values of an Arrow type come as bytes."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether values of an Arrow type come as lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _counted(array: pa.Array) -> Iterator[tuple[Any, int]]:
    """Yield (value, rows); values that Arrow cannot count come one by one."""
    if pa.types.is_nested(array.type):
        yield from ((value, 1) for value in array.to_pylist())
        return
    counted = pc.value_counts(array.dictionary_decode() if pa.types.is_dictionary(array.type) else array)
    yield from zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)


def _mark(value: Any, column: str) -> str:
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    return "" if value is None else label_name(cell_text(value, column))


def readings_of(cells: Sequence[LabelCells], column: str) -> Iterator[str]:
    """Yield what was decided about the cells, a sentence each."""
    if any(split.unwrapped for split in cells):
        yield f"Column {one_line(column, 80)!r} holds lists of at most one label, read as that label."
    missing: Counter[str] = sum((split.missing for split in cells), Counter())
    if missing:
        marks = ", ".join(f"{_shown_mark(mark)} {rows:,}" for mark, rows in sorted(missing.items()))
        yield f"{missing.total():,} rows have no label ({marks})."


def check_labelled(cells: Sequence[LabelCells], classes: Sequence[str], asked: str | int) -> None:
    """Refuse a split whose labels are kept back.

    Args:
        cells: Of `survey`.
        classes: Declared classes; where -1 is one of them it is a label like any other.
        asked: Value of `data.label_numbers`; -1 makes it one, too.

    Raises:
        DataError: Names the split, and what to do.
    """
    if UNLABELLED in classes or asked == int(UNLABELLED):
        return
    for split in cells:
        if split.hidden:
            what = " or ".join(_shown_mark(mark) for mark in sorted({*split.found, *split.missing}))
            hint = (
                "name the right column in data.columns.label"
                if split.split in {"train", "all"}
                else f"leave it out of data.source or give another split as {split.split} (data.source.splits of a "
                f"hub data set, data.source.paths of files); left out, data.splits.{split.split} of train is cut off"
            )
            raise DataError(
                "unlabelled-split",
                f"Split {split.split} is unlabelled: the label of each of its {split.rows:,} rows is {what}, so "
                f"nothing can be learnt from it or measured on it; {hint}.",
            )


def _shown_mark(mark: str) -> str:
    return repr(one_line(mark, 20)) if mark else "empty"
