"""95 % percentile bootstrap intervals, paired over the systems that are compared.

Drawing `rows` rows with replacement and counting (label, prediction, …) cells is one multinomial draw over the cells,
so metrics of the confusion counts cost nothing that grows with the rows. Calibration error and loss depend on each
row's own number and are resampled by row weights. All systems see the same draws, hence differences are paired.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.evaluation.metrics import BINS, Floats, Ints, Scores, calibration_bins, f1_from_counts, measure_counts

LEVEL = 0.95
CHUNK_CELLS = 2**22
"""Numbers held at once while sampling: 32 MiB of counts."""


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Return `{"value", "low", "high"}`."""
        return {"value": self.value, "low": self.low, "high": self.high}


def estimate(value: float, samples: Floats) -> Estimate:
    """Return `value` with the percentile interval of its bootstrap samples, shape (samples,); NaN ones are left out."""
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(samples, (tail, 1 - tail))
    return Estimate(value, float(low), float(high))


@dataclass(frozen=True)
class Bootstrap:
    """Samples of every metric of every system under the same draws.

    Attributes:
        metrics: System → metric → shape (samples,).
        class_f1: System → shape (samples, classes); NaN where a class did not occur in a draw.
    """

    metrics: Mapping[str, Mapping[str, Floats]]
    class_f1: Mapping[str, Floats]


def bootstrap(labels: Ints, systems: Mapping[str, Scores], classes: int, samples: int, seed: int) -> Bootstrap:
    """Resample the rows `samples` times and measure each system on each draw.

    Args:
        labels: True class numbers, shape (rows,).
        systems: Answers of each system on those rows.
        classes: Number of classes.
        samples: Number of draws.
        seed: Of the draws; equal arguments give equal bits.
    """
    counted = {name: _Collected() for name in systems}
    answers = np.stack([scores.predictions for scores in systems.values()], axis=1)
    cells, counts = np.unique(np.column_stack([labels, answers]), axis=0, return_counts=True)
    for draw in _count_draws(counts, samples, classes, np.random.default_rng([seed, 0])):
        for column, name in enumerate(systems, start=1):
            counted[name].add(_tables(draw, cells[:, 0], cells[:, column], classes))
    metrics = {name: collected.metrics() for name, collected in counted.items()}
    for name, values in _row_metrics(labels, systems, samples, np.random.default_rng([seed, 1])).items():
        metrics[name].update(values)
    return Bootstrap(metrics, {name: np.concatenate(collected.class_f1) for name, collected in counted.items()})


def label_estimates(counts: Ints, samples: int, seed: int) -> dict[str, Estimate]:
    """Return the metrics of one confusion table, shape (classes, classes), with intervals."""
    truth, answer = np.nonzero(counts)
    collected = _Collected()
    for draw in _count_draws(counts[truth, answer], samples, len(counts), np.random.default_rng([seed, 2])):
        collected.add(_tables(draw, truth, answer, len(counts)))
    points = measure_counts(counts)
    return {name: estimate(float(points[name]), values) for name, values in collected.metrics().items()}


class _Collected:
    """Chunks of samples of one system."""

    def __init__(self) -> None:
        self.chunks: list[dict[str, Floats]] = []
        self.class_f1: list[Floats] = []

    def add(self, tables: NDArray[Any]) -> None:
        self.chunks.append(measure_counts(tables))
        self.class_f1.append(f1_from_counts(tables))

    def metrics(self) -> dict[str, Floats]:
        return {name: np.concatenate([chunk[name] for chunk in self.chunks]) for name in self.chunks[0]}


def _count_draws(counts: Ints, samples: int, classes: int, draw: np.random.Generator) -> Iterator[Ints]:
    """Yield multinomial draws over the cells, shape (chunk, cells), `samples` of them in all."""
    rows = int(counts.sum())
    chunk = max(1, CHUNK_CELLS // max(len(counts), classes * classes))
    for start in range(0, samples, chunk):
        yield draw.multinomial(rows, counts / rows, size=min(chunk, samples - start))


def _tables(draw: Ints, truth: Ints, answer: Ints, classes: int) -> Ints:
    """Sum drawn cells, shape (chunk, cells), into confusion tables of shape (chunk, classes, classes)."""
    cell = truth * classes + answer
    order = np.argsort(cell, kind="stable")
    found, starts = np.unique(cell[order], return_index=True)
    tables = np.zeros((len(draw), classes * classes), dtype=np.int64)
    tables[:, found] = np.add.reduceat(draw[:, order], starts, axis=1)
    return tables.reshape(len(draw), classes, classes)


def _row_metrics(
    labels: Ints, systems: Mapping[str, Scores], samples: int, draw: np.random.Generator
) -> dict[str, dict[str, Floats]]:
    """Return ECE and loss of each system under `samples` row resamples."""
    rows = len(labels)
    prepared = {
        name: (calibration_bins(scores.confidence), scores.confidence - (scores.predictions == labels), scores.losses)
        for name, scores in systems.items()
    }
    found = {name: {"ece": np.empty(samples), "loss": np.empty(samples)} for name in systems}
    for number in range(samples):
        weights = np.bincount(draw.integers(rows, size=rows), minlength=rows).astype(np.float64)
        for name, (bins, gaps, losses) in prepared.items():
            sums = np.bincount(bins, weights=weights * gaps, minlength=BINS)
            found[name]["ece"][number] = np.abs(sums).sum() / rows
            found[name]["loss"][number] = (weights * losses).sum() / rows  # no BLAS: its bits depend on the threads
    return found
