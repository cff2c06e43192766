"""Parts of the test rows on which the model may be worse than on the whole."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.evaluation.intervals import Draws, estimates
from kubetune.evaluation.same_texts import texts_of
from kubetune.metrics.base import Ints, Outcomes, Statistics
from kubetune.text.shown import one_line

TOP_VALUES = 10
"""Values of a column that are slices of their own; the others are one slice together."""
FEW_TEXTS = 30
"""Slices with fewer distinct texts are shown, but never called weak."""
MISSING = "(missing)"

Groups = list[tuple[str, NDArray[np.bool_]]]


def group(
    column: str, lengths: Ints, labels: Ints, names: Sequence[str], values: Sequence[str | None] | None
) -> Groups:
    """Cut the rows into named, disjoint, non-empty parts that cover all of them.

    Args:
        column: `length`, `label` or a kept column.
        lengths: Tokens of each row, shape (rows,).
        labels: Number of each row's class, or of another part that its truth belongs to, shape (rows,).
        names: Their names by number.
        values: The kept column's values; None for `length` and `label`.
    """
    if column == "length":
        return quartiles(lengths.astype(np.float64), "tokens")
    if column == "label":
        return [(name, labels == number) for number, name in enumerate(names) if (labels == number).any()]
    if values is None:
        raise ValueError(f"slice {column!r} needs the values of its column")
    return value_groups(values)


def quartiles(numbers: NDArray[np.float64], unit: str = "") -> Groups:
    """Cut by quartiles, shape (rows,); equal numbers share a band, so there may be fewer than four. NaN: missing."""
    known = ~np.isnan(numbers)
    found: Groups = []
    if known.any():
        edges = np.unique(np.quantile(numbers[known], (0.25, 0.5, 0.75), method="lower"))
        band = np.searchsorted(edges, numbers, side="left")
        for number in range(len(edges) + 1):
            inside = known & (band == number)
            if inside.any():
                found.append((_band_name(numbers[inside], unit), inside))
    if not known.all():
        found.append((MISSING, ~known))
    return found


def value_groups(values: Sequence[str | None]) -> Groups:
    """Cut by value: the commonest ones and the rest together; a column of many numbers goes in quartiles."""
    counts = Counter(value for value in values if value is not None)
    if len(counts) > TOP_VALUES and (numbers := _as_numbers(values)) is not None:
        return quartiles(numbers)
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    top, rest = ranked[:TOP_VALUES], ranked[TOP_VALUES:]
    numbers_of = {value: part for part, value in enumerate(top)}
    parts = np.array([-1 if value is None else numbers_of.get(value, len(top)) for value in values])
    found: Groups = [(one_line(value, 60) or "(empty)", parts == part) for value, part in numbers_of.items()]
    if rest:
        found.append((f"other ({len(rest):,} values)", parts == len(top)))
    if (parts == -1).any():
        found.append((MISSING, parts == -1))
    return found


def measure_slices(
    groups: Mapping[str, Groups], outcomes: Outcomes, statistics: Statistics, draws: Draws
) -> dict[str, list[dict[str, Any]]]:
    """Measure each part.

    Returns:
        Column → parts as `{"name", "rows", "texts", "weak"}` with the sliced metrics of the statistics, each `{"value",
        "low", "high"}`, or None where it says nothing of the part. `weak`: the whole interval of the first metric is on
        the worse side of that metric of all rows.
    """
    names = statistics.catalogue.sliced
    first, lower = names[0], statistics.metrics[names[0]].lower_is_better
    overall = float(statistics.measure(outcomes.total(), (first,))[first])
    found: dict[str, list[dict[str, Any]]] = {}
    for column, parts in groups.items():
        found[column] = []
        for name, inside in parts:
            here, answers = draws.among(inside), outcomes.take(inside)
            total = answers.total()
            says = [metric for metric in names if statistics.says(metric, total)]
            measured = estimates(answers, statistics, says, here)
            texts = texts_of(here.texts, len(answers))
            worst = measured.get(first)
            weak = worst is not None and (worst.low > overall if lower else worst.high < overall)
            shown = {metric: measured[metric].as_dict() if metric in measured else None for metric in names}
            found[column].append(
                {"name": name, "rows": len(answers), "texts": texts, **shown, "weak": texts >= FEW_TEXTS and weak}
            )
    return found


def _as_numbers(values: Sequence[str | None]) -> NDArray[np.float64] | None:
    """Values as finite numbers with NaN for missing ones, or None where one is not a number."""
    numbers = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if value is None or not value.strip():
            continue
        try:
            numbers[row] = float(value)
        except ValueError:
            return None
        if not math.isfinite(numbers[row]):
            return None
    return numbers


def _band_name(numbers: NDArray[np.float64], unit: str) -> str:
    low, high = float(numbers.min()), float(numbers.max())
    span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"{span} {unit}".strip()
