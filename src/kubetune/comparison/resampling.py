"""A metric of two models under the same resampled texts, on counts where it is a function of counts, else on rows.

Texts are drawn and exchanged, each with all its rows, since equal texts get equal answers. For a metric of counts that
is one multinomial draw over the kinds of texts (`kubetune.evaluation.kinds`), so that rows cost nothing; sums of whole
numbers in float64 are exact in any order, so a matrix product has the same bits with every number of threads. A metric
of other sums costs a pass over the rows a draw.
"""

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from kubetune.comparison.pair import CHUNK_CELLS, Difference, Pair, chunks
from kubetune.evaluation.intervals import Draws, estimate, row_weights
from kubetune.evaluation.kinds import kinds_of
from kubetune.evaluation.same_texts import texts_of
from kubetune.metrics.base import Floats, Ints, Totals, Weighing, stacked

FIRST_SWAPS = 100
ENOUGH = 20
"""A randomisation test ends at this many draws that are as extreme as the observed ones …"""
MOST_SWAPS = 10_000
"""… or after this many draws, or five times as many as the level needs at least, whichever is more."""


class Resampled(Protocol):
    """Two models' answers, ready to be drawn and exchanged."""

    pair: Pair
    count: int
    """Distinct texts."""

    def samples(self, resamples: int, seed: int) -> Floats:
        """Return how much better the candidate is under resampled texts, shape (resamples,)."""

    def exchanged(self, draw: np.random.Generator, size: int) -> Floats:
        """Return how much better it is after each text was exchanged with chance 1/2, shape (draws,).

        There are at most `size` draws, and none where the models differ on no text.
        """


def resampled(pair: Pair) -> "Resampled":
    """Return what resamples a metric: cells of counts, or rows."""
    return Cells(pair) if pair.statistics.metrics[pair.metric].reads == "counts" else Rows(pair)


class Cells:
    """The distinct pairs of the candidate's and the champion's cells, for a metric that is a function of counts.

    Attributes:
        pair: What is compared.
        counts: Rows of each pair of cells, shape (pairs,).
        disputed: Which pairs count differently for the two models, shape (pairs,).
        kinds: The rows' texts, by how many rows each has in which pairs.
        count: Distinct texts.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        both = (pair.candidate, pair.champion)
        codes = pair.candidate.cell * len(pair.champion.columns) + pair.champion.cell
        found, place, self.counts = np.unique(codes, return_inverse=True, return_counts=True)
        self.kinds = kinds_of(place, pair.texts)
        self.count = self.kinds.texts
        numbers = np.divmod(found, len(pair.champion.columns))
        self._vectors = [outcomes.dense(cells) for outcomes, cells in zip(both, numbers, strict=True)]
        self.disputed = (self._vectors[0] != self._vectors[1]).any(axis=1)
        self._moves = (self._vectors[1] - self._vectors[0])[self.disputed]
        self._exchangeable = np.flatnonzero(self.kinds.touching(self.disputed))

    def gained(self, rows: Ints) -> Floats:
        """Return how much better the candidate is, shape (draws,), for drawn rows of each pair (draws, pairs)."""
        drawn, number = rows.astype(np.float64), rows.sum(axis=1)
        first, second = (_of_counts(drawn @ vectors, number) for vectors in self._vectors)
        return self.pair.gained(first, second)

    def exchanged_gain(self, rows: Ints) -> Floats:
        """Return how much better it is, shape (draws,), after rows exchanged their two answers.

        Args:
            rows: How many rows of each disputed pair did, shape (draws, disputed pairs).
        """
        moved, number = rows.astype(np.float64) @ self._moves, self.counts.sum()
        first, second = (self.counts @ vectors for vectors in self._vectors)
        return self.pair.gained(_of_counts(first + moved, number), _of_counts(second - moved, number))

    def samples(self, resamples: int, seed: int) -> Floats:
        """See `Resampled.samples`."""
        draw, kinds = np.random.default_rng([seed, 10]), self.kinds
        return np.concatenate(
            [
                self.gained(kinds.cells(draw.multinomial(kinds.texts, kinds.counts / kinds.texts, size=size)))
                for size in chunks(resamples, len(kinds.kind))
            ]
        )

    def exchanged(self, draw: np.random.Generator, size: int) -> Floats:
        """See `Resampled.exchanged`."""
        counts = self.kinds.counts[self._exchangeable]
        if not len(counts):
            return np.zeros(0)
        size = max(1, min(size, CHUNK_CELLS // len(self.kinds.kind)))
        swapped = np.zeros((size, len(self.kinds.counts)), dtype=np.int64)
        swapped[:, self._exchangeable] = draw.binomial(counts, 0.5, size=(size, len(counts)))
        return self.exchanged_gain(self.kinds.cells(swapped)[:, self.disputed])


class Rows:
    """The rows themselves, for a metric that reads sums.

    Attributes:
        pair: What is compared.
        count: Distinct texts.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        rows = len(pair.candidate)
        self.count = texts_of(pair.texts, rows)
        self._texts = np.arange(rows) if pair.texts is None else pair.texts
        counts = pair.statistics.metrics[pair.metric].reads == "both"
        self._weighings = [Weighing(outcomes, counts=counts) for outcomes in (pair.candidate, pair.champion)]
        self._alike = not (pair.candidate.sums != pair.champion.sums).any() and (
            not counts or pair.candidate.total().counts.tolist() == pair.champion.total().counts.tolist()
        )

    def samples(self, resamples: int, seed: int) -> Floats:
        """See `Resampled.samples`."""
        draws = Draws(resamples, seed, self.pair.texts)
        return self._gained((weights, weights) for weights in row_weights(len(self._texts), draws, 10))

    def exchanged(self, draw: np.random.Generator, size: int) -> Floats:
        """See `Resampled.exchanged`."""
        if self._alike:
            return np.zeros(0)
        size = max(1, min(size, CHUNK_CELLS // len(self._texts)))
        kept = draw.integers(2, size=(size, self.count))[:, self._texts].astype(np.float64)
        return self._gained((marks, 1 - marks) for marks in kept)

    def _gained(self, weights: Iterator[tuple[Floats, Floats]]) -> Floats:
        """Return how much better it is under weights of rows that keep their answers, and of rows that exchange them.

        Where both are the same array, no row exchanges.
        """
        found: list[tuple[Totals, Totals]] = []
        for own, other in weights:
            first, second = (weighing.total(own) for weighing in self._weighings)
            if own is not other:
                there, back = (weighing.total(other) for weighing in self._weighings)
                first, second = _added(first, back), _added(second, there)
            found.append((first, second))
        return self.pair.gained(stacked([each for each, _ in found]), stacked([each for _, each in found]))


def paired_difference(cells: Resampled, resamples: int, seed: int) -> Difference:
    """Return the paired bootstrap of how much better the candidate is.

    Args:
        cells: The rows, at least one.
        resamples: Number of draws.
        seed: Of the draws; equal arguments give equal bits.
    """
    samples = cells.samples(resamples, seed)
    found = estimate(cells.pair.gain, samples)
    return Difference(found, float(samples.std(ddof=1)), len(cells.pair.candidate), cells.count)


def swap_test(cells: Resampled, level: float, seed: int) -> float:
    """Return the one-sided p of "the two models are interchangeable", against "the candidate is better".

    Each text's two answers are exchanged with chance 1/2, in all its rows (Yeh, COLING 2000). Exact at every level and
    number of texts for models that differ by chance alone, such as two seeds of one recipe. Draws go on until 20 were
    as extreme (Besag and Clifford, Biometrika 78, 1991, which keeps the p valid) or 5 / `level`, at least 10,000, were
    made, so that a small level can be reached and a plain loser costs little.

    Args:
        cells: The rows, at least one.
        level: Level at which the p will be read; it must not depend on the outcome.
        seed: Of the draws.
    """
    draw, observed = np.random.default_rng([seed, 11]), cells.pair.gain
    most, drawn, extreme, size = max(MOST_SWAPS, math.ceil(5 / level)), 0, 0, FIRST_SWAPS
    while drawn < most:
        gains = cells.exchanged(draw, min(size, most - drawn))
        if not len(gains):
            return 1.0
        hits = np.flatnonzero(gains >= observed - 1e-12)
        if extreme + len(hits) >= ENOUGH:
            return ENOUGH / (drawn + int(hits[ENOUGH - extreme - 1]) + 1)
        extreme, drawn, size = extreme + len(hits), drawn + len(gains), 4 * len(gains)
    return (extreme + 1) / (drawn + 1)


def _of_counts(counts: Floats, rows: Ints) -> Totals:
    return Totals(counts, np.zeros((len(counts), 0)), rows)


def _added(one: Totals, other: Totals) -> Totals:
    return Totals(one.counts + other.counts, one.sums + other.sums, one.rows + other.rows)
