"""Target type `label`: one class a row, given as its name or its number, or drawn from the text by published rules."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kubetune.data.cells import cell_text
from kubetune.data.label_column import UNLABELLED, check_labelled, is_list, label_text, marks_of, readings_of, survey
from kubetune.data.labels import LabelBook, check_labels, check_two_classes
from kubetune.data.numbering import open_book
from kubetune.data.splits import NEITHER, SPLITS, TRAIN
from kubetune.data.summary import class_findings
from kubetune.data.targets.base import Settled, StoredTruths, TargetCell, TargetReader, TargetRules, Truth, by_split
from kubetune.text.gate import TextGate, Unreadable
from kubetune.text.shown import one_line
from kubetune.text.weak_labels import POLARITIES, TONE_TAKEN, polarity

WANTED = 10
"""Unknown labels and marks of missing ones that are listed."""


class LabelReader:
    """Implements `TargetReader` for classes.

    Args:
        rules: What the recipe says.
        book: Numbers the classes.
        marks: Label cells, case-folded, that mean that a row has no label.
        decisions: What was decided about the column.
    """

    reasons = ("missing-label", "unknown-label")
    stored = None

    def __init__(
        self,
        rules: TargetRules,
        book: LabelBook,
        marks: frozenset[str] = frozenset(),
        decisions: Sequence[str] = (),
    ) -> None:
        self.rules, self.book, self.marks, self.decisions = rules, book, marks, list(decisions)
        self._toned = TextGate(tuple(name for name in rules.cleaning if name not in TONE_TAKEN))
        self._final = np.zeros(0, dtype=np.int32)

    def read(self, cell: TargetCell) -> Truth | str:
        """See `TargetReader.read`."""
        label = self._label(cell)
        if isinstance(label, Unreadable):
            return label.value
        if label is None:
            return "missing-label"
        number = self.book.number(label)
        return "unknown-label" if number is None else Truth(number, number)

    def content(self, value: Any) -> str:
        """See `TargetReader.content`; a list of one label is that label."""
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        return "\x00" if value is None else cell_text(value, self.rules.column or "")

    def settle(self, split: np.ndarray, strata: np.ndarray, stored: StoredTruths) -> Settled:
        """See `TargetReader.settle`."""
        numbers = self.book.numbers
        in_train = np.bincount(strata[split == TRAIN], minlength=len(numbers)) > 0
        labels = self.book.order(in_train.tolist())
        used = set(np.unique(strata[split != NEITHER]).tolist())
        only_elsewhere = [name for name, number in numbers.items() if number in used and name not in set(labels)]
        labels = labels + sorted(only_elsewhere)  # refused by `check` with its counts
        self._final = np.full(max(len(numbers), 1), -1, dtype=np.int32)
        for number, name in enumerate(labels):
            self._final[numbers[name]] = number
        final = self._final[strata]
        return Settled(
            labels,
            {
                name: np.bincount(final[split == number], minlength=len(labels)).tolist()
                for number, name in enumerate(SPLITS)
            },
        )

    def check(self, settled: Settled, *, whole: bool) -> None:
        """See `TargetReader.check`: at least two classes, each of them in train."""
        if whole:
            check_labels(settled.labels, settled.counts)
        else:
            check_two_classes(settled.labels, settled.counts["train"])

    def column(self, strata: np.ndarray, stored: pa.Array) -> pa.Array:
        """See `TargetReader.column`."""
        return pa.array(self._final[strata], pa.int32())

    def groups(self, labels: Sequence[str]) -> list[str]:
        """See `TargetReader.groups`: the classes."""
        return list(labels)

    def groups_of(self, value: Any) -> Sequence[int]:
        """See `TargetReader.groups_of`."""
        return (value,)

    def shown(self, value: Any, texts: Sequence[str]) -> str:
        """See `TargetReader.shown`."""
        return ""

    def findings(self, settled: Settled, rare: int) -> dict[str, Any]:
        """See `TargetReader.findings`."""
        found = {
            "labels": by_split(settled.counts, settled.labels),
            "label_order": settled.labels,
            "unknown_labels": {one_line(name, 60): count for name, count in self.book.unknown.most_common(WANTED)},
            "missing_labels": {one_line(mark, 60): count for mark, count in self.book.missing.most_common(WANTED)},
        }
        return found | {"classes": class_findings(found, rare)}

    def advice(self) -> str:
        """See `TargetReader.advice`: unknown labels, and marks that might be classes."""
        unknown = ", ".join(repr(one_line(name, 40)) for name, _ in self.book.unknown.most_common(3))
        allowed = ", ".join(one_line(name, 40) for name in list(self.book.numbers)[:20])
        labels = f" Unknown labels: {unknown}; allowed are {allowed}." if unknown else ""
        marks = ", ".join(f"{one_line(mark, 40)!r} {count}" for mark, count in self.book.missing.most_common(3) if mark)
        return labels + (f" Taken as no label: {marks}; list it in data.labels if it is a class." if marks else "")

    def examples(self) -> Mapping[str, Sequence[str]]:
        """See `TargetReader.examples`: the names of the reasons say it."""
        return {}

    def _label(self, cell: TargetCell) -> str | Unreadable | None:
        if self.rules.polarity is not None:
            toned = self._toned.read(cell.texts[0])
            return toned if isinstance(toned, Unreadable) else polarity(toned, *self.rules.polarity)
        return label_text(cell.value, self.rules.column or "", self.marks)


class LabelType:
    """Implements `TargetType`."""

    type = pa.int32()
    words = False
    document = None

    def accepts(self, kind: pa.DataType) -> bool:
        """See `TargetType.accepts`: a label may be in a list of one."""
        return is_list(kind)

    def open(self, rules: TargetRules, files: Mapping[str, Path], source: Mapping[str, Any]) -> TargetReader:
        """See `TargetType.open`."""
        if rules.column is None:
            return LabelReader(rules, LabelBook(rules.classes if rules.classes is not None else POLARITIES))
        names = source.get("class_names", {}).get(rules.column)
        classes = [*(rules.classes or ()), *(names or ())]
        marks = marks_of([*rules.missing, *([UNLABELLED] if names else [])], classes)
        cells = survey(files, rules.column, marks)
        check_labelled(cells, classes, rules.numbers)
        book = open_book(cells, rules.column, rules.classes, names, rules.numbers)
        book.missing = sum((split.missing for split in cells), Counter())
        said = [sentence for sentence in (book.reading, *readings_of(cells, rules.column)) if sentence]
        return LabelReader(rules, book, marks, said)


TARGET_TYPE = LabelType()
