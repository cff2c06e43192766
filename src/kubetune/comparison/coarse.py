"""A metric of sums whose rows may share their means, such as the calibration error: cells are drawn, not rows."""

import numpy as np

from kubetune.comparison.pair import Difference, Pair, chunks
from kubetune.evaluation.intervals import Draws, estimate
from kubetune.evaluation.kinds import kinds_of
from kubetune.metrics.base import Coarse, Floats, Ints, Outcomes, Totals


def coarse_difference(pair: Pair, draws: Draws) -> Difference:
    """Return the paired bootstrap of a metric whose rows may share their mean sums, as it is: candidate - champion.

    Texts are drawn by the cells that their rows are put together in. The value is exact.

    Args:
        pair: What is compared, by a metric that the statistics make `coarse`.
        draws: Number, seed, and which rows have the same text.

    Raises:
        ValueError: The metric is not made coarse.
    """
    both = (pair.candidate, pair.champion)
    coarse = [pair.statistics.coarse(pair.metric, outcomes) for outcomes in both]
    if coarse[0] is None or coarse[1] is None:
        raise ValueError(f"{pair.metric} is resampled by rows")
    codes = np.stack([coarse[0].codes, coarse[1].codes], axis=2).reshape(len(pair.candidate), -1)
    _, place, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    place = place.reshape(-1)
    means = [_mean_sums(outcomes, each, place, counts) for outcomes, each in zip(both, coarse, strict=True) if each]
    draw, kinds = np.random.default_rng([draws.seed, 12]), kinds_of(place, draws.texts)

    def measure(rows: Ints) -> Floats:
        first, second = (pair.measure(_of_sums(rows, mean)) for mean in means)
        return first - second

    samples = np.concatenate(
        [
            measure(kinds.cells(draw.multinomial(kinds.texts, kinds.counts / kinds.texts, size=size)))
            for size in chunks(draws.samples, len(kinds.kind))
        ]
    )
    value = float(measure(counts[None])[0])
    return Difference(estimate(value, samples), float(samples.std(ddof=1)), len(place), kinds.texts)


def _mean_sums(outcomes: Outcomes, coarse: Coarse, place: Ints, counts: Ints) -> Floats:
    """Return the mean of the sums that the metric reads in each cell, shape (cells, sums)."""
    means = np.zeros((len(counts), outcomes.sums.shape[1]))
    for column in coarse.columns:
        means[:, column] = np.bincount(place, weights=outcomes.sums[:, column], minlength=len(counts)) / counts
    return means


def _of_sums(rows: Ints, means: Floats) -> Totals:
    """Totals of drawn rows a cell, shape (draws, cells); no BLAS, since means are not whole."""
    sums = np.zeros((len(rows), means.shape[1]))
    for column in np.flatnonzero(means.any(axis=0)):
        there = np.flatnonzero(means[:, column])
        sums[:, column] = (rows[:, there] * means[there, column]).sum(axis=1)
    return Totals(np.zeros((len(rows), 0), dtype=np.int64), sums, rows.sum(axis=1))
