"""What truths share that are more than one class: their identity, the cells that were rejected, counts of classes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from kubetune.data.labels import LabelBook
from kubetune.data.splits import SPLITS, TRAIN
from kubetune.text.shown import one_line

EXAMPLES_A_REASON = 3


def truth_identity(value: Any) -> int:
    """Return a number from 0 to 2^63 - 1 for a JSON-able value without maps."""
    digest = hashlib.blake2b(json.dumps(value).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def canonical_content(value: Any) -> str:
    """Return a cell of any type as it counts for the row's identity."""
    if value is None or isinstance(value, str):
        return "\x00" if value is None else value
    if isinstance(value, list) and all(type(item) is str for item in value):
        return json.dumps(value)  # as below, and quicker
    return json.dumps(value, sort_keys=True, default=str)


@dataclass
class Reasons:
    """Rules that reject cells, and the first cells of each in words.

    Attributes:
        names: In the order in which they are looked at.
        found: Reason → what was wrong there.
    """

    names: tuple[str, ...]
    found: dict[str, list[str]] = field(default_factory=dict)

    def because(self, reason: str, what: str) -> str:
        """Return a reason, having taken note of what was wrong."""
        shown = self.found.setdefault(reason, [])
        if len(shown) < EXAMPLES_A_REASON:
            shown.append(one_line(what, 160))
        return reason

    def advice(self) -> str:
        """Return the first of each in a sentence that begins with a blank; nothing where there are none."""
        listed = "; ".join(f"{reason}: {shown[0]}" for reason, shown in self.found.items())
        return f" {listed}." if listed else ""


class StructuredReader:
    """Implements a part of `TargetReader` for truths that are more than one class.

    Attributes:
        problems: Cells that were rejected.
        book: Numbers the classes; of readers alone that reject cells as `unknown-label`.
        hints: Reason → what to set against it, a sentence.
    """

    problems: Reasons
    book: LabelBook
    hints: Mapping[str, str] = MappingProxyType({})

    def content(self, value: Any) -> str:
        """See `TargetReader.content`."""
        return canonical_content(value)

    def advice(self) -> str:
        """See `TargetReader.advice`."""
        found = "".join(f" {hint}" for reason, hint in self.hints.items() if reason in self.problems.found)
        if "unknown-label" in self.problems.found:
            found += f" Allowed are {', '.join(one_line(name, 40) for name in list(self.book.numbers)[:20])}."
        return self.problems.advice() + found

    def examples(self) -> Mapping[str, Sequence[str]]:
        """See `TargetReader.examples`."""
        return self.problems.found


@dataclass
class Places:
    """Where classes stand: counts by split and class number, gathered some thousand rows at a time.

    Attributes:
        counts: (splits, classes), int64.
        rows: Rows with at least one, by split.
    """

    counts: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, classes: int) -> "Places":
        """Return empty counts."""
        return cls(np.zeros((len(SPLITS), classes), dtype=np.int64), np.zeros(len(SPLITS), dtype=np.int64))

    def add(self, split: np.ndarray, lengths: np.ndarray, numbers: np.ndarray) -> None:
        """Take in rows.

        Args:
            split: Split of each, (rows,).
            lengths: How many classes each holds, (rows,).
            numbers: Class numbers of all of them, one after another.
        """
        of = np.repeat(split, lengths)
        used = of < len(SPLITS)
        np.add.at(self.counts, (of[used], numbers[used]), 1)
        self.rows += np.bincount(split[(split < len(SPLITS)) & (lengths > 0)], minlength=len(SPLITS))


def final_numbers(book: LabelBook, counts: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the class names in their final order, and the final number of each first number.

    Args:
        book: Numbers the classes.
        counts: (splits, classes) by first number.
    """
    labels = book.order((counts[TRAIN] > 0).tolist())
    used = counts.sum(axis=0) > 0
    labels += sorted(name for name, number in book.numbers.items() if used[number] and name not in set(labels))
    final = np.full(max(len(book.numbers), 1), -1, dtype=np.int32)
    for number, name in enumerate(labels):
        final[book.numbers[name]] = number
    return labels, final


def final_counts(counts: np.ndarray, final: np.ndarray, labels: Sequence[str]) -> dict[str, list[int]]:
    """Return split → counts by final class number."""
    of = [int(np.flatnonzero(final == number)[0]) for number in range(len(labels))]
    return {name: counts[number, of].tolist() for number, name in enumerate(SPLITS)}
