"""Answers on the test rows → everything that `metrics.json` says, the verdict included."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.config.evaluation import EvaluationSection
from kubetune.contract import Verdict
from kubetune.evaluation.baselines import Baseline
from kubetune.evaluation.counts import Ints
from kubetune.evaluation.intervals import Bootstrap, Draws, Estimate, bootstrap, estimate
from kubetune.evaluation.metrics import METRICS, Scores, calibration_table, confusion, measure, per_class
from kubetune.evaluation.same_texts import texts_of
from kubetune.evaluation.slices import group, measure_slices
from kubetune.evaluation.thresholds import collapse, judge_thresholds, warn
from kubetune.text.shown import one_line

FORMAT = 1
MODEL = "model"


@dataclass(frozen=True)
class EvaluatedRows:
    """What is known of the test rows without a model; arrays have shape (rows,).

    Attributes:
        labels: True class numbers.
        lengths: Tokens.
        truncated: Whether tokens were cut off.
        names: Class names by number.
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
        """Class names fit for a sentence: labels are data, hence untrusted."""
        return tuple(one_line(name, 60) or "(empty)" for name in self.names)


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
    rows: EvaluatedRows, scores: Scores, baselines: Sequence[Baseline], section: EvaluationSection
) -> Assessment:
    """Measure the model beside its baselines and judge it.

    Args:
        rows: The test rows, at least one.
        scores: The model's answers on them.
        baselines: Answers of the baselines on the same rows.
        section: Recipe section `evaluation`.
    """
    systems = {MODEL: scores} | {baseline.name: baseline.scores for baseline in baselines}
    points = {name: measure(rows.labels, answers) for name, answers in systems.items()}
    draws = Draws(section.bootstrap_samples, section.seed, rows.texts)
    sampled = bootstrap(rows.labels, systems, len(rows.names), draws)
    measured = {
        name: {metric: estimate(points[name][metric], sampled.metrics[name][metric]) for metric in METRICS}
        for name in systems
    }
    differences = {baseline.name: _differences(baseline.name, points, sampled) for baseline in baselines}
    guard = collapse(rows.labels, scores.predictions, points[MODEL]["mcc"], rows.shown_names)
    verdict = judge_thresholds(
        section.thresholds, measured[MODEL], differences, guard if section.refuse_collapsed else ()
    )
    document = {
        "format": FORMAT,
        "rows": len(rows.labels),
        "texts": texts_of(rows.texts, len(rows.labels)),
        "labels": list(rows.names),
        "metrics": _as_dicts(measured[MODEL]),
        "baselines": {
            baseline.name: {
                "title": baseline.title,
                "description": baseline.description,
                "metrics": _as_dicts(measured[baseline.name]),
                "difference": _as_dicts(differences[baseline.name]),
            }
            for baseline in baselines
        },
        "per_class": _per_class(rows, scores, sampled),
        "confusion": confusion(rows.labels, scores.predictions, len(rows.names)).tolist(),
        "calibration": calibration_table(scores.confidence, scores.predictions == rows.labels, rows.texts),
        "slices": _slices(rows, scores, section.slices, draws),
        "truncated": int(rows.truncated.sum()),
        "collapse": guard,
        "warnings": warn(section.thresholds, measured[MODEL], differences),
        "verdict": {"code": verdict.code, "reasons": list(verdict.reasons)},
        "bootstrap": {"samples": section.bootstrap_samples, "seed": section.seed, "level": 0.95},
    }
    return Assessment(document, _flat(document), verdict)


def _differences(baseline: str, points: Mapping[str, Mapping[str, float]], sampled: Bootstrap) -> dict[str, Estimate]:
    """Model minus baseline a metric, with paired intervals."""
    return {
        metric: estimate(
            points[MODEL][metric] - points[baseline][metric],
            sampled.metrics[MODEL][metric] - sampled.metrics[baseline][metric],
        )
        for metric in METRICS
    }


def _per_class(rows: EvaluatedRows, scores: Scores, sampled: Bootstrap) -> list[dict[str, Any]]:
    """The per-class table, F1 with its interval (all 0 for a class that neither occurs nor is predicted)."""
    table = per_class(rows.labels, scores.predictions, rows.names)
    for number, row in enumerate(table):
        samples = sampled.class_f1[MODEL][:, number]
        found = Estimate(0.0, 0.0, 0.0) if np.isnan(samples).all() else estimate(row["f1"], samples)
        row["f1"] = found.as_dict()
    return table


def _slices(
    rows: EvaluatedRows, scores: Scores, columns: Sequence[str], draws: Draws
) -> dict[str, list[dict[str, Any]]]:
    names = rows.shown_names
    groups = {column: group(column, rows.lengths, rows.labels, names, rows.columns.get(column)) for column in columns}
    return measure_slices(groups, rows.labels, scores.predictions, len(names), draws)


def _as_dicts(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
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
