"""Macro-F1 and calibration of two models under the same resampled texts, on counts, so that rows cost nothing.

Texts are drawn and exchanged, each with all its rows, since equal texts get equal answers: one multinomial draw over
the kinds of texts (`kubetune.evaluation.kinds`), which are the distinct (label, candidate, champion) cells where each
row has a text of its own. Sums of whole numbers in float64 are exact in any order, so a matrix product has the same
bits with every number of threads.
"""

import math
from dataclasses import dataclass

import numpy as np

from kubetune.comparison.paired import NORMAL
from kubetune.evaluation.counts import Floats, Ints, f1_scores, macro_f1
from kubetune.evaluation.intervals import Draws, Estimate, estimate
from kubetune.evaluation.kinds import kinds_of
from kubetune.evaluation.metrics import BINS, Scores, calibration_bins

CHUNK_CELLS = 2**21
"""Numbers held at once while sampling: 16 MiB of counts."""
FIRST_SWAPS = 100
ENOUGH = 20
"""A randomisation test ends at this many draws that are as extreme as the observed ones …"""
MOST_SWAPS = 10_000
"""… or after this many draws, or five times as many as the level needs at least, whichever is more."""


@dataclass(frozen=True)
class Difference:
    """Candidate minus champion, with its spread under resampled texts.

    Attributes:
        estimate: Value and 95 % percentile interval.
        error: Standard error.
        rows: Rows behind it.
        texts: Distinct texts of them.
    """

    estimate: Estimate
    error: float
    rows: int
    texts: int

    @property
    def variance(self) -> float:
        """Variance of one text's share, so that the standard error is the root of this over `texts`."""
        return self.error**2 * self.texts

    def above(self, bar: float) -> float:
        """Return the one-sided p of "the difference is `bar` or less", by a normal tail of the bootstrap's error."""
        gap = self.estimate.value - bar
        if self.error == 0:
            return 0.0 if gap > 0 else 1.0
        return NORMAL.cdf(-gap / self.error)

    def below(self, bar: float) -> float:
        """Return the one-sided p of "the difference is `bar` or more"."""
        gap = bar - self.estimate.value
        if self.error == 0:
            return 0.0 if gap > 0 else 1.0
        return NORMAL.cdf(-gap / self.error)


class Cells:
    """The distinct (label, candidate's answer, champion's answer) triples of the rows.

    Attributes:
        counts: Rows of each cell, shape (cells,).
        disputed: Which cells hold two different answers, shape (cells,).
        kinds: The rows' texts, by how many rows each has in which cells.
    """

    def __init__(self, labels: Ints, answers: tuple[Ints, Ints], classes: int, texts: Ints | None = None) -> None:
        codes = (labels * classes + answers[0]) * classes + answers[1]
        cells, place, self.counts = np.unique(codes, return_inverse=True, return_counts=True)
        self.kinds = kinds_of(place, texts)
        triples = (cells // classes**2, cells // classes % classes, cells % classes)
        self.disputed = triples[1] != triples[2]
        truth, self._candidate, self._champion = (
            (column[:, None] == np.arange(classes)).astype(np.float64) for column in triples
        )
        self._truth = truth
        self._columns = np.hstack(
            [truth, self._candidate, self._champion, self._candidate * truth, self._champion * truth]
        )

    def difference(self, draws: Ints) -> Floats:
        """Return macro-F1 of the candidate minus the champion's, shape (draws,), for drawn counts (draws, cells)."""
        candidate, champion = self.macro_f1(draws)
        return candidate - champion

    def macro_f1(self, draws: Ints) -> tuple[Floats, Floats]:
        """Return macro-F1 of the candidate and of the champion, each of shape (draws,)."""
        truth, candidate, champion, hits, champion_hits = np.split(draws.astype(np.float64) @ self._columns, 5, axis=1)
        return macro_f1(f1_scores(hits, truth + candidate)), macro_f1(f1_scores(champion_hits, truth + champion))

    def swapped_difference(self, swapped: Ints) -> Floats:
        """Return the difference, shape (draws,), after rows exchanged their two answers.

        Args:
            swapped: How many rows of each disputed cell did, shape (draws, disputed cells).
        """
        there = self._champion - self._candidate
        moves = np.hstack([there, there * self._truth])[self.disputed]
        answers, hits = np.split(swapped.astype(np.float64) @ moves, 2, axis=1)
        truth, candidate, champion, right, champion_right = np.split(self.counts @ self._columns, 5)
        first = macro_f1(f1_scores(right + hits, truth + candidate + answers))
        return first - macro_f1(f1_scores(champion_right - hits, truth + champion - answers))


def macro_f1_difference(cells: Cells, resamples: int, seed: int) -> Difference:
    """Return the paired bootstrap of macro-F1's difference.

    Args:
        cells: The rows, at least one.
        resamples: Number of draws.
        seed: Of the draws; equal arguments give equal bits.
    """
    draw, kinds = np.random.default_rng([seed, 10]), cells.kinds
    found = [
        cells.difference(kinds.cells(draw.multinomial(kinds.texts, kinds.counts / kinds.texts, size=size)))
        for size in _chunks(resamples, len(kinds.kind))
    ]
    samples = np.concatenate(found)
    value = float(cells.difference(cells.counts[None])[0])
    return Difference(estimate(value, samples), float(samples.std(ddof=1)), int(cells.counts.sum()), kinds.texts)


def swap_test(cells: Cells, level: float, seed: int) -> float:
    """Return the one-sided p of "the two models are interchangeable", against "the candidate's macro-F1 is higher".

    Each text's two answers are exchanged with chance 1/2, in all its rows (Yeh, COLING 2000). Exact at every level and
    number of texts for models that differ by chance alone, such as two seeds of one recipe. Draws go on until 20 were
    as extreme (Besag and Clifford, Biometrika 78, 1991, which keeps the p valid) or 5 / `level`, at least 10,000, were
    made, so that a small level can be reached and a plain loser costs little.

    Args:
        cells: The rows, at least one.
        level: Level at which the p will be read; it must not depend on the outcome.
        seed: Of the draws.
    """
    draw, kinds = np.random.default_rng([seed, 11]), cells.kinds
    observed = float(cells.difference(cells.counts[None])[0])
    disputed = np.flatnonzero(kinds.touching(cells.disputed))
    counts = kinds.counts[disputed]
    if not len(counts):
        return 1.0
    most, drawn, extreme, size = max(MOST_SWAPS, math.ceil(5 / level)), 0, 0, FIRST_SWAPS
    while drawn < most:
        size = max(1, min(size, most - drawn, CHUNK_CELLS // len(kinds.kind)))
        swapped = np.zeros((size, len(kinds.counts)), dtype=np.int64)
        swapped[:, disputed] = draw.binomial(counts, 0.5, size=(size, len(counts)))
        moved = kinds.cells(swapped)[:, cells.disputed]
        hits = np.flatnonzero(cells.swapped_difference(moved) >= observed - 1e-12)
        if extreme + len(hits) >= ENOUGH:
            return ENOUGH / (drawn + int(hits[ENOUGH - extreme - 1]) + 1)
        extreme, drawn, size = extreme + len(hits), drawn + size, 4 * size
    return (extreme + 1) / (drawn + 1)


def calibration_difference(labels: Ints, candidate: Scores, champion: Scores, draws: Draws) -> Difference:
    """Return the paired bootstrap of the calibration error's difference; below 0 the candidate is better calibrated.

    Texts are drawn by their rows' cells (confidence bin, right or wrong) of both models, and a cell's rows share their
    mean confidence: the value is exact, the spread leaves out that of the confidences inside a bin of 1 / 15.

    Args:
        labels: True class numbers, shape (rows,).
        candidate: Answers on the rows.
        champion: Answers on the same rows.
        draws: Number, seed, and which rows have the same text.
    """
    bins = [calibration_bins(scores.confidence) for scores in (candidate, champion)]
    right = [scores.predictions == labels for scores in (candidate, champion)]
    codes = ((bins[0] * BINS + bins[1]) * 2 + right[0]) * 2 + right[1]
    cells, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    gaps = [
        np.bincount(place, weights=scores.confidence - hits) / counts
        for scores, hits in zip((candidate, champion), right, strict=True)
    ]
    draw, kinds = np.random.default_rng([draws.seed, 12]), kinds_of(place, draws.texts)

    def measure(rows: Ints) -> Floats:
        return _ece(rows, cells // (4 * BINS), gaps[0]) - _ece(rows, cells // 4 % BINS, gaps[1])

    samples = np.concatenate(
        [
            measure(kinds.cells(draw.multinomial(kinds.texts, kinds.counts / kinds.texts, size=size)))
            for size in _chunks(draws.samples, len(kinds.kind))
        ]
    )
    value = float(measure(counts[None])[0])
    return Difference(estimate(value, samples), float(samples.std(ddof=1)), len(labels), kinds.texts)


def _ece(draws: Ints, bins: Ints, gaps: Floats) -> Floats:
    """Calibration error, shape (draws,), of cells with a bin and a mean gap each; no BLAS, since gaps are not whole."""
    sums = [(draws[:, bins == number] * gaps[bins == number]).sum(axis=1) for number in np.unique(bins)]
    error: Floats = np.abs(np.stack(sums)).sum(axis=0) / draws.sum(axis=1)
    return error


def _chunks(resamples: int, cells: int) -> list[int]:
    chunk = max(1, CHUNK_CELLS // cells)
    return [min(chunk, resamples - start) for start in range(0, resamples, chunk)]
