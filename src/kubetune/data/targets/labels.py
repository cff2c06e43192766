"""Target type `labels`: any number of classes a row, as a list or as text with something between them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kubetune.data.label_column import LabelCells, is_list, label_text, marks_of
from kubetune.data.labels import MOST_LABELS, LabelBook, check_in_train
from kubetune.data.numbering import open_book
from kubetune.data.summary import class_findings
from kubetune.data.targets.base import Settled, StoredTruths, TargetCell, TargetReader, TargetRules, Truth, by_split
from kubetune.data.targets.structured import (
    Places,
    Reasons,
    StructuredReader,
    final_counts,
    final_numbers,
    truth_identity,
)
from kubetune.errors import DataError
from kubetune.text.shown import one_line

NO_LABEL = "none"
"""Heading of the rows without a label."""


class SeveralLabels:
    """How the cells of a column of labels are read.

    Args:
        rules: What the recipe says.
        marks: Labels, case-folded, that mean that there is none.
    """

    def __init__(self, rules: TargetRules, marks: frozenset[str]) -> None:
        self.column, self.separator, self.marks = rules.column or "", rules.separator, marks

    def parts(self, value: Any) -> list[Any] | None:
        """Return the labels of a cell as they are written; None where it holds nothing."""
        if isinstance(value, list) or value is None:
            return value
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                found = json.loads(value)
                return found if isinstance(found, list) else [value]
            except (ValueError, RecursionError):
                return [value]
        if isinstance(value, str) and self.separator is not None:
            return [part for part in value.split(self.separator) if part.strip()]
        return [value] if value != "" else None

    def names(self, value: Any) -> list[str] | None:
        """Return the names or numbers of the labels of a cell; None where it holds none, or one of them is missing.

        Raises:
            DataError: A label is a list or a map.
        """
        parts = self.parts(value)
        if parts is None:
            return None
        names = [None if isinstance(part, list) else label_text(part, self.column, self.marks) for part in parts]
        return None if None in names else [name for name in names if name is not None]


class LabelsReader(StructuredReader):
    """Implements `TargetReader` for several classes a row.

    Args:
        rules: What the recipe says.
        cells: Reads a cell.
        book: Numbers the classes.
        counts: Label as it is written → rows.
    """

    reasons = ("missing-label", "empty-labels", "unknown-label")
    hints = MappingProxyType({"empty-labels": "data.empty_labels=keep takes rows without a label as such."})
    stored = pa.list_(pa.int32())

    def __init__(self, rules: TargetRules, cells: SeveralLabels, book: LabelBook, counts: Counter[str]) -> None:
        self.rules, self.cells, self.book, self.counts = rules, cells, book, counts
        self.decisions = [book.reading] if book.reading else []
        self.problems = Reasons(self.reasons)
        self._rows: Counter[int] = Counter()
        self._final = np.zeros(0, dtype=np.int32)
        self._labels: list[str] = []
        self._without: dict[str, int] = {}
        self._means: dict[str, list[str]] = {}

    def read(self, cell: TargetCell) -> Truth | str:
        """See `TargetReader.read`."""
        names = self.cells.names(cell.value)
        if names is None:
            return "missing-label"
        if not names and self.rules.empty == "refuse":
            return self.problems.because("empty-labels", f"no label for {cell.texts[0]!r:.80}")
        numbers = set()
        for name in names:
            number = self.book.number(name)
            if number is None:
                return self.problems.because("unknown-label", repr(name))
            self._rows[number] = self.counts[name]
            numbers.add(number)
        # The rarest class of a row is what a split would lose first.
        rarest = min(numbers, key=lambda number: (self._rows[number], number), default=-1)
        return Truth(rarest + 1, truth_identity(sorted(numbers)), sorted(numbers))

    def settle(self, split: np.ndarray, strata: np.ndarray, stored: StoredTruths) -> Settled:
        """See `TargetReader.settle`."""
        places, first = Places.of(len(self.book.numbers)), 0
        for column in stored():
            lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
            numbers = column.flatten().to_numpy(zero_copy_only=False)
            places.add(split[first : first + len(column)], lengths, numbers)
            first += len(column)
        self._labels, self._final = final_numbers(self.book, places.counts)
        settled = Settled(self._labels, final_counts(places.counts, self._final, self._labels))
        for number, name in enumerate(settled.counts):
            rows, labels = int(np.count_nonzero(split == number)), sum(settled.counts[name])
            self._without[name] = rows - int(places.rows[number])
            self._means[name] = [f"{rows:,}", f"{self._without[name]:,}", f"{labels / max(1, rows):.2f}"]
        return settled

    def check(self, settled: Settled, *, whole: bool) -> None:
        """See `TargetReader.check`: train has labels, and each that another split has."""
        if not sum(settled.counts["train"]):
            raise DataError(
                "no-labels", "No row of train has a label, so that nothing can be learnt: give rows with some."
            )
        if whole:
            check_in_train(settled.labels, settled.counts)

    def column(self, strata: np.ndarray, stored: pa.Array) -> pa.Array:
        """See `TargetReader.column`: ascending numbers."""
        lengths = pc.list_value_length(stored).to_numpy(zero_copy_only=False)
        numbers = self._final[stored.flatten().to_numpy(zero_copy_only=False)]
        row = np.repeat(np.arange(len(lengths)), lengths)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        return pa.ListArray.from_arrays(offsets, pa.array(numbers[np.lexsort((numbers, row))], pa.int32()))

    def groups(self, labels: Sequence[str]) -> list[str]:
        """See `TargetReader.groups`: the classes, and rows without one."""
        return [*labels, NO_LABEL]

    def groups_of(self, value: Any) -> Sequence[int]:
        """See `TargetReader.groups_of`."""
        return value or (len(self._labels),)

    def shown(self, value: Any, texts: Sequence[str]) -> str:
        """See `TargetReader.shown`."""
        return ", ".join(one_line(self._labels[number], 40) for number in value) or NO_LABEL

    def findings(self, settled: Settled, rare: int) -> dict[str, Any]:
        """See `TargetReader.findings`; a row counts for each of its labels."""
        found: dict[str, Any] = {
            "labels": by_split(settled.counts, settled.labels),
            "label_order": settled.labels,
            "unknown_labels": {one_line(name, 60): count for name, count in self.book.unknown.most_common(10)},
            "targets": {
                "type": "labels",
                "title": "Labels",
                "total": max(1, sum(settled.counts["train"])),
                "heading": "Labels a row",
                "columns": ["Rows", "Without a label", "Labels a row"],
                "splits": self._means,
                "line": [
                    f"{self._means['train'][2]} labels a row of train",
                    f"{self._without['train']:,} of them none",
                ],
            },
        }
        return found | {"classes": class_findings(found, rare)}


class LabelsType:
    """Implements `TargetType`."""

    type = LabelsReader.stored
    words = False
    document = None

    def accepts(self, kind: pa.DataType) -> bool:
        """See `TargetType.accepts`: a list of names or numbers."""
        return is_list(kind) and not pa.types.is_nested(kind.value_type)

    def open(self, rules: TargetRules, files: Mapping[str, Path], source: Mapping[str, Any]) -> TargetReader:
        """See `TargetType.open`."""
        column = rules.column or ""
        names = source.get("class_names", {}).get(column)
        cells = SeveralLabels(rules, marks_of(rules.missing, [*(rules.classes or ()), *(names or ())]))
        surveyed = [_survey(split, path, column, cells) for split, path in files.items()]
        book = open_book(surveyed, column, rules.classes, names, rules.numbers)
        return LabelsReader(rules, cells, book, sum((split.found for split in surveyed), Counter()))


def _survey(split: str, path: Path, column: str, cells: SeveralLabels) -> LabelCells:
    found = LabelCells(split)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1 << 16, columns=[column]):
            found.rows += len(batch)
            for value in batch.column(0).to_pylist():
                for name in cells.names(value) or ():
                    if name in found.found or len(found.found) <= MOST_LABELS:
                        found.found[name] += 1
    return found


TARGET_TYPE = LabelsType()
