"""Target type `similarity`: one score a pair, stored as a number from 0 to 1."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.data.label_column import marks_of
from kubetune.data.targets.base import TargetCell, TargetReader, TargetRules, Truth
from kubetune.data.targets.score import BINS, ScoreReader, number_of
from kubetune.data.targets.structured import truth_identity
from kubetune.errors import DataError


class SimilarityReader(ScoreReader):
    """Implements `TargetReader` for scores of pairs.

    Args:
        rules: What the recipe says, with a range.
        marks: Cells, case-folded, that mean that a row has no score.
        edges: Between ranges of similarities, ascending.
    """

    def read(self, cell: TargetCell) -> Truth | str:
        """See `TargetReader.read`."""
        found = super().read(cell)
        if isinstance(found, str) or self.rules.score_range is None:
            return found
        least, most = self.rules.score_range
        value = (found.value - least) / (most - least)
        return Truth(int(np.searchsorted(self.edges, value, side="right")), truth_identity(value), value)


class SimilarityType:
    """Implements `TargetType`."""

    type = pa.float64()
    words = False
    document = None

    def accepts(self, kind: pa.DataType) -> bool:
        """See `TargetType.accepts`: a score is no list."""
        return False

    def open(self, rules: TargetRules, files: Mapping[str, Path], source: Mapping[str, Any]) -> TargetReader:
        """See `TargetType.open`: finds the range, and parts of it with as many rows each.

        Raises:
            DataError: All scores are one, so that no range can be found.
        """
        values = _numbers(rules, files)
        least, most = rules.score_range or _ends(values, rules.column or "")
        edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS)) if len(values) else np.zeros(0)
        reader = SimilarityReader(
            replace(rules, score_range=(least, most)),
            marks_of(rules.missing, ()),
            (edges - least) / (most - least),
        )
        whence = "" if rules.score_range else ", the least and most that there are: data.score_range says it otherwise"
        reader.decisions.append(f"Scores from {least:g} to {most:g} are similarities from 0 to 1{whence}.")
        return reader


def _numbers(rules: TargetRules, files: Mapping[str, Path]) -> np.ndarray:
    marks, column = marks_of(rules.missing, ()), rules.column or ""
    found: list[np.ndarray] = []
    for path in files.values():
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1 << 16, columns=[column]):
                numbers = (number_of(value, marks) for value in batch.column(0).to_pylist())
                found.append(np.array([number for number in numbers if isinstance(number, float)]))
    values = np.concatenate(found) if found else np.zeros(0)
    return values[np.isfinite(values)]


def _ends(values: np.ndarray, column: str) -> tuple[float, float]:
    if not len(values) or values.min() == values.max():
        what = f"is {values[0]:g} in every row" if len(values) else "holds no number"
        raise DataError(
            "score-range",
            f"Column {column!r:.80} {what}, so that similarities cannot be made of it: name the column of scores, or "
            "set data.score_range=[LEAST, MOST].",
        )
    return float(values.min()), float(values.max())


TARGET_TYPE = SimilarityType()
