"""Sufficient statistics: accuracy, F1, exact match, calibration and loss are all functions of a sum over rows.

So intervals, slices, thresholds and paired tests are written once, for any task: a bootstrap weighs the rows, a paired
test exchanges two systems' statistics of a text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """How a metric is read.

    Attributes:
        title: Its name in a table.
        hint: What it says, a few words.
        lower_is_better: Whether less is better.
        track: Whether it runs from 0 to 1 and is drawn so, beside the baselines.
    """

    title: str
    hint: str
    lower_is_better: bool = False
    track: bool = False


@dataclass(frozen=True)
class Totals:
    """Statistics summed over rows; leading axes are draws.

    Attributes:
        counts: Whole numbers, shape (…, size).
        sums: Other numbers, shape (…, sums).
        rows: Rows in the sum, shape (…).
    """

    counts: Ints
    sums: Floats
    rows: Ints


@dataclass(frozen=True)
class Outcomes:
    """What one system's answers on some rows come to.

    Counts are kept once for rows that count alike: a row's are those of its cell.

    Attributes:
        cell: Number of each row's cell, shape (rows,), from 0.
        columns: Which statistics a cell counts for, shape (cells, width).
        values: How much, shape (cells, width), int64; 0 fills a cell that has fewer.
        size: Number of statistics.
        sums: Further statistics of each row, shape (rows, sums), float64.
        scores: How right each answer is, shape (rows,), 0 to 1.
    """

    cell: Ints
    columns: Ints
    values: Ints
    size: int
    sums: Floats
    scores: Floats

    def __len__(self) -> int:
        return len(self.cell)

    def take(self, rows: NDArray[Any]) -> "Outcomes":
        """Return those of some rows: numbers or marks, in that order."""
        return replace(self, cell=self.cell[rows], sums=self.sums[rows], scores=self.scores[rows])

    def total(self) -> Totals:
        """Return the sums over all rows, without leading axes."""
        drawn = np.bincount(self.cell, minlength=len(self.columns))
        return Totals(self.counted(drawn[None])[0], self.sums.sum(axis=0), np.array(len(self)))

    def counted(self, drawn: Ints) -> Ints:
        """Return counts, shape (draws, size), of drawn rows a cell, shape (draws, cells)."""
        found = np.zeros((len(drawn), self.size), dtype=np.int64)
        for columns, values in zip(self.columns.T, self.values.T, strict=True):
            order = np.argsort(columns, kind="stable")
            which, starts = np.unique(columns[order], return_index=True)
            found[:, which] += np.add.reduceat(drawn[:, order] * values[order], starts, axis=1)
        return found


def outcomes_of(counts: Ints, sums: Floats, scores: Floats) -> Outcomes:
    """Return outcomes of dense counts, shape (rows, size); rows that count alike share a cell.

    Args:
        counts: Whole numbers.
        sums: Shape (rows, sums).
        scores: Shape (rows,), 0 to 1.
    """
    vectors, cell = np.unique(counts, axis=0, return_inverse=True)
    columns = np.broadcast_to(np.arange(counts.shape[1]), vectors.shape)
    return Outcomes(cell.reshape(-1), columns, vectors, counts.shape[1], sums, scores)


class Statistics(Protocol):
    """The metrics of a task whose labels are known."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Name → how it is read, in the order in which a person reads them."""

    @property
    def main(self) -> str:
        """Name of the metric by which models are chosen and compared unless a recipe says otherwise."""

    def measure(self, totals: Totals) -> dict[str, Floats]:
        """Return every metric, each of shape (…), of statistics with those leading axes."""
