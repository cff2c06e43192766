"""Between the two passes: which accepted row goes to which split, which leave train and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kubetune.data import duplicates as dup
from kubetune.data.labels import LabelBook, check_labels, check_two_classes
from kubetune.data.rows import Scan
from kubetune.data.splits import (
    NEITHER,
    POOL,
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    group_of,
    limit_rows,
    stratified_group_split,
)
from kubetune.data.splits import seeded_order as seeded
from kubetune.errors import DataError

REMOVALS = ("duplicate-of-validation", "duplicate-of-test", "conflicting-labels", "duplicate-in-train")
"""Reasons for which a good row leaves train."""


@dataclass(frozen=True)
class SelectionRules:
    """What the recipe says about splits and duplicates.

    Attributes:
        remove_duplicates: Whether train loses repeated texts.
        conflicts: Rule for equal train texts with unequal labels.
        shares: Split → share that is taken from the pool where the source has none.
        seed: Of the split and of the limit.
        limit: Rows over all splits; None: all.
    """

    remove_duplicates: bool
    conflicts: dup.ConflictRule
    shares: Mapping[int, float]
    seed: int
    limit: int | None


@dataclass(frozen=True)
class Selection:
    """The fate of each accepted row, in source order.

    Attributes:
        split: Final split, `NEITHER` for rows that are left out; (rows,), int8.
        label: Class number; (rows,), int32.
        labels: Class names by number.
        removed: Reason → rows, each (rows,), bool.
        occurrence: Earlier rows with the same raw content; (rows,), int64.
        facts: Numbers for the data report.
    """

    split: np.ndarray
    label: np.ndarray
    labels: list[str]
    removed: dict[str, np.ndarray]
    occurrence: np.ndarray
    facts: dict[str, Any]

    def counts(self) -> dict[str, list[int]]:
        """Return split → rows by class number."""
        return {
            name: np.bincount(self.label[self.split == number], minlength=len(self.labels)).tolist()
            for number, name in enumerate(SPLITS)
        }


def select(scan: Scan, raw_splits: Sequence[str], book: LabelBook, rules: SelectionRules) -> Selection:
    """Decide over all rows at once; a function of the digests and labels, never of the order of files.

    Raises:
        DataError: A split is empty, train has one class, a label is missing from train, conflicts are refused.
    """
    given = np.array([SPLITS.index(name) if name in SPLITS else POOL for name in raw_splits], dtype=np.int8)
    split = given[np.frombuffer(scan.split, dtype=np.int8)] if len(scan.split) else np.zeros(0, dtype=np.int8)
    found = np.frombuffer(scan.label, dtype=np.int32)
    normal, content = scan.digests(scan.normal), scan.digests(scan.content)
    group = group_of(normal)
    removed = _clean_train(split, group, found, rules, seeded(normal, rules.seed))
    occurrence = dup.occurrence(group_of(content))
    left_out = np.zeros(len(split), dtype=bool)
    if rules.limit is not None:
        # With the occurrence in the hash, repeated rows are chosen one by one and not all together.
        each = np.stack([content[:, 0] ^ seeded_counter(occurrence), content[:, 1]], axis=1)
        left_out = limit_rows(split, found, seeded(each, rules.seed), rules.limit)
        dup.remove(split, left_out)
    facts = {
        "duplicates_left": {name: int(dup.repeated(split, group, number).sum()) for number, name in enumerate(SPLITS)},
        "conflicts_left": {
            name: int(dup.conflicting(split, group, found, number).sum()) for number, name in enumerate(SPLITS)
        },
        "shared_texts_left": _shared(split, group),
        "left_out_by_limit": int(left_out.sum()),
    }
    label, labels = _final_labels(book, split, found)
    selection = Selection(split, label, labels, removed, occurrence, facts)
    if (split == TRAIN).any():
        check_two_classes(labels, selection.counts()["train"])  # first: too few classes leave other splits empty
    check_not_empty(split, group, rules.shares, removed)
    check_labels(labels, selection.counts())
    return selection


def check_not_empty(
    split: np.ndarray, group: np.ndarray, shares: Mapping[int, float], removed: Mapping[str, np.ndarray]
) -> None:
    """Refuse a data set of which a split has no rows.

    Args:
        split: Split of each row.
        group: Number of each row's text.
        shares: See `SelectionRules`.
        removed: Reason → rows that left train.

    Raises:
        DataError: Names the split, why it is empty and what fills it.
    """
    for number, name in enumerate(SPLITS):
        if (split == number).any():
            continue
        if number == TRAIN:
            left = ", ".join(f"{reason} {int(rows.sum())}" for reason, rows in removed.items() if rows.any())
            raise DataError(
                "empty-split", f"Split train has no rows{f' left ({left})' if left else ''}: give more rows."
            )
        why, more = "", ""
        if share := shares.get(number, 0.0):
            rows = np.flatnonzero((split == TRAIN) | (split == NEITHER))
            texts = len(np.unique(group[rows]))
            why = f" (a share of {share:g} of {len(rows)} rows with {texts} different texts is none)"
            more = " more different texts,"
        raise DataError(
            "empty-split", f"Split {name} has no rows{why}: give rows for it,{more} or a larger data.splits.{name}."
        )


def _clean_train(
    split: np.ndarray, group: np.ndarray, label: np.ndarray, rules: SelectionRules, order: np.ndarray
) -> dict[str, np.ndarray]:
    """Make the missing splits and take rows out of train, in place; return who left and why."""
    removed = {reason: np.zeros(len(split), dtype=bool) for reason in REMOVALS}
    if rules.remove_duplicates:
        removed[REMOVALS[0]], removed[REMOVALS[1]] = dup.leaked(split, group)
        removed[REMOVALS[1]] &= ~removed[REMOVALS[0]]
        dup.remove(split, removed[REMOVALS[0]] | removed[REMOVALS[1]])
    missing = {number: share for number, share in rules.shares.items() if share and not (split == number).any()}
    rows = np.flatnonzero((split == POOL) | (split == TRAIN))
    if len(rows):
        split[rows] = stratified_group_split(rows, group, label, order, missing)
    removed[REMOVALS[2]] = dup.resolve_conflicts(split, group, label, rules.conflicts)
    dup.remove(split, removed[REMOVALS[2]])
    if rules.remove_duplicates:
        removed[REMOVALS[3]] = dup.repeated(split, group, TRAIN)
        dup.remove(split, removed[REMOVALS[3]])
    return removed


def seeded_counter(count: np.ndarray) -> np.ndarray:
    """Return a pseudo-random 64-bit number for each count, (rows,), uint64; 0 for the count 0."""
    with np.errstate(over="ignore"):
        return np.asarray(count.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def _shared(split: np.ndarray, group: np.ndarray) -> dict[str, int]:
    """Return how many rows of one split have a text of another one."""
    pairs = ((TRAIN, VALIDATION), (TRAIN, TEST), (VALIDATION, TEST))
    return {
        f"{SPLITS[one]}-{SPLITS[other]}": int(np.isin(group[split == one], group[split == other]).sum())
        for one, other in pairs
    }


def _final_labels(book: LabelBook, split: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return class numbers in the final order, and the class names."""
    in_train = np.bincount(found[split == TRAIN], minlength=len(book.numbers)) > 0
    labels = book.order(in_train.tolist())
    used = set(np.unique(found[split != NEITHER]).tolist())
    only_elsewhere = [name for name, number in book.numbers.items() if number in used and name not in set(labels)]
    labels = labels + sorted(only_elsewhere)  # refused by `check_labels` with its counts
    final = np.full(max(len(book.numbers), 1), -1, dtype=np.int32)
    for number, name in enumerate(labels):
        final[book.numbers[name]] = number
    return final[found], labels
