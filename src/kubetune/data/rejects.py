"""Rows that are left out, each with its reason: nothing is dropped silently."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.data.rows import Scan
from kubetune.data.selection import Selection
from kubetune.errors import DataError
from kubetune.schema.numbers import as_written

SCHEMA = pa.schema([("split", pa.string()), ("row", pa.int64()), ("reason", pa.string())])


def reject_counts(scan: Scan) -> dict[str, int]:
    """Return rule → rejected rows, for the rules that rejected any, in the order of the rules."""
    numbers = np.bincount(_rejects(scan)[:, 2], minlength=len(scan.reasons))
    return {reason: int(count) for reason, count in zip(scan.reasons, numbers, strict=True) if count}


def reject_rows(scan: Scan, raw_splits: Sequence[str], reason: str, most: int) -> list[str]:
    """Return where the first rows were that a rule rejected, as `split:row`, rows counted from 0."""
    rejects = _rejects(scan)
    mine = rejects[rejects[:, 2] == scan.reasons.index(reason)][:most]
    return [f"{raw_splits[int(split)]}:{int(row)}" for split, row, _ in mine]


def check_reject_share(scan: Scan, raw_splits: Sequence[str], advice: str, most: float) -> None:
    """Refuse a source of which too much is unusable.

    Args:
        scan: What the first pass found.
        raw_splits: Names of the raw splits.
        advice: Sentences about the rejected cells, each with a blank before it.
        most: Largest share of rejected rows.

    Raises:
        DataError: The source has no rows, or more than that share was rejected; rules and counts are named.
    """
    rows = sum(scan.raw_rows)
    if not rows:
        raise DataError("empty-source", f"The source has no rows (splits: {', '.join(raw_splits)}): give some.")
    rejected = len(scan.rejects) // 3
    if rejected <= as_written(most) * rows:
        return
    counts = reject_counts(scan)
    what = ", ".join(f"{reason} {count}" for reason, count in counts.items())
    split, row, reason = (int(value) for value in _rejects(scan)[0])
    raise DataError(
        max(counts, key=lambda name: counts[name]),
        f"{rejected} of {rows} rows were rejected ({what}), more than data.max_reject_share={most:g} allows; the "
        f"first is row {row} of {raw_splits[split]} ({scan.reasons[reason]}).{advice} "
        "Correct the source or the recipe.",
    )


def check_given_splits(scan: Scan, raw_splits: Sequence[str]) -> None:
    """Refuse a split that the source gives and of which no row is left: rows of train never take its place.

    Args:
        scan: What the first pass found.
        raw_splits: Names of the raw splits.

    Raises:
        DataError: Names the split and why its rows were rejected.
    """
    accepted = np.bincount(np.frombuffer(scan.split, dtype=np.int8), minlength=len(raw_splits))
    for number, name in enumerate(raw_splits):
        rows = scan.raw_rows[number]
        if accepted[number] or not sum(scan.raw_rows):
            continue
        mine = _rejects(scan)[:, 2][_rejects(scan)[:, 0] == number]
        counts = np.bincount(mine, minlength=len(scan.reasons))
        why = ", ".join(f"{reason} {count}" for reason, count in zip(scan.reasons, counts, strict=True) if count)
        lost = f"lost all of its {rows:,} rows ({why})" if rows else "has no rows"
        cut = "" if name in {"train", "all"} else f", or leave it out, so that data.splits.{name} of train is cut off"
        raise DataError("lost-split", f"Split {name} of the source {lost}: correct them or the recipe{cut}.")


def write_rejects(path: Path, scan: Scan, selection: Selection, raw_splits: Sequence[str]) -> None:
    """Write every row that was rejected, or taken out of train, as split, row (from 0, in `raw`) and reason."""
    names = np.array(raw_splits)
    rejects = _rejects(scan)
    columns = [(names[rejects[:, 0]], rejects[:, 1], np.array(scan.reasons)[rejects[:, 2]])]
    split = np.frombuffer(scan.split, dtype=np.int8)
    position = _raw_positions(scan)
    for reason, removed in selection.removed.items():
        rows = np.flatnonzero(removed)
        columns.append((names[split[rows]], position[rows], np.full(len(rows), reason)))
    parts = [
        pa.table([pa.array(where.tolist(), pa.string()), pa.array(row), pa.array(why.tolist(), pa.string())], SCHEMA)
        for where, row, why in columns
    ]
    pq.write_table(pa.concat_tables(parts), path)


def _rejects(scan: Scan) -> np.ndarray:
    return np.frombuffer(scan.rejects, dtype=np.int64).reshape(-1, 3) if scan.rejects else np.zeros((0, 3), np.int64)


def _raw_positions(scan: Scan) -> np.ndarray:
    """Return the row in `raw` of each accepted row: the rows that were not rejected, in order."""
    rejects = _rejects(scan)
    parts = [np.zeros(0, dtype=np.int64)]
    for index, rows in enumerate(scan.raw_rows):
        accepted = np.ones(rows, dtype=bool)
        accepted[rejects[rejects[:, 0] == index, 1]] = False
        parts.append(np.flatnonzero(accepted))
    return np.concatenate(parts)
