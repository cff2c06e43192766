"""Two runs side by side: where their recipes differ and what that did to the numbers. Imports nothing heavy."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kubetune.config.metrics import lower_is_better

BASELINE = re.compile(r"^baseline_[^_]+_")
"""Of the name of a baseline's metric; names of baselines have no underscore."""


@dataclass(frozen=True)
class ComparedRow:
    """One line of `kubetune compare`.

    Attributes:
        kind: `recipe` or `metric`.
        name: Dotted recipe path, or metric.
        left: Value in the first run; None where it has none.
        right: Value in the second run.
        difference: Right minus left, for metrics that both runs have.
        note: `better`, `worse` or `intervals overlap` for metrics with intervals in both runs, else empty. Better
            and worse are said of the second run, and only where the two 95 % intervals are disjoint, which is
            stricter than a paired test.
    """

    kind: Literal["recipe", "metric"]
    name: str
    left: Any
    right: Any
    difference: float | None = None
    note: str = ""


def compare_runs(
    left_recipe: Mapping[str, Any],
    right_recipe: Mapping[str, Any],
    left_metrics: Mapping[str, float],
    right_metrics: Mapping[str, float],
) -> list[ComparedRow]:
    """Return the recipe values that differ, then every metric of either run.

    Args:
        left_recipe: Resolved recipe of the first run.
        right_recipe: Resolved recipe of the second run.
        left_metrics: Flat metrics of the first run's `evaluate` commit (`accuracy`, `accuracy_low`, …).
        right_metrics: Flat metrics of the second run's.
    """
    left, right = flatten(left_recipe), flatten(right_recipe)
    rows = [
        ComparedRow("recipe", name, left.get(name), right.get(name))
        for name in dict.fromkeys([*left, *right])
        if left.get(name) != right.get(name) or (name in left) != (name in right)
    ]
    names = dict.fromkeys([*left_metrics, *right_metrics])
    return rows + [_metric_row(name, left_metrics, right_metrics) for name in names if not _is_end(name, names)]


def interval(metrics: Mapping[str, float], name: str) -> tuple[float, float] | None:
    """Return the 95 % interval of a flat metric, or None where it has none."""
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    return None if low is None or high is None else (low, high)


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Return dotted path → leaf; lists are leaves, so that a changed list is one row."""
    if isinstance(value, Mapping) and value:
        found: dict[str, Any] = {}
        for key, inner in value.items():
            found |= flatten(inner, f"{path}.{key}" if path else str(key))
        return found
    return {path: value}


def _is_end(name: str, names: Mapping[str, None]) -> bool:
    """Whether a name is an end of another metric's interval, which is shown beside that metric."""
    stem, _, end = name.rpartition("_")
    return end in ("low", "high") and stem in names


def _metric_row(name: str, left: Mapping[str, float], right: Mapping[str, float]) -> ComparedRow:
    if name not in left or name not in right:
        return ComparedRow("metric", name, left.get(name), right.get(name))
    first, second = interval(left, name), interval(right, name)
    note = ""
    if first is not None and second is not None:
        note = _relation(first, second, lower=lower_is_better(BASELINE.sub("", name)))
    return ComparedRow("metric", name, left[name], right[name], right[name] - left[name], note)


def _relation(first: tuple[float, float], second: tuple[float, float], *, lower: bool) -> str:
    if second[0] <= first[1] and first[0] <= second[1]:
        return "intervals overlap"
    return "better" if (second[0] > first[1]) != lower else "worse"
