"""Target type `similarity`: one score a pair, stored as a number from 0 to 1 as far as train's scores go."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kubetune.data.splits import TEST, TRAIN, VALIDATION
from kubetune.data.targets.base import Settled, StoredTruths, TargetReader, TargetRules
from kubetune.data.targets.score import ScoreReader, ScoreType
from kubetune.errors import DataError


class SimilarityReader(ScoreReader):
    """Implements `TargetReader` for scores of pairs.

    Scores are stored as they are until it is known which rows are train's: their least and most score are the ends of
    the scale unless the recipe gives them, so that nothing of validation and test rows is in what is learnt. A score
    of these beyond an end is a similarity beyond 0 or 1: rank and linear correlations are those of the scores
    themselves, whatever the ends are, and clipping it would change them.
    """

    _ends: tuple[float, float] = (0.0, 1.0)

    def settle(self, split: np.ndarray, strata: np.ndarray, stored: StoredTruths) -> Settled:
        """See `TargetReader.settle`: finds the ends of the scale.

        Raises:
            DataError: All scores of train are one, so that no ends can be found.
        """
        parts = [column.to_numpy(zero_copy_only=False) for column in stored()]
        values = np.concatenate(parts) if parts else np.zeros(0)
        given = self.rules.score_range
        self._ends = given or self._ends_of(values[split == TRAIN])
        if given is None:
            least, most = self._ends
            held_out = values[(split == VALIDATION) | (split == TEST)]
            beyond = int(np.count_nonzero((held_out < least) | (held_out > most)))
            also = f"; {beyond:,} of validation and test lie beyond and are measured as they are" if beyond else ""
            self.decisions.append(
                f"Scores from {least:g} to {most:g}, the least and most of train, are similarities from 0 to 1{also}: "
                "data.score_range says it otherwise."
            )
        return super().settle(split, strata, lambda: iter([pa.array(self._scaled(values))]))

    def column(self, strata: np.ndarray, stored: pa.Array) -> pa.Array:
        """See `TargetReader.column`: similarities."""
        return pa.array(self._scaled(stored.to_numpy(zero_copy_only=False)))

    def groups(self, labels: Sequence[str]) -> list[str]:
        """See `TargetReader.groups`: ranges of similarities."""
        return self._ranges(self._scaled(self.edges))

    def groups_of(self, value: Any) -> Sequence[int]:
        """See `TargetReader.groups_of`."""
        return (int(np.searchsorted(self._scaled(self.edges), value, side="right")),)

    def _scaled(self, scores: np.ndarray) -> np.ndarray:
        """Return similarities of scores, of the same shape."""
        least, most = self._ends
        found: np.ndarray = (scores - least) / (most - least)
        return found

    def _ends_of(self, values: np.ndarray) -> tuple[float, float]:
        if not len(values):
            return self._ends  # train without rows is refused with why it is empty
        if values.min() == values.max():
            raise DataError(
                "score-range",
                f"Column {self.rules.column or ''!r:.80} is {values[0]:g} in every row of train, so that similarities "
                "cannot be made of it: name the column of scores, or set data.score_range=[LEAST, MOST].",
            )
        return float(values.min()), float(values.max())


class SimilarityType(ScoreType):
    """Implements `TargetType`."""

    def open(self, rules: TargetRules, files: Mapping[str, Path], source: Mapping[str, Any]) -> TargetReader:
        """See `TargetType.open`: finds parts of the scores with as many rows each, by which splits are drawn."""
        reader = SimilarityReader(rules, *self.surveyed(rules, files))
        if rules.score_range is not None:
            least, most = rules.score_range
            reader.decisions.append(f"Scores from {least:g} to {most:g} are similarities from 0 to 1.")
        return reader


TARGET_TYPE = SimilarityType()
