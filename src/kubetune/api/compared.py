"""Two runs side by side."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubetune.api.differences import short
from kubetune.api.html import table_html
from kubetune.api.opening import opened
from kubetune.api.runs import Run, read_opened

if TYPE_CHECKING:
    from kubetune.evaluation.compare import ComparedRow


@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side.

    Attributes:
        first: A run.
        second: The run whose metrics are said to be better or worse.
        rows: Recipe values that differ, then every metric of either.
    """

    first: Run
    second: Run
    rows: "tuple[ComparedRow, ...]"

    @property
    def headings(self) -> list[str]:
        """Headings of `cells`."""
        return ["what", self.first.name, self.second.name, "difference", ""]

    def cells(self) -> list[list[str]]:
        """Return a line a row: name, value in the first run, in the second, their difference, and what it says."""
        from kubetune.evaluation.compare import flatten

        values = [flatten(run.document) for run in (self.first, self.second)]
        return [
            [row.name, *_both(row, values), "" if row.difference is None else f"{row.difference:+.4f}", row.note]
            for row in self.rows
        ]

    def _repr_html_(self) -> str:
        return table_html(self.headings, self.cells())


def compare(first: str | Run, second: str | Run, *, store: str | Path | None = None) -> RunComparison:
    """Show where two recipes differ and what that did to the metrics.

    Args:
        first: A run, or its id.
        second: Another one.
        store: Where ids are looked up: a folder or `s3://bucket/prefix`; None: the settings' one.

    Raises:
        ConfigError: There is no such store or run.
        StoreUnavailableError: The store does not answer.
    """
    from kubetune.evaluation.compare import compare_runs

    if isinstance(first, str) or isinstance(second, str):
        place = opened(store)
        first = read_opened(*place, first) if isinstance(first, str) else first
        second = read_opened(*place, second) if isinstance(second, str) else second
    rows = compare_runs(first.document, second.document, first.metrics, second.metrics)
    return RunComparison(first, second, tuple(rows))


def _both(row: "ComparedRow", values: list[dict[str, Any]]) -> list[str]:
    """Return both sides of a row: recipe values as `why` prints them, metrics with four decimals."""
    if row.kind == "recipe":
        return [short(json.dumps(side[row.name], sort_keys=True) if row.name in side else None) for side in values]
    return ["-" if value is None else f"{value:.4f}" for value in (row.left, row.right)]
