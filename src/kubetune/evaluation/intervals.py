"""95 % percentile bootstrap intervals, paired over the systems that are compared.

Texts are drawn, each with all its rows: a system gives equal texts equal answers, so rows of one text are no further
evidence (the cluster bootstrap; Davison and Hinkley 1997, section 3.8). Values are those of the rows all the same, as
often as they occur. Drawing and counting (label, prediction, …) cells is one multinomial draw over the kinds of texts,
so metrics of the confusion counts cost nothing that grows with the rows. Calibration error and loss depend on each
row's own number and are resampled by weights. All systems see the same draws, hence differences are paired.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.evaluation.counts import Floats, Ints, f1_from_counts, measure_counts
from kubetune.evaluation.kinds import Kinds, kinds_of
from kubetune.evaluation.metrics import BINS, Scores, calibration_bins

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


@dataclass(frozen=True)
class Draws:
    """How often and from what to resample.

    Attributes:
        samples: Number of draws.
        seed: Of the draws; equal arguments give equal bits.
        texts: Number of each row's text, shape (rows,), from 0 and without gaps; None: each row has its own.
    """

    samples: int
    seed: int
    texts: Ints | None = None

    def among(self, inside: NDArray[np.bool_]) -> "Draws":
        """The same for some of the rows, marked in shape (rows,)."""
        if self.texts is None:
            return self
        return replace(self, texts=np.unique(self.texts[inside], return_inverse=True)[1])


def bootstrap(labels: Ints, systems: Mapping[str, Scores], classes: int, draws: Draws) -> Bootstrap:
    """Resample the texts and measure each system on each draw.

    Args:
        labels: True class numbers, shape (rows,).
        systems: Answers of each system on those rows.
        classes: Number of classes.
        draws: Number, seed, and which rows have the same text.
    """
    counted = {name: _Collected() for name in systems}
    answers = np.stack([scores.predictions for scores in systems.values()], axis=1)
    cells, cell = np.unique(np.column_stack([labels, answers]), axis=0, return_inverse=True)
    for draw in _count_draws(kinds_of(cell, draws.texts), draws, classes, 0):
        for column, name in enumerate(systems, start=1):
            counted[name].add(_tables(draw, cells[:, 0], cells[:, column], classes))
    metrics = {name: collected.metrics() for name, collected in counted.items()}
    for name, values in _row_metrics(labels, systems, draws).items():
        metrics[name].update(values)
    return Bootstrap(metrics, {name: np.concatenate(collected.class_f1) for name, collected in counted.items()})


def label_estimates(labels: Ints, predictions: Ints, classes: int, draws: Draws) -> dict[str, Estimate]:
    """Return the metrics of the confusion counts with intervals.

    Args:
        labels: True class numbers, shape (rows,), at least one row.
        predictions: Predicted class numbers, shape (rows,).
        classes: Number of classes.
        draws: Number, seed, and which rows have the same text.
    """
    codes, cell = np.unique(labels * classes + predictions, return_inverse=True)
    truth, answer = codes // classes, codes % classes
    collected = _Collected()
    for draw in _count_draws(kinds_of(cell, draws.texts), draws, classes, 2):
        collected.add(_tables(draw, truth, answer, classes))
    points = measure_counts(_tables(np.bincount(cell)[None], truth, answer, classes)[0])
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


def _count_draws(kinds: Kinds, draws: Draws, classes: int, stream: int) -> Iterator[Ints]:
    """Yield the rows in each cell, shape (chunk, cells), of multinomial draws over the kinds."""
    draw, texts = np.random.default_rng([draws.seed, stream]), kinds.texts
    chunk = max(1, CHUNK_CELLS // max(len(kinds.kind), classes * classes))
    for start in range(0, draws.samples, chunk):
        size = min(chunk, draws.samples - start)
        yield kinds.cells(draw.multinomial(texts, kinds.counts / texts, size=size))


def _tables(draw: Ints, truth: Ints, answer: Ints, classes: int) -> Ints:
    """Sum drawn cells, shape (chunk, cells), into confusion tables of shape (chunk, classes, classes)."""
    cell = truth * classes + answer
    order = np.argsort(cell, kind="stable")
    found, starts = np.unique(cell[order], return_index=True)
    tables = np.zeros((len(draw), classes * classes), dtype=np.int64)
    tables[:, found] = np.add.reduceat(draw[:, order], starts, axis=1)
    return tables.reshape(len(draw), classes, classes)


def _row_metrics(labels: Ints, systems: Mapping[str, Scores], draws: Draws) -> dict[str, dict[str, Floats]]:
    """Return ECE and loss of each system on each draw."""
    draw = np.random.default_rng([draws.seed, 1])
    texts = np.arange(len(labels)) if draws.texts is None else draws.texts
    count = int(texts.max()) + 1
    prepared = {
        name: (calibration_bins(scores.confidence), scores.confidence - (scores.predictions == labels), scores.losses)
        for name, scores in systems.items()
    }
    found = {name: {"ece": np.empty(draws.samples), "loss": np.empty(draws.samples)} for name in systems}
    for number in range(draws.samples):
        weights = np.bincount(draw.integers(count, size=count), minlength=count)[texts].astype(np.float64)
        rows = weights.sum()
        for name, (bins, gaps, losses) in prepared.items():
            sums = np.bincount(bins, weights=weights * gaps, minlength=BINS)
            found[name]["ece"][number] = np.abs(sums).sum() / rows
            found[name]["loss"][number] = (weights * losses).sum() / rows  # no BLAS: its bits depend on the threads
    return found
