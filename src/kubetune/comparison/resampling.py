"""A metric of two models under the same resampled texts, on counts where it is a function of counts, else on rows.

Texts are drawn and exchanged, each with all its rows, since equal texts get equal answers. For a metric of counts that
is one multinomial draw over the kinds of texts (`kubetune.evaluation.kinds`), so that rows cost nothing; sums of whole
numbers in float64 are exact in any order, so a matrix product has the same bits with every number of threads. A metric
of other sums costs a pass over the texts a draw.
"""

import math
from typing import Protocol

import numpy as np

from kubetune.comparison.pair import CHUNK_CELLS, Difference, Pair, chunks
from kubetune.evaluation.intervals import estimate
from kubetune.evaluation.kinds import kinds_of
from kubetune.metrics.base import Drawn, Floats, Ints, Totals

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
    """Return what resamples a metric: cells of counts, or texts with their sums."""
    return Cells(pair) if pair.statistics.metrics[pair.metric].reads == "counts" else ByText(pair)


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


class ByText:
    """The texts themselves, each with the sums of its rows, for a metric that reads sums.

    Attributes:
        pair: What is compared.
        count: Distinct texts.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        rows, both = len(pair.candidate), (pair.candidate, pair.champion)
        texts = np.arange(rows) if pair.texts is None else pair.texts
        self.count = int(texts.max()) + 1
        counts = pair.statistics.metrics[pair.metric].reads == "both"
        self._texts = texts if pair.statistics.metrics[pair.metric].reads == "rows" else None
        dense = (outcomes.dense(outcomes.cell) if counts else np.zeros((rows, 0)) for outcomes in both)
        self._rows = np.bincount(texts).astype(np.float64)
        self._counts = [_by_text(each, texts) for each in dense]
        self._sums = [_by_text(outcomes.sums, texts) for outcomes in both]
        moves = [second - first for first, second in (self._counts, self._sums)]
        self._moving = np.flatnonzero(moves[0].any(axis=1) | moves[1].any(axis=1))
        self._moves = [each[self._moving] for each in moves]

    def samples(self, resamples: int, seed: int) -> Floats:
        """See `Resampled.samples`."""
        draw, found = np.random.default_rng([seed, 10]), []
        for size in chunks(resamples, self._cells(self.count)):
            drawn = (draw.integers(self.count, size=self.count) for _ in range(size))
            weights = np.stack([np.bincount(texts, minlength=self.count) for texts in drawn]).astype(np.float64)
            first, second = (
                Totals(weights @ counts, _weighed(weights, sums), weights @ self._rows, self._drawn(number, weights))
                for number, (counts, sums) in enumerate(zip(self._counts, self._sums, strict=True))
            )
            found.append(self.pair.gained(first, second))
        return np.concatenate(found)

    def exchanged(self, draw: np.random.Generator, size: int) -> Floats:
        """See `Resampled.exchanged`."""
        if not len(self._moving):
            return np.zeros(0)
        size = max(1, min(size, CHUNK_CELLS // self._cells(len(self._moving))))
        marks = draw.integers(2, size=(size, len(self._moving))).astype(np.float64)
        counts, sums = marks @ self._moves[0], _weighed(marks, self._moves[1])
        of, rows = [each.sum(axis=0) for each in (*self._counts, *self._sums)], self._rows.sum()
        one, other = self._swapped(marks)
        first = Totals(of[0] + counts, of[2] + sums, rows, one)
        second = Totals(of[1] - counts, of[3] - sums, rows, other)
        return self.pair.gained(first, second)

    def _cells(self, texts: int) -> int:
        """Return the numbers that a draw of so many texts holds."""
        return texts if self._texts is None else max(texts, self.pair.candidate.sums.size)

    def _drawn(self, system: int, weights: Floats) -> Drawn | None:
        """Return the rows of a system under weights of texts, shape (draws, texts), where the metric reads rows."""
        if self._texts is None:
            return None
        values = (self.pair.candidate, self.pair.champion)[system].sums
        return Drawn(np.broadcast_to(values, (len(weights), *values.shape)), weights[:, self._texts])

    def _swapped(self, marks: Floats) -> tuple[Drawn | None, Drawn | None]:
        """Return the rows of both systems after the marked ones, shape (draws, moving texts), were exchanged."""
        if self._texts is None:
            return None, None
        whole = np.zeros((len(marks), self.count), dtype=bool)
        whole[:, self._moving] = marks > 0
        there, weights = whole[:, self._texts, None], np.ones((len(marks), len(self._texts)))
        both = (self.pair.candidate.sums, self.pair.champion.sums)
        one, other = (np.where(there, values, own) for own, values in zip(both, both[::-1], strict=True))
        return Drawn(one, weights), Drawn(other, weights)


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


def _by_text(values: Floats, texts: Ints) -> Floats:
    """Return the sums of the rows of each text, shape (texts, k), of values (rows, k)."""
    columns = [np.bincount(texts, weights=column) for column in values.T]
    return np.stack(columns, axis=1) if columns else np.zeros((int(texts.max()) + 1, 0))


def _weighed(weights: Floats, sums: Floats) -> Floats:
    """Return sums under weights, shape (draws, k); no BLAS, whose bits depend on the threads: sums are not whole."""
    found: Floats = np.einsum("dt,tk->dk", weights, sums)
    return found
