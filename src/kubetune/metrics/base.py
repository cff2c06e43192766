"""Sufficient statistics: accuracy, F1, exact match, calibration and loss are all functions of a sum over rows.

So intervals, slices, thresholds and paired tests are written once, for any task: a bootstrap weighs the rows, a paired
test exchanges two systems' statistics of a text.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kubetune.metrics.catalogue import Catalogue, Metric

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """The rows behind totals, for a metric of ranks, which is no function of a sum; leading axes are draws.

    Attributes:
        values: Column `sums` of the outcomes of each row, shape (…, rows, sums).
        weights: How often each row is in a draw, shape (…, rows).
    """

    values: Floats
    weights: Floats


@dataclass(frozen=True)
class Totals:
    """Statistics summed over rows; leading axes are draws.

    Attributes:
        counts: Whole numbers, int64 or float64, shape (…, size).
        sums: Other numbers, shape (…, sums); of width 0 where nobody asks for metrics that read them.
        rows: Rows in the sum, shape (…).
        drawn: The rows themselves; None where nobody asks for metrics that read them.
    """

    counts: NDArray[Any]
    sums: Floats
    rows: NDArray[Any]
    drawn: Drawn | None = None


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

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each answer is wholly right, shape (rows,)."""
        marks: NDArray[np.bool_] = self.scores == 1
        return marks

    def take(self, rows: NDArray[Any]) -> "Outcomes":
        """Return those of some rows: numbers or marks, in that order."""
        return replace(self, cell=self.cell[rows], sums=self.sums[rows], scores=self.scores[rows])

    def total(self) -> Totals:
        """Return the sums over all rows, without leading axes."""
        drawn = np.bincount(self.cell, minlength=len(self.columns))
        rows = Drawn(self.sums, np.ones(len(self)))
        return Totals(self.counted(drawn[None])[0], self.sums.sum(axis=0), np.array(len(self)), rows)

    def counted(self, drawn: Ints) -> Ints:
        """Return counts, shape (draws, size), of drawn rows a cell, shape (draws, cells)."""
        found = np.zeros((len(drawn), self.size), dtype=np.int64)
        for columns, values in zip(self.columns.T, self.values.T, strict=True):
            counting = np.flatnonzero(values)
            order = counting[np.argsort(columns[counting], kind="stable")]
            if len(order):
                which, starts = np.unique(columns[order], return_index=True)
                found[:, which] += np.add.reduceat(drawn[:, order] * values[order], starts, axis=1)
        return found

    def dense(self, cells: Ints) -> Floats:
        """Return the counts of some cells, shape (cells, size), for a product with drawn rows.

        Products and sums of whole numbers are exact in float64, hence the same with every number of threads.
        """
        found = np.zeros((len(cells), self.size))
        for columns, values in zip(self.columns[cells].T, self.values[cells].T, strict=True):
            found[np.arange(len(cells)), columns] += values
        return found


class Weighing:
    """Sums of outcomes under weights of rows; costs what the numbers other than 0 cost."""

    def __init__(self, outcomes: Outcomes, *, counts: bool) -> None:
        """Prepare.

        Args:
            outcomes: Of some rows.
            counts: Whether counts are asked for too; else they have width 0.
        """
        self._outcomes, self._counts = outcomes, counts
        self._row, self._column = np.nonzero(outcomes.sums)
        self._value = outcomes.sums[self._row, self._column]

    def total(self, weights: Floats) -> Totals:
        """Return the sums, without leading axes, of rows with these whole weights, shape (rows,)."""
        width = self._outcomes.sums.shape[1]
        # No BLAS: its bits depend on the threads where numbers are not whole.
        added = weights[self._row] * self._value
        sums = np.bincount(self._column, weights=added, minlength=width).astype(np.float64)
        counts = np.zeros(0, dtype=np.int64)
        if self._counts:
            drawn = np.bincount(self._outcomes.cell, weights=weights, minlength=len(self._outcomes.columns))
            counts = self._outcomes.counted(np.rint(drawn).astype(np.int64)[None])[0]
        return Totals(counts, sums, weights.sum(), Drawn(self._outcomes.sums, weights))


def stacked(totals: Sequence[Totals]) -> Totals:
    """Return totals without leading axes as one with the axis of draws."""
    return Totals(
        np.stack([each.counts for each in totals]),
        np.stack([each.sums for each in totals]),
        np.array([each.rows for each in totals]),
    )


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


@dataclass(frozen=True)
class Coarse:
    """Rows that may share their mean sums where a metric is resampled, so that cells are drawn instead of rows.

    Attributes:
        codes: Numbers that are equal for such rows, shape (rows, k); the k-th of two systems are compared in turn.
        columns: Which sums the metric reads.
    """

    codes: Ints
    columns: Ints


class Statistics(Protocol):
    """The metrics of a task whose labels are known."""

    @property
    def catalogue(self) -> Catalogue:
        """The metrics, and how they are called."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of classes or types by number; empty: the task has none."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Name → how it is read, in the order in which a person reads them."""

    @property
    def main(self) -> str:
        """Name of the metric by which models are chosen and compared unless a recipe says otherwise."""

    @property
    def calibration(self) -> str | None:
        """Name of the metric whose rise a comparison guards against; None: there is none."""

    def measure(self, totals: Totals, only: Collection[str] | None = None) -> dict[str, Floats]:
        """Return every metric, or some of them, each of shape (…), of statistics with those leading axes."""

    def says(self, metric: str, totals: Totals) -> bool:
        """Whether a metric says something of rows with these totals, without leading axes."""

    def by_label(self, totals: Totals) -> dict[str, Floats]:
        """Return `precision`, `recall`, `f1`, `support` and `predicted` a label, each of shape (…, labels).

        What is divided by 0 is NaN in `f1` where a label has neither a row nor an answer, and 0 elsewhere.
        """

    def flaws(self, totals: Totals, names: Sequence[str]) -> list[str]:
        """Return why a model with these totals has learnt nothing: a sentence each, with what to try.

        Args:
            totals: Of all rows, without leading axes.
            names: Labels by number, fit for a sentence.
        """

    def coarse(self, metric: str, outcomes: Outcomes) -> Coarse | None:
        """Return how rows are put together where a metric of sums is resampled; None: each row for itself."""

    def blocks(self, outcomes: Outcomes, texts: Ints | None) -> dict[str, Any]:
        """Return further keys of `metrics.json`, plain JSON values; the report shows those that it knows.

        Args:
            outcomes: Of the model.
            texts: Number of each row's text, shape (rows,); None: each row has its own.
        """


class CatalogueStatistics:
    """Implements a part of `Statistics`: metrics of a catalogue, no calibration that is guarded, no further block."""

    @property
    def catalogue(self) -> Catalogue:
        """See `Statistics.catalogue`."""
        raise NotImplementedError

    @property
    def measures(self) -> Mapping[str, Callable[[Totals], Floats]]:
        """Name → function of the totals, for each metric of the catalogue."""
        raise NotImplementedError

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """See `Statistics.metrics`."""
        return self.catalogue.metrics

    @property
    def main(self) -> str:
        """See `Statistics.main`."""
        return self.catalogue.main

    @property
    def calibration(self) -> str | None:
        """See `Statistics.calibration`: none, as an answer has no probability of being right."""
        return None

    def measure(self, totals: Totals, only: Collection[str] | None = None) -> dict[str, Floats]:
        """See `Statistics.measure`."""
        return {name: self.measures[name](totals) for name in (self.metrics if only is None else only)}

    def by_label(self, totals: Totals) -> dict[str, Floats]:
        """See `Statistics.by_label`: there are no labels."""
        del totals
        return {name: np.zeros(0) for name in ("precision", "recall", "f1", "support", "predicted")}

    def coarse(self, metric: str, outcomes: Outcomes) -> Coarse | None:
        """See `Statistics.coarse`: each row for itself."""
        del metric, outcomes
        return None

    def blocks(self, outcomes: Outcomes, texts: Ints | None) -> dict[str, Any]:
        """See `Statistics.blocks`: the metrics say all of it."""
        del outcomes, texts
        return {}


@dataclass(frozen=True)
class Baseline:
    """What costs nothing and must be beaten.

    Attributes:
        name: Short name, as thresholds call it.
        title: Its name in a sentence.
        heading: Its name over a column.
        description: What it is and what bounded it, one sentence.
        outcomes: What its answers on the test rows come to.
    """

    name: str
    title: str
    heading: str
    description: str
    outcomes: Outcomes
