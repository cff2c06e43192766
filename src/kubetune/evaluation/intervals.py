"""95 % percentile bootstrap intervals, paired over the systems that are compared.

Texts are drawn, each with all its rows: a system gives equal texts equal answers, so rows of one text are no further
evidence (the cluster bootstrap; Davison and Hinkley 1997, section 3.8). Values are those of the rows all the same, as
often as they occur. Drawing and counting cells of outcomes is one multinomial draw over the kinds of texts, so metrics
of counts cost nothing that grows with the rows. Metrics of sums depend on each row's own numbers and are resampled by
weights. All systems see the same draws, hence differences are paired.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kubetune.evaluation.kinds import Kinds, kinds_of
from kubetune.metrics.base import Floats, Ints, Outcomes, Statistics, Totals, Weighing, measure_outcomes, stacked

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
        label_f1: System → shape (samples, labels); NaN where a label did not occur in a draw.
    """

    metrics: Mapping[str, Mapping[str, Floats]]
    label_f1: Mapping[str, Floats]


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


def bootstrap(systems: Mapping[str, Outcomes], statistics: Statistics, draws: Draws) -> Bootstrap:
    """Resample the texts and measure each system on each draw.

    Args:
        systems: What the answers of each system come to, on the same rows.
        statistics: What is measured.
        draws: Number, seed, and which rows have the same text.
    """
    counted, summed = _by_what_they_read(statistics, statistics.metrics)
    samples: dict[str, list[dict[str, Floats]]] = {name: [] for name in systems}
    f1: dict[str, list[Floats]] = {name: [] for name in systems}
    cells, cell = np.unique(
        np.column_stack([outcomes.cell for outcomes in systems.values()]), axis=0, return_inverse=True
    )
    size = max(outcomes.size for outcomes in systems.values())
    for draw in _count_draws(kinds_of(cell.reshape(-1), draws.texts), draws, size, 0):
        for column, (name, outcomes) in enumerate(systems.items()):
            totals = _cell_totals(draw, cells[:, column], outcomes)
            samples[name].append(statistics.measure(totals, counted))
            if statistics.labels:
                f1[name].append(statistics.by_label(totals)["f1"])
    metrics = {name: _joined(found) for name, found in samples.items()}
    for name, values in _row_metrics(systems, statistics, summed, draws, 1).items():
        metrics[name].update(values)
    return Bootstrap(metrics, {name: np.concatenate(found) for name, found in f1.items() if found})


def estimates(outcomes: Outcomes, statistics: Statistics, names: Collection[str], draws: Draws) -> dict[str, Estimate]:
    """Return metrics of one system with intervals.

    Args:
        outcomes: What its answers come to, at least one row.
        statistics: What is measured.
        names: Of the metrics.
        draws: Number, seed, and which rows have the same text.
    """
    counted, summed = _by_what_they_read(statistics, names)
    samples: dict[str, Floats] = {}
    if counted:
        cells, cell = np.unique(outcomes.cell, return_inverse=True)
        found = [
            statistics.measure(_cell_totals(draw, cells, outcomes), counted)
            for draw in _count_draws(kinds_of(cell, draws.texts), draws, outcomes.size, 2)
        ]
        samples |= _joined(found)
    samples |= _row_metrics({"": outcomes}, statistics, summed, draws, 3)[""]
    points = measure_outcomes(statistics, outcomes, names)
    return {name: estimate(points[name], samples[name]) for name in names}


def _by_what_they_read(statistics: Statistics, names: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the metrics that are functions of counts alone, and the others."""
    alone = {name: statistics.metrics[name].reads == "counts" for name in names}
    return [name for name in names if alone[name]], [name for name in names if not alone[name]]


def _joined(chunks: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _count_draws(kinds: Kinds, draws: Draws, size: int, stream: int) -> Iterator[Ints]:
    """Yield the rows in each cell, shape (chunk, cells), of multinomial draws over the kinds."""
    draw, texts = np.random.default_rng([draws.seed, stream]), kinds.texts
    chunk = max(1, CHUNK_CELLS // max(len(kinds.kind), size))
    for start in range(0, draws.samples, chunk):
        count = min(chunk, draws.samples - start)
        yield kinds.cells(draw.multinomial(texts, kinds.counts / texts, size=count))


def _cell_totals(draw: Ints, cells: Ints, outcomes: Outcomes) -> Totals:
    """Sum drawn rows, shape (chunk, cells), of which each is of a cell of the outcomes."""
    part = replace(outcomes, columns=outcomes.columns[cells], values=outcomes.values[cells])
    return Totals(part.counted(draw), np.zeros((len(draw), 0)), draw.sum(axis=1))


def _row_metrics(
    systems: Mapping[str, Outcomes], statistics: Statistics, names: Sequence[str], draws: Draws, stream: int
) -> dict[str, dict[str, Floats]]:
    """Return the metrics that read sums or rows, of each system on each draw."""
    if not names:
        return {name: {} for name in systems}
    counts = any(statistics.metrics[name].reads == "both" for name in names)
    rows = len(next(iter(systems.values())))
    weighings = {name: Weighing(outcomes, counts=counts) for name, outcomes in systems.items()}
    totals: dict[str, list[Totals]] = {name: [] for name in systems}
    by_rows: dict[tuple[str, str], tuple[Callable[[Floats], float], list[float]]] = {
        (name, metric): (statistics.ranked(metric, outcomes), [])
        for name, outcomes in systems.items()
        for metric in names
        if statistics.metrics[metric].reads == "rows"
    }
    for weights in row_weights(rows, draws, stream):
        for name, weighing in weighings.items():
            totals[name].append(weighing.total(weights))
        for measure, values in by_rows.values():
            values.append(measure(weights))
    found = {name: statistics.measure(stacked(each), names) for name, each in totals.items()}
    for (name, metric), (_, values) in by_rows.items():
        found[name][metric] = np.array(values)
    return found


def row_weights(rows: int, draws: Draws, stream: int) -> Iterator[Floats]:
    """Yield how often each row is in a draw, shape (rows,), of whole texts with replacement."""
    draw = np.random.default_rng([draws.seed, stream])
    texts = np.arange(rows) if draws.texts is None else draws.texts
    count = int(texts.max()) + 1
    for _ in range(draws.samples):
        yield np.bincount(draw.integers(count, size=count), minlength=count)[texts].astype(np.float64)
