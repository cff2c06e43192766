"""Metrics of entities: strict precision, recall and F1 of spans with a type, as functions of sums.

By hand: seqeval counts tokens with tags, has had no release since 2020, and cannot weigh sentences; the tests hold
every number against it (`mode="strict"`, scheme IOB2).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.errors import DataError
from kubetune.metrics.base import CatalogueStatistics, Floats, Ints, Outcomes, Totals
from kubetune.metrics.catalogue import ENTITIES, Catalogue
from kubetune.metrics.labels import macro, ratio, ratios

Entity = tuple[int, int, str]
"""Start, end and type; no two of one text overlap."""


@dataclass(frozen=True)
class EntityStatistics(CatalogueStatistics):
    """Implements `Statistics` for entities.

    Counts are right answers, answers and labelled entities, each `types` of them. Sums are the loss and the words that
    it is of.

    Attributes:
        labels: Types by number.
    """

    labels: tuple[str, ...]

    @property
    def catalogue(self) -> Catalogue:
        """See `Statistics.catalogue`."""
        return ENTITIES

    @property
    def measures(self) -> Mapping[str, Callable[[Totals], Floats]]:
        """See `CatalogueStatistics.measures`."""
        return MEASURES

    def outcomes(
        self,
        labelled: Sequence[Iterable[Entity]],
        answered: Sequence[Iterable[Entity]],
        losses: Floats | None = None,
        words: Ints | None = None,
    ) -> Outcomes:
        """Return what answers come to; a text's score is `2 tp / (2 tp + fp + fn)`, and 1 where it has no entity.

        Args:
            labelled: True entities of each text.
            answered: Answered entities of each text, in the same order.
            losses: Sum of the losses of each text, nats, shape (texts,); None: they are not known and read 0.
            words: How many losses that are, shape (texts,); None: one a text.

        Raises:
            DataError: A type is none of `labels`, or the numbers of texts differ.
        """
        if len(labelled) != len(answered):
            raise DataError(
                "paired-rows",
                f"{len(labelled):,} labelled and {len(answered):,} answered texts were found: give an answer to each.",
            )
        types = len(self.labels)
        patterns: dict[tuple[tuple[int, int], ...], int] = {}
        cell, scores = np.empty(len(labelled), dtype=np.int64), np.ones(len(labelled))
        for number, (truth, answer) in enumerate(zip(labelled, answered, strict=True)):
            counted = self._counted(Counter(truth), Counter(answer))
            cell[number] = patterns.setdefault(tuple(sorted(counted.items())), len(patterns))
            hits = sum(times for column, times in counted.items() if column < types)
            if entities := sum(times for column, times in counted.items() if column >= types):
                scores[number] = 2 * hits / entities
        columns, values, order = _sorted_cells(patterns)
        sums = np.zeros((len(labelled), 2))
        sums[:, 0] = 0.0 if losses is None else losses
        sums[:, 1] = 1.0 if words is None else words
        return Outcomes(order[cell], columns, values, 3 * types, sums, scores)

    def _counted(self, truth: Counter[Entity], answer: Counter[Entity]) -> Counter[int]:
        """Return the counts of one text by their column."""
        counted: Counter[int] = Counter()
        for part, entities in enumerate((truth & answer, answer, truth)):
            for (_, _, label), times in entities.items():
                counted[part * len(self.labels) + self._number(label)] += times
        return counted

    def _number(self, label: str) -> int:
        try:
            return self.labels.index(label)
        except ValueError as error:
            known = ", ".join(self.labels[:10])
            raise DataError(
                "entity-type", f"type {label!r:.60} was found and {known} are known: map the champion's types."
            ) from error

    def says(self, metric: str, totals: Totals) -> bool:
        """See `Statistics.says`: where no entity is labelled F1 is 0 as soon as one is answered, however rarely."""
        return metric == "loss" or bool(_parts(totals)[2].any())

    def by_label(self, totals: Totals) -> dict[str, Floats]:
        """See `Statistics.by_label`."""
        hits, answered, labelled = _parts(totals)
        return ratios(hits, answered, labelled)

    def flaws(self, totals: Totals, names: Sequence[str]) -> list[str]:
        """See `Statistics.flaws`: no entity is answered, or none rightly."""
        hits, answered, labelled = (int(part.sum()) for part in _parts(totals))
        tries = "try a higher learning rate, more epochs or another seed."
        if labelled and not answered:
            return [f"silent: it answers no entity at all, of {labelled:,} that are there; {tries}"]
        if labelled and not hits:
            return [f"never right: none of its {answered:,} entities is among the {labelled:,} that are there; {tries}"]
        return []


def _sorted_cells(patterns: Mapping[tuple[tuple[int, int], ...], int]) -> tuple[Ints, Ints, Ints]:
    """Return columns and values a cell, and each pattern's cell: cells do not depend on the order of the texts."""
    width = max((len(pattern) for pattern in patterns), default=0)
    columns, values = (np.zeros((len(patterns), width), dtype=np.int64) for _ in range(2))
    order = np.empty(len(patterns), dtype=np.int64)
    for place, pattern in enumerate(sorted(patterns)):
        order[patterns[pattern]] = place
        for number, (column, times) in enumerate(pattern):
            columns[place, number], values[place, number] = column, times
    return columns, values, order


def _parts(totals: Totals) -> list[NDArray[Any]]:
    """Return right answers, answers and labelled entities, each of shape (…, types)."""
    return np.split(totals.counts, 3, axis=-1)


def _precision(totals: Totals) -> Floats:
    hits, answered, _ = (part.sum(axis=-1) for part in _parts(totals))
    return ratio(hits, answered)


def _recall(totals: Totals) -> Floats:
    hits, _, labelled = (part.sum(axis=-1) for part in _parts(totals))
    return ratio(hits, labelled)


def _f1(totals: Totals) -> Floats:
    hits, answered, labelled = (part.sum(axis=-1) for part in _parts(totals))
    return ratio(2.0 * hits, answered + labelled)


def _macro_f1(totals: Totals) -> Floats:
    hits, answered, labelled = _parts(totals)
    return np.nan_to_num(macro(hits, answered + labelled))


def _loss(totals: Totals) -> Floats:
    return ratio(totals.sums[..., 0], totals.sums[..., 1])


MEASURES: Mapping[str, Callable[[Totals], Floats]] = {
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "loss": _loss,
}
