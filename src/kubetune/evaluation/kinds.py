"""Resampling by text: the rows of one text are drawn together, and texts that count alike are drawn as one number.

Drawing distinct texts with replacement is one multinomial draw over their kinds: a kind is how many rows a text has in
which cells, such as (label, answer). Without repeated texts a kind is a cell, and the draws are those of rows.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from kubetune.metrics.base import Ints


@dataclass(frozen=True)
class Kinds:
    """Texts by what they count for.

    Attributes:
        counts: Texts of each kind, shape (kinds,).
        kind: Of each entry, shape (entries,); entries are sorted by cell, and each cell has one at least.
        rows: Rows that a text of that kind has in the entry's cell, shape (entries,).
        starts: First entry of each cell, shape (cells,).
    """

    counts: Ints
    kind: Ints
    rows: Ints
    starts: Ints

    @property
    def texts(self) -> int:
        """All of them."""
        return int(self.counts.sum())

    def cells(self, drawn: Ints) -> Ints:
        """Return the rows in each cell, shape (draws, cells), of drawn texts a kind, shape (draws, kinds)."""
        if len(self.kind) == len(self.counts) and (self.rows == 1).all():
            return drawn  # a kind is a cell
        found: Ints = np.add.reduceat(drawn[:, self.kind] * self.rows, self.starts, axis=1)
        return found

    def touching(self, cells: np.ndarray) -> np.ndarray:
        """Return which kinds have a row in one of the marked cells, shape (kinds,), bool, of marks (cells,), bool."""
        found = np.zeros(len(self.counts), dtype=bool)
        found[self.kind[np.repeat(cells, np.diff(self.starts, append=len(self.kind)))]] = True
        return found


def kinds_of(cell: Ints, texts: Ints | None = None) -> Kinds:
    """Return the kinds of some rows, at least one; their order depends on the cells and not on the rows' order.

    Args:
        cell: Number of each row's cell, shape (rows,), from 0 and without gaps.
        texts: Number of each row's text, shape (rows,); None: each row has its own.
    """
    cells = int(cell.max()) + 1
    if texts is None:
        every = np.arange(cells)
        return Kinds(np.bincount(cell), every, np.ones(cells, dtype=np.int64), every)
    met, rows = np.unique(texts * cells + cell, return_counts=True)
    text, place = met // cells, met % cells
    pairs = list(zip(place.tolist(), rows.tolist(), strict=True))
    ends = np.flatnonzero(np.diff(text, append=-1)) + 1
    counted = Counter(
        tuple(pairs[start:end]) for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
    )
    found = sorted(counted)
    entries = sorted((place, kind, rows) for kind, pairs in enumerate(found) for place, rows in pairs)
    places, kind, rows = np.array(entries, dtype=np.int64).T
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    return Kinds(np.array([counted[each] for each in found], dtype=np.int64), kind, rows, starts)
