"""Answers on the test rows → everything that `metrics.json` says, the verdict included."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.config.evaluation import UNSEEN, EvaluationSection
from kubetune.contract import Verdict
from kubetune.evaluation.intervals import Bootstrap, Draws, Estimate, bootstrap, estimate
from kubetune.evaluation.same_texts import texts_of
from kubetune.evaluation.slices import group, measure_slices
from kubetune.evaluation.thresholds import Measured, judge_thresholds, warn
from kubetune.metrics.base import Baseline, Floats, Ints, Outcomes, Statistics, Totals
from kubetune.text.shown import one_line

FORMAT = 1
MODEL = "model"


@dataclass(frozen=True)
class EvaluatedRows:
    """What is known of the test rows without a model; arrays have shape (rows,).

    Attributes:
        labels: Numbers of their classes, or of other parts that their truth belongs to, for the slice `label`.
        lengths: Tokens.
        truncated: Whether tokens were cut off.
        names: Names of those parts by number.
        columns: Kept column → its values.
        texts: Numbers of their texts, equal for rows with the same text; None: each row has its own.
    """

    labels: Ints
    lengths: Ints
    truncated: NDArray[np.bool_]
    names: tuple[str, ...]
    columns: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    texts: Ints | None = None

    @property
    def shown_names(self) -> tuple[str, ...]:
        """Names fit for a sentence: labels are data, hence untrusted."""
        return shown(self.names)


def shown(names: Sequence[str]) -> tuple[str, ...]:
    """Return names fit for a sentence."""
    return tuple(one_line(name, 60) or "(empty)" for name in names)


@dataclass(frozen=True)
class Assessment:
    """What the model is worth.

    Attributes:
        document: Content of `metrics.json`: plain JSON values.
        flat: Numbers for the commit: `accuracy`, `accuracy_low`, `baseline_majority_accuracy`, …
        verdict: Passed, or refused with reasons.
    """

    document: dict[str, Any]
    flat: dict[str, float]
    verdict: Verdict


def assess(
    rows: EvaluatedRows,
    outcomes: Outcomes,
    statistics: Statistics,
    baselines: Sequence[Baseline],
    section: EvaluationSection,
) -> Assessment:
    """Measure the model beside its baselines and judge it.

    Args:
        rows: The test rows, at least one.
        outcomes: What the model's answers on them come to.
        statistics: What is measured.
        baselines: On the same rows.
        section: Recipe section `evaluation`.

    Raises:
        ConfigError: A threshold names a metric or a baseline that was not measured.
    """
    draws = Draws(section.bootstrap_samples, section.seed, rows.texts)
    sampled, estimated, measured = measure(outcomes, baselines, statistics, draws)
    total = outcomes.total()
    guard = statistics.flaws(total, shown(statistics.labels))
    bars = [bar for bar in section.thresholds if not bar.metric.startswith(UNSEEN)]
    verdict = judge_thresholds(bars, measured, guard if section.refuse_collapsed else ())
    document = {
        "format": FORMAT,
        "rows": len(outcomes),
        "texts": texts_of(rows.texts, len(outcomes)),
        "labels": list(statistics.labels),
        "metrics": as_dicts(measured.model),
        "baselines": {each.name: _baseline(each, estimated, measured) for each in baselines},
        "per_class": _per_label(statistics, total, sampled),
        **statistics.blocks(outcomes, rows.texts),
        "slices": _slices(rows, outcomes, statistics, section.slices, draws),
        "truncated": int(rows.truncated.sum()),
        "collapse": guard,
        "warnings": warn(bars, measured),
        "verdict": {"code": verdict.code, "reasons": list(verdict.reasons)},
        "bootstrap": {"samples": section.bootstrap_samples, "seed": section.seed, "level": 0.95},
    }
    return Assessment(document, _flat(document), verdict)


def measure(
    outcomes: Outcomes, baselines: Sequence[Baseline], statistics: Statistics, draws: Draws
) -> tuple[Bootstrap, dict[str, dict[str, Estimate]], Measured]:
    """Return the samples of model and baselines, their estimates by system and metric, the model's first, and both."""
    systems = {MODEL: outcomes} | {baseline.name: baseline.outcomes for baseline in baselines}
    points = {name: _points(statistics, each.total()) for name, each in systems.items()}
    sampled = bootstrap(systems, statistics, draws)
    for baseline in baselines:
        for metric in statistics.catalogue.no_baseline:
            del points[baseline.name][metric]
    estimated = {name: _estimates(found, sampled.metrics[name]) for name, found in points.items()}
    measured = Measured(
        statistics.catalogue,
        estimated[MODEL],
        {baseline.name: _differences(baseline.name, points, sampled) for baseline in baselines},
        {baseline.name: baseline.title for baseline in baselines},
    )
    return sampled, estimated, measured


def _baseline(
    baseline: Baseline, estimated: Mapping[str, Mapping[str, Estimate]], measured: Measured
) -> dict[str, Any]:
    return {
        "title": baseline.title,
        "heading": baseline.heading,
        "description": baseline.description,
        "metrics": as_dicts(estimated[baseline.name]),
        "difference": as_dicts(measured.differences[baseline.name]),
    }


def _points(statistics: Statistics, totals: Totals) -> dict[str, float]:
    return {name: float(value) for name, value in statistics.measure(totals).items()}


def _estimates(points: Mapping[str, float], samples: Mapping[str, Floats]) -> dict[str, Estimate]:
    return {metric: estimate(value, samples[metric]) for metric, value in points.items()}


def _differences(baseline: str, points: Mapping[str, Mapping[str, float]], sampled: Bootstrap) -> dict[str, Estimate]:
    """Model minus baseline a metric, with paired intervals."""
    return {
        metric: estimate(
            points[MODEL][metric] - value, sampled.metrics[MODEL][metric] - sampled.metrics[baseline][metric]
        )
        for metric, value in points[baseline].items()
    }


def _per_label(statistics: Statistics, totals: Totals, sampled: Bootstrap) -> list[dict[str, Any]]:
    """The table by class or type, F1 with its interval (all 0 for one that neither occurs nor is answered)."""
    if not statistics.labels:
        return []
    found = statistics.by_label(totals)
    table = []
    for number, label in enumerate(statistics.labels):
        samples, value = sampled.label_f1[MODEL][:, number], float(found["f1"][number])
        f1 = Estimate(0.0, 0.0, 0.0) if np.isnan(samples).all() else estimate(value, samples)
        row: dict[str, Any] = {"label": label, "f1": f1.as_dict()}
        row |= {name: float(found[name][number]) for name in ("precision", "recall")}
        table.append(row | {name: int(found[name][number]) for name in ("support", "predicted")})
    return table


def _slices(
    rows: EvaluatedRows, outcomes: Outcomes, statistics: Statistics, columns: Sequence[str], draws: Draws
) -> dict[str, list[dict[str, Any]]]:
    names = rows.shown_names
    groups = {column: group(column, rows.lengths, rows.labels, names, rows.columns.get(column)) for column in columns}
    return measure_slices(groups, outcomes, statistics, draws)


def as_dicts(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    """Return plain JSON values."""
    return {metric: found.as_dict() for metric, found in estimates.items()}


def _flat(document: Mapping[str, Any]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for metric, found in document["metrics"].items():
        flat |= {metric: found["value"], f"{metric}_low": found["low"], f"{metric}_high": found["high"]}
    for name, baseline in document["baselines"].items():
        for metric, found in baseline["metrics"].items():
            stem = f"baseline_{name}_{metric}"
            flat |= {stem: found["value"], f"{stem}_low": found["low"], f"{stem}_high": found["high"]}
    return flat | {"test_rows": float(document["rows"]), "test_texts": float(document["texts"])}
