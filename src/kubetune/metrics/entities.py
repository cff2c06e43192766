"""Entities found against entities there, strictly: right is one with the same ends and the same type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kubetune.metrics.base import Floats, Ints, Metric, Outcomes, Totals, outcomes_of

HITS, FOUND, THERE = 0, 1, 2
"""Three counts a type: entities found right, found at all, and there."""


@dataclass(frozen=True)
class EntityStatistics:
    """Precision, recall and F1 over all entities (micro), and the mean F1 of the types (macro).

    A type that neither occurs nor is found is left out of the mean; precision, recall and F1 are 0 where nothing is
    found and something is there. Sums of a row are its loss and its words.
    """

    types: tuple[str, ...]
    main: str = "f1"

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """See `Statistics.metrics`."""
        return ENTITY_METRICS

    def measure(self, totals: Totals) -> dict[str, Floats]:
        """See `Statistics.measure`."""
        counts = totals.counts.reshape(*totals.counts.shape[:-1], len(self.types), 3).astype(np.float64)
        hits, found, there = (counts[..., place] for place in (HITS, FOUND, THERE))
        each = _ratio(2 * hits, found + there, np.nan)
        known = ~np.isnan(each)
        all_hits, all_found, all_there = hits.sum(axis=-1), found.sum(axis=-1), there.sum(axis=-1)
        return {
            "f1": _ratio(2 * all_hits, all_found + all_there, 0.0),
            "precision": _ratio(all_hits, all_found, 0.0),
            "recall": _ratio(all_hits, all_there, 0.0),
            "macro_f1": _ratio(np.nan_to_num(each).sum(axis=-1), known.sum(axis=-1).astype(np.float64), 0.0),
            "loss": _ratio(totals.sums[..., 0], totals.sums[..., 1], 0.0),
        }


ENTITY_METRICS: Mapping[str, Metric] = {
    "f1": Metric("Entity F1", "ends and type right, over all entities", track=True),
    "precision": Metric("Precision", "share of the entities found that are there", track=True),
    "recall": Metric("Recall", "share of the entities there that are found", track=True),
    "macro_f1": Metric("Macro F1", "each type counts the same", track=True),
    "loss": Metric("Loss", "nats a word; less is better", lower_is_better=True),
}

Entity = tuple[int, int, int]
"""Start, end and number of the type."""


def entity_outcomes(
    there: Sequence[Sequence[Entity]],
    found: Sequence[Sequence[Entity]],
    types: int,
    losses: Floats | None = None,
    words: Ints | None = None,
) -> Outcomes:
    """Return what entities found in some texts come to.

    Args:
        there: True entities of each text.
        found: Those that a system found.
        types: Number of types.
        losses: Sum of the losses of each text, shape (texts,); None: not known.
        words: Losses in that sum, shape (texts,).
    """
    counts = np.zeros((len(there), types, 3), dtype=np.int64)
    for row, (true, answered) in enumerate(zip(there, found, strict=True)):
        for place, entities in ((THERE, true), (FOUND, answered), (HITS, set(true) & set(answered))):
            for _, _, label in entities:
                counts[row, label, place] += 1
    sums = np.zeros((len(there), 2))
    if losses is not None and words is not None:
        sums[:, 0], sums[:, 1] = losses, words
    all_hits, all_found, all_there = (counts[:, :, place].sum(axis=1) for place in (HITS, FOUND, THERE))
    scores = _ratio(2.0 * all_hits, (all_found + all_there).astype(np.float64), 1.0)
    return outcomes_of(counts.reshape(len(there), -1), sums, scores)


def _ratio(over: Floats, under: Floats, otherwise: float) -> Floats:
    found: Floats = np.divide(over, under, out=np.full(np.shape(under), otherwise), where=np.asarray(under) > 0)
    return found
