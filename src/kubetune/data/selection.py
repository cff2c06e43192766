"""Between the two passes: which accepted row goes to which split, which leave train and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kubetune.data import duplicates as dup
from kubetune.data.rows import Scan
from kubetune.data.splits import (
    NEITHER,
    POOL,
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    connected,
    group_of,
    limit_rows,
    stratified_group_split,
)
from kubetune.data.splits import seeded_order as seeded
from kubetune.data.targets.base import Settled, StoredTruths, TargetReader
from kubetune.errors import DataError

REMOVALS = ("duplicate-of-validation", "duplicate-of-test", "conflicting-labels", "duplicate-in-train")
"""Reasons for which a good row leaves train."""
DOCUMENT_REMOVALS = ("document-of-validation", "document-of-test")
"""Further ones where documents keep rows together: the text is another one, and stands in the same document."""


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
        settled: What the used rows hold.
        removed: Reason → rows, each (rows,), bool.
        occurrence: Earlier rows with the same raw content; (rows,), int64.
        facts: Numbers for the data report.
    """

    split: np.ndarray
    settled: Settled
    removed: dict[str, np.ndarray]
    occurrence: np.ndarray
    facts: dict[str, Any]

    def rows(self) -> dict[str, int]:
        """Return split → rows."""
        return {name: int(np.count_nonzero(self.split == number)) for number, name in enumerate(SPLITS)}


class Groups(NamedTuple):
    """What rows have in common, each (rows,).

    Attributes:
        text: Number of the row's texts.
        document: Number of what keeps the row in one split with others; the texts themselves unless there is more.
        truth: Equal for equal truths.
        stratum: Class by which rows are divided in proportion.
    """

    text: np.ndarray
    document: np.ndarray
    truth: np.ndarray
    stratum: np.ndarray


def select(
    scan: Scan, raw_splits: Sequence[str], reader: TargetReader, stored: StoredTruths, rules: SelectionRules
) -> Selection:
    """Decide over all rows at once; a function of the digests and truths, never of the order of files.

    Args:
        scan: What the first pass found.
        raw_splits: Names of the raw splits.
        reader: Knows the truths of the accepted rows.
        stored: See `TargetReader.settle`.
        rules: What the recipe says.

    Raises:
        DataError: A split is empty, train lacks what the target type asks for, conflicts are refused.
    """
    given = np.array([SPLITS.index(name) if name in SPLITS else POOL for name in raw_splits], dtype=np.int8)
    split = given[np.frombuffer(scan.split, dtype=np.int8)] if len(scan.split) else np.zeros(0, dtype=np.int8)
    normal, content = scan.digests(scan.normal), scan.digests(scan.content)
    groups = _groups(scan, normal)
    removed = _clean_train(split, groups, rules, seeded(normal, rules.seed), bool(scan.documents))
    occurrence = dup.occurrence(group_of(content))
    left_out = np.zeros(len(split), dtype=bool)
    if rules.limit is not None:
        # With the occurrence in the hash, repeated rows are chosen one by one and not all together.
        each = np.stack([content[:, 0] ^ seeded_counter(occurrence), content[:, 1]], axis=1)
        left_out = limit_rows(split, groups.stratum, seeded(each, rules.seed), rules.limit)
        dup.remove(split, left_out)
    settled = reader.settle(split, groups.stratum, stored)
    selection = Selection(split, settled, removed, occurrence, _facts(split, groups, left_out, bool(scan.documents)))
    if (split == TRAIN).any():
        reader.check(settled, whole=False)  # first: too few classes leave other splits empty
    check_not_empty(split, groups.document, rules.shares, removed)
    reader.check(settled, whole=True)
    return selection


def _groups(scan: Scan, normal: np.ndarray) -> Groups:
    stratum = np.frombuffer(scan.stratum, dtype=np.int32)
    text = group_of(normal)
    document = connected([normal, *map(scan.digests, scan.documents)]) if scan.documents else text
    return Groups(text, document, np.frombuffer(scan.truth, dtype=np.int64) if scan.truth else stratum, stratum)


def _facts(split: np.ndarray, groups: Groups, left_out: np.ndarray, documents: bool) -> dict[str, Any]:
    found = {
        "duplicates_left": {
            name: int(dup.repeated(split, groups.text, number).sum()) for number, name in enumerate(SPLITS)
        },
        "conflicts_left": {
            name: int(dup.conflicting(split, groups.text, groups.truth, number).sum())
            for number, name in enumerate(SPLITS)
        },
        "shared_texts_left": _shared(split, groups.text),
        "left_out_by_limit": int(left_out.sum()),
    }
    return found | ({"shared_documents_left": _shared(split, groups.document)} if documents else {})


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
    split: np.ndarray, groups: Groups, rules: SelectionRules, order: np.ndarray, documents: bool
) -> dict[str, np.ndarray]:
    """Make the missing splits and take rows out of train, in place; return who left and why."""
    reasons = (*REMOVALS, *(DOCUMENT_REMOVALS if documents else ()))
    removed = {reason: np.zeros(len(split), dtype=bool) for reason in reasons}
    if rules.remove_duplicates:
        removed[REMOVALS[0]], removed[REMOVALS[1]] = dup.leaked(split, groups.text)
        removed[REMOVALS[1]] &= ~removed[REMOVALS[0]]
        dup.remove(split, removed[REMOVALS[0]] | removed[REMOVALS[1]])
        for reason, rows in zip(reasons[len(REMOVALS) :], dup.leaked(split, groups.document), strict=False):
            removed[reason] = rows & (split == TRAIN)
            dup.remove(split, removed[reason])
    missing = {number: share for number, share in rules.shares.items() if share and not (split == number).any()}
    rows = np.flatnonzero((split == POOL) | (split == TRAIN))
    if len(rows):
        stratum = groups.stratum
        if documents:  # a document counts as one of its rows, whichever came first
            row = _least_row(groups.document, order)
            stratum, order = stratum[row], order[row]
        split[rows] = stratified_group_split(rows, groups.document, stratum, order, missing, documents=documents)
    removed[REMOVALS[2]] = dup.resolve_conflicts(split, groups.text, groups.truth, rules.conflicts)
    dup.remove(split, removed[REMOVALS[2]])
    if rules.remove_duplicates:
        removed[REMOVALS[3]] = dup.repeated(split, groups.text, TRAIN)
        dup.remove(split, removed[REMOVALS[3]])
    return removed


def _least_row(group: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return for each row the row of its group that comes first in `order`, (rows,), int64."""
    sorted_rows = np.lexsort((order, group))
    _, first = np.unique(group[sorted_rows], return_index=True)
    found: np.ndarray = sorted_rows[first][group]
    return found


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
