"""Target type `spans`: classes of places in a text, as tags of its words (IOB2) or as `{start, end, label}`.

What is stored are characters of the raw text, whichever way they came. Nothing is guessed: tags or spans that fit no
reading reject their row, and the data report says which.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kubetune.data.label_column import is_list
from kubetune.data.labels import check_in_train
from kubetune.data.splits import SPLITS
from kubetune.data.summary import class_findings
from kubetune.data.targets.base import Settled, StoredTruths, TargetCell, TargetReader, TargetRules, Truth, by_split
from kubetune.data.targets.span_column import Marked, open_spans
from kubetune.data.targets.structured import (
    Places,
    Reasons,
    StructuredReader,
    final_counts,
    final_numbers,
    truth_identity,
)
from kubetune.data.targets.tags import BrokenTagsError, spans_of_tags, word_places
from kubetune.errors import DataError
from kubetune.text.label_names import label_name
from kubetune.text.shown import one_line
from kubetune.text.unicode_forms import normal_form

SHOWN = 6
"""Spans of a row that are shown."""
NONE = "none"
"""Heading of the rows without a span."""


class SpansReader(StructuredReader):
    """Implements `TargetReader` for spans.

    Args:
        rules: What the recipe says.
        marked: What the column holds as a whole.
    """

    reasons = (
        "missing-label",
        "tag-count",
        "tag-unknown",
        "tag-order",
        "span-malformed",
        "span-range",
        "span-blank-edge",
        "span-overlap",
        "unknown-label",
    )
    hints = MappingProxyType(
        {"tag-order": "data.tag_repair=begin reads a tag I-X that continues no X as the beginning of one."}
    )
    stored = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("label", pa.int32())]))

    def __init__(self, rules: TargetRules, marked: Marked) -> None:
        self.rules, self.marked, self.book = rules, marked, marked.book
        self.decisions = list(marked.decisions)
        self.problems = Reasons(self.reasons)
        self.repaired = 0
        self._final = np.zeros(0, dtype=np.int32)
        self._labels: list[str] = []
        self._splits: dict[str, list[str]] = {}

    def read(self, cell: TargetCell) -> Truth | str:
        """See `TargetReader.read`."""
        found = self._named(cell)
        if isinstance(found, str):
            return found
        text = cell.texts[0]
        spans: list[dict[str, int]] = []
        for start, end, name in sorted(found):
            problem = _problem(text, start, end, spans[-1]["end"] if spans else 0)
            if problem:
                return self.problems.because(problem, f"{start} to {end} ({name}) of {text!r:.80}")
            number = self.book.number(name)
            if number is None:
                return self.problems.because("unknown-label", f"{name!r} of {text[start:end]!r}")
            spans.append({"start": start, "end": end, "label": number})
        # The rarest class of a row is what a split would lose first.
        numbers = {span["label"] for span in spans}
        rarest = min(numbers, key=lambda number: (self.marked.rows_of(number), number), default=-1)
        return Truth(rarest + 1, _identity(text, spans), spans)

    def _named(self, cell: TargetCell) -> list[tuple[int, int, str]] | str:
        """Return (start, end, name) of each span, or the rule that the cell breaks."""
        value = self.marked.parsed(cell.value)
        if value is None:
            return "missing-label"
        if not isinstance(value, list):
            return self.problems.because("span-malformed", f"{value!r}")
        if self.marked.tags or (value and not isinstance(value[0], dict)):
            return self._of_tags(value, cell)
        if cell.words is not None:
            raise DataError(
                "spans-of-words",
                f"Column {self.rules.column!r:.80} holds spans of characters and its text is a list of words, in which "
                "no character has a number: name a column with the text itself in data.columns.text, or one with a tag "
                "for each word in data.columns.label.",
            )
        found = []
        for span in value:
            given = span if isinstance(span, dict) else {}
            start, end, name = given.get("start"), given.get("end"), given.get("label")
            if not isinstance(start, int) or not isinstance(end, int) or not isinstance(name, str | int):
                return self.problems.because("span-malformed", f"{span!r} has not start, end and label")
            found.append((start, end, label_name(str(name))))
        return found

    def _of_tags(self, value: Sequence[Any], cell: TargetCell) -> list[tuple[int, int, str]] | str:
        places = word_places(cell.texts[0], cell.words)
        if len(places) != len(value):
            return self.problems.because("tag-count", f"{len(places)} words and {len(value)} tags")
        tags = [self.marked.tag(tag) for tag in value]
        try:
            spans, repaired = spans_of_tags(tags, repair=self.rules.tag_repair == "begin")
        except BrokenTagsError as error:
            start, end = places[error.word]
            return self.problems.because(error.reason, f"{error} at {cell.texts[0][start:end]!r}")
        self.repaired += repaired
        return [(places[first][0], places[last][1], name) for first, last, name in spans]

    def settle(self, split: np.ndarray, strata: np.ndarray, stored: StoredTruths) -> Settled:
        """See `TargetReader.settle`; counts are of spans."""
        places, first, characters = Places.of(len(self.book.numbers)), 0, np.zeros(len(SPLITS), dtype=np.int64)
        for column in stored():
            part = split[first : first + len(column)]
            spans, lengths = column.flatten(), pc.list_value_length(column).to_numpy(zero_copy_only=False)
            places.add(part, lengths, spans.field("label").to_numpy(zero_copy_only=False))
            sizes = pc.subtract(spans.field("end"), spans.field("start")).to_numpy(zero_copy_only=False)
            characters += np.bincount(np.repeat(part, lengths), weights=sizes, minlength=5)[: len(SPLITS)].astype(int)
            first += len(column)
        self._labels, self._final = final_numbers(self.book, places.counts)
        self._splits = {
            name: [f"{rows:,}", f"{spans:,}", f"{size / max(1, spans):.1f}"]
            for name, rows, spans, size in zip(SPLITS, places.rows, places.counts.sum(axis=1), characters, strict=True)
        }
        return Settled(self._labels, final_counts(places.counts, self._final, self._labels))

    def check(self, settled: Settled, *, whole: bool) -> None:
        """See `TargetReader.check`: train has spans, and of each class that another split has."""
        if not sum(settled.counts["train"]):
            raise DataError(
                "no-spans", "Train holds no span at all, so that nothing can be learnt: give rows with some."
            )
        if whole:
            check_in_train(settled.labels, settled.counts, "spans")

    def column(self, strata: np.ndarray, stored: pa.Array) -> pa.Array:
        """See `TargetReader.column`."""
        spans = stored.flatten()
        lengths = pc.list_value_length(stored).to_numpy(zero_copy_only=False)
        label = pa.array(self._final[spans.field("label").to_numpy(zero_copy_only=False)], pa.int32())
        parts = pa.StructArray.from_arrays([spans.field("start"), spans.field("end"), label], ["start", "end", "label"])
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
        return pa.ListArray.from_arrays(offsets, parts).cast(self.stored)

    def groups(self, labels: Sequence[str]) -> list[str]:
        """See `TargetReader.groups`: the classes, and rows without a span."""
        return [*labels, NONE]

    def groups_of(self, value: Any) -> Sequence[int]:
        """See `TargetReader.groups_of`."""
        return sorted({span["label"] for span in value}) or [len(self._labels)]

    def shown(self, value: Any, texts: Sequence[str]) -> str:
        """See `TargetReader.shown`: what each span covers, and its class."""
        found = [
            f"{one_line(texts[0][span['start'] : span['end']], 40)} ({one_line(self._labels[span['label']], 40)})"
            for span in value[:SHOWN]
        ]
        return ", ".join(found) + (", …" if len(value) > SHOWN else "") if found else NONE

    def findings(self, settled: Settled, rare: int) -> dict[str, Any]:
        """See `TargetReader.findings`."""
        counts = {split: sum(count) for split, count in settled.counts.items()}
        line = [f"{counts['train']:,} spans in {self._splits['train'][0]} rows of train"]
        line += [f"{self.repaired:,} tags repaired"] if self.repaired else []
        found: dict[str, Any] = {
            "labels": by_split(settled.counts, settled.labels),
            "label_order": settled.labels,
            "unknown_labels": {one_line(name, 60): count for name, count in self.book.unknown.most_common(10)},
            "targets": {
                "type": "spans",
                "title": "Classes of spans",
                "classes": "classes of spans",
                "unit": "spans",
                "total": max(1, counts["train"]),
                "heading": "Spans",
                "columns": ["Rows with spans", "Spans", "Characters a span"],
                "splits": self._splits,
                "repaired": self.repaired,
                "line": line,
            },
        }
        return found | {"classes": class_findings(found, rare)}


def _identity(text: str, spans: Sequence[Mapping[str, int]]) -> int:
    """Return what is equal for texts that are equal but for case and white space, and are tagged alike."""
    return truth_identity([[span["label"], normal_form(text[span["start"] : span["end"]])] for span in spans])


def _problem(text: str, start: int, end: int, before: int) -> str | None:
    """Return the rule that a span breaks which comes behind others that end at `before`."""
    if not 0 <= start < end <= len(text):
        return "span-range"
    if text[start].isspace() or text[end - 1].isspace():
        return "span-blank-edge"
    return "span-overlap" if start < before else None


class SpansType:
    """Implements `TargetType`."""

    type = SpansReader.stored
    words = True
    document = None

    def accepts(self, kind: pa.DataType) -> bool:
        """See `TargetType.accepts`: lists of tags, or of structs with start, end and label."""
        if not is_list(kind):
            return False
        item = kind.value_type
        if pa.types.is_struct(item):
            return {"start", "end", "label"} <= {field.name for field in item}
        return not pa.types.is_nested(item)

    def open(self, rules: TargetRules, files: Mapping[str, Path], source: Mapping[str, Any]) -> TargetReader:
        """See `TargetType.open`."""
        return SpansReader(rules, open_spans(rules, files, source))


TARGET_TYPE = SpansType()
