"""Target type `score`: one finite number a row."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.data.label_column import marks_of
from kubetune.data.splits import SPLITS
from kubetune.data.targets.base import Settled, StoredTruths, TargetCell, TargetReader, TargetRules, Truth
from kubetune.data.targets.structured import Reasons, StructuredReader, truth_identity
from kubetune.errors import DataError

BINS = 10
"""Ranges of scores, of as many rows each, by which rows are divided in proportion."""


class ScoreReader(StructuredReader):
    """Implements `TargetReader` for numbers.

    Args:
        rules: What the recipe says.
        marks: Cells, case-folded, that mean that a row has no score.
        edges: Between the ranges, ascending.
    """

    reasons = ("missing-label", "score-malformed", "score-not-finite", "score-range")
    stored = pa.float64()

    def __init__(self, rules: TargetRules, marks: frozenset[str], edges: np.ndarray) -> None:
        self.rules, self.marks, self.edges = rules, marks, edges
        self.decisions: list[str] = []
        self.problems = Reasons(self.reasons)
        self._facts: dict[str, tuple[float, ...]] = {}

    def read(self, cell: TargetCell) -> Truth | str:
        """See `TargetReader.read`."""
        found = number_of(cell.value, self.marks)
        if found is None:
            return "missing-label"
        if isinstance(found, str):
            return self.problems.because("score-malformed", repr(found))
        if not math.isfinite(found):
            return self.problems.because("score-not-finite", str(found))
        if self.rules.score_range is not None and not self.rules.score_range[0] <= found <= self.rules.score_range[1]:
            least, most = self.rules.score_range
            return self.problems.because("score-range", f"{found:g} is not from {least:g} to {most:g}")
        return Truth(int(np.searchsorted(self.edges, found, side="right")), truth_identity(found), found)

    def settle(self, split: np.ndarray, strata: np.ndarray, stored: StoredTruths) -> Settled:
        """See `TargetReader.settle`; there are no classes."""
        parts = [column.to_numpy(zero_copy_only=False) for column in stored()]
        values = np.concatenate(parts) if parts else np.zeros(0)
        for number, name in enumerate(SPLITS):
            mine = values[split == number]
            if len(mine):
                self._facts[name] = (len(mine), *map(float, (mine.mean(), mine.std(), mine.min(), mine.max())))
        return Settled([], {name: [] for name in SPLITS})

    def check(self, settled: Settled, *, whole: bool) -> None:
        """See `TargetReader.check`: train has two different scores."""
        _, mean, _, least, most = self._facts["train"]
        if least == most:
            raise DataError(
                "one-score", f"Each score of train is {mean:g}, so that nothing can be learnt: give rows of others."
            )

    def column(self, strata: np.ndarray, stored: pa.Array) -> pa.Array:
        """See `TargetReader.column`."""
        return stored

    def groups(self, labels: Sequence[str]) -> list[str]:
        """See `TargetReader.groups`: ranges of scores."""
        return self._ranges(self.edges)

    def _ranges(self, edges: np.ndarray) -> list[str]:
        if not len(edges):
            return ["all"]
        between = [f"{low:g} to below {high:g}" for low, high in pairwise(edges)]
        return [f"below {edges[0]:g}", *between, f"{edges[-1]:g} and above"]

    def groups_of(self, value: Any) -> Sequence[int]:
        """See `TargetReader.groups_of`."""
        return (int(np.searchsorted(self.edges, value, side="right")),)

    def shown(self, value: Any, texts: Sequence[str]) -> str:
        """See `TargetReader.shown`."""
        return f"{value:g}"

    def findings(self, settled: Settled, rare: int) -> dict[str, Any]:
        """See `TargetReader.findings`."""
        rows = {name: self._facts.get(name, (0, 0.0, 0.0, 0.0, 0.0)) for name in SPLITS}
        _, mean, _, least, most = rows["train"]
        return {
            "targets": {
                "type": "score",
                "heading": "Scores",
                "columns": ["Rows", "Mean", "Standard deviation", "Least", "Most"],
                "splits": {
                    name: [f"{int(of[0]):,}", *(f"{value:.4g}" for value in of[1:])] for name, of in rows.items()
                },
                "line": [f"scores of train {least:g} to {most:g}, mean {mean:.4g}"],
            }
        }


def number_of(value: Any, marks: frozenset[str]) -> float | str | None:
    """Return the number in a cell, its text where it is none, or None where there is nothing."""
    text = "" if value is None else str(value).strip()
    if not isinstance(value, float) and (not text or text.casefold() in marks):
        return None
    try:
        return text if "_" in text else float(text) + 0.0  # so that there is one zero
    except ValueError:
        return text


class ScoreType:
    """Implements `TargetType`."""

    type = pa.float64()
    words = False
    document = None

    def accepts(self, kind: pa.DataType) -> bool:
        """See `TargetType.accepts`: a score is no list."""
        return False

    def open(self, rules: TargetRules, files: Mapping[str, Path], source: Mapping[str, Any]) -> TargetReader:
        """See `TargetType.open`: finds ranges of as many rows each."""
        return ScoreReader(rules, *self.surveyed(rules, files))

    def surveyed(self, rules: TargetRules, files: Mapping[str, Path]) -> tuple[frozenset[str], np.ndarray]:
        """Return marks of missing scores, and what lies between ranges of as many rows each, ascending."""
        marks, column = marks_of(rules.missing, ()), rules.column or ""
        found: list[np.ndarray] = []
        for path in files.values():
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=1 << 16, columns=[column]):
                    numbers = (number_of(value, marks) for value in batch.column(0).to_pylist())
                    found.append(np.array([number for number in numbers if isinstance(number, float)]))
        values = np.concatenate(found) if found else np.zeros(0)
        values = values[np.isfinite(values)]
        edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS)) if len(values) else np.zeros(0)
        return marks, edges


TARGET_TYPE = ScoreType()
