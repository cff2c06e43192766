"""Equal texts: across splits, with unequal labels, and within train. Only train ever loses rows."""

from typing import Literal

import numpy as np

from kubetune.data.splits import NEITHER, TEST, TRAIN, VALIDATION
from kubetune.errors import DataError

ConflictRule = Literal["drop", "majority", "first", "keep", "refuse"]


def leaked(split: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which train rows have a text of validation, and which one of test; both (rows,), bool."""
    train = split == TRAIN
    return train & _in_groups(group, split == VALIDATION), train & _in_groups(group, split == TEST)


def conflicting(split: np.ndarray, group: np.ndarray, label: np.ndarray, among: int) -> np.ndarray:
    """Return which rows of split `among` share their text with a row of another label there, (rows,), bool."""
    rows = np.flatnonzero(split == among)
    found = np.zeros(len(split), dtype=bool)
    if not len(rows):
        return found
    most = int(group.max()) + 1
    low = np.full(most, np.iinfo(np.int64).max, dtype=np.int64)
    high = np.full(most, np.iinfo(np.int64).min, dtype=np.int64)
    np.minimum.at(low, group[rows], label[rows])
    np.maximum.at(high, group[rows], label[rows])
    found[rows] = low[group[rows]] != high[group[rows]]
    return found


def resolve_conflicts(split: np.ndarray, group: np.ndarray, label: np.ndarray, rule: ConflictRule) -> np.ndarray:
    """Return which train rows the rule for conflicting labels removes, (rows,), bool.

    Raises:
        DataError: The rule is `refuse` and there are conflicts.
    """
    found = conflicting(split, group, label, TRAIN)
    removed = np.zeros(len(split), dtype=bool)
    if rule == "keep" or not found.any():
        return removed
    if rule == "refuse":
        texts = len(np.unique(group[found]))
        raise DataError(
            "conflicting-labels",
            f"Train holds {texts} texts with more than one label ({int(found.sum())} rows): correct them, or choose "
            "another rule than refuse in data.conflicts.",
        )
    if rule == "drop":
        return found
    rows = np.flatnonzero(found)
    rows = rows[np.argsort(group[rows], kind="stable")]
    for members in np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1):
        removed[members] = label[members] != _winner(label[members], rule)
    return removed


def repeated(split: np.ndarray, group: np.ndarray, among: int) -> np.ndarray:
    """Return which rows of split `among` repeat the text of an earlier row there, (rows,), bool."""
    rows = np.flatnonzero(split == among)
    _, first = np.unique(group[rows], return_index=True)
    found = np.zeros(len(split), dtype=bool)
    found[rows] = True
    found[rows[first]] = False
    return found


def occurrence(content: np.ndarray) -> np.ndarray:
    """Return how many earlier rows have the same group number, (rows,), int64.

    Args:
        content: Group of each row by its raw content, (rows,), int64.
    """
    order = np.argsort(content, kind="stable")
    ordered = content[order]
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(ordered) else np.zeros(0, dtype=bool)
    begin = np.maximum.accumulate(np.where(starts, np.arange(len(ordered)), 0)) if len(ordered) else order
    count = np.empty(len(content), dtype=np.int64)
    count[order] = np.arange(len(ordered)) - begin
    return count


def remove(split: np.ndarray, rows: np.ndarray) -> None:
    """Take rows out of their split, in place."""
    split[rows] = NEITHER


def _in_groups(group: np.ndarray, rows: np.ndarray) -> np.ndarray:
    if not len(group):
        return np.zeros(0, dtype=bool)
    present = np.zeros(int(group.max()) + 1, dtype=bool)
    present[group[rows]] = True
    return np.asarray(present[group])


def _winner(labels: np.ndarray, rule: ConflictRule) -> int:
    """Return the label that stays; -1: none does, since the majority is a tie."""
    if rule == "first":
        return int(labels[0])
    values, counts = np.unique(labels, return_counts=True)
    best = values[counts == counts.max()]
    return int(best[0]) if len(best) == 1 else -1
