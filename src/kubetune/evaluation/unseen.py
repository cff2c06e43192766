"""Figures on labels that no row of training had: what a model answers that is asked with them, text by text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kubetune.config.evaluation import UNSEEN, UNSEEN_METRICS, EvaluationSection
from kubetune.contract import Verdict
from kubetune.evaluation.assessment import Assessment, as_dicts, measure
from kubetune.evaluation.intervals import Draws
from kubetune.evaluation.thresholds import judge_thresholds
from kubetune.metrics.base import Baseline, Floats, Ints
from kubetune.metrics.classes import ClassStatistics, Scores


@dataclass(frozen=True)
class UnseenFigures:
    """What the answers are worth.

    Attributes:
        document: Block `unseen` of `metrics.json`.
        flat: Numbers for the commit: `unseen_accuracy`, `unseen_accuracy_low`, `unseen_baseline_majority_accuracy`, …
        verdict: On the thresholds that name these figures.
    """

    document: dict[str, Any]
    flat: dict[str, float]
    verdict: Verdict


def unseen_figures(
    probabilities: Floats, truth: Ints, labels: Sequence[str], section: EvaluationSection, template: str
) -> UnseenFigures:
    """Measure answers with accuracy and macro F1, beside the commonest of the labels.

    Args:
        probabilities: Of each label for each text, shape (texts, labels).
        truth: Number of each text's label, shape (texts,); no text is there twice.
        labels: By number.
        section: Recipe section `evaluation`.
        template: What the labels were put into.
    """
    statistics = ClassStatistics(tuple(labels))
    outcomes = statistics.outcomes(truth, Scores.from_probabilities(probabilities, truth))
    baseline = _majority(truth, statistics)
    _, estimated, measured = measure(outcomes, [baseline], statistics, Draws(section.bootstrap_samples, section.seed))
    found = {system: {name: by[name] for name in UNSEEN_METRICS} for system, by in estimated.items()}
    difference = {name: measured.differences[baseline.name][name] for name in UNSEEN_METRICS}
    (model, majority) = found.values()
    by_label = statistics.by_label(outcomes.total())
    document = {
        "texts": len(truth),
        "template": template,
        "metrics": as_dicts(model),
        "baseline": {
            "name": baseline.name,
            "heading": baseline.heading,
            "description": baseline.description,
            "metrics": as_dicts(majority),
            "difference": as_dicts(difference),
        },
        "labels": [
            {"label": label, "texts": int(by_label["support"][number]), "recall": float(by_label["recall"][number])}
            for number, label in enumerate(labels)
        ],
    }
    flat: dict[str, float] = {f"{UNSEEN}texts": float(len(truth))}
    for stem, estimates in ((UNSEEN, model), (f"{UNSEEN}baseline_{baseline.name}_", majority)):
        for name, each in estimates.items():
            flat |= {f"{stem}{name}": each.value, f"{stem}{name}_low": each.low, f"{stem}{name}_high": each.high}
    asked = [bar for bar in section.thresholds if bar.metric.startswith(UNSEEN)]
    bars = [bar.model_copy(update={"metric": bar.metric.removeprefix(UNSEEN)}) for bar in asked]
    judged = judge_thresholds(bars, measured)
    return UnseenFigures(document, flat, Verdict(judged.code, tuple(f"unseen labels: {why}" for why in judged.reasons)))


def with_unseen(assessment: Assessment, figures: UnseenFigures | None) -> Assessment:
    """Return an assessment that has these figures too, and the verdict of both; None: as it is."""
    if figures is None:
        return assessment
    first, second = assessment.verdict, figures.verdict
    verdict = Verdict(first.code or second.code, (*first.reasons, *second.reasons))
    document = assessment.document | {
        "unseen": figures.document,
        "verdict": {"code": verdict.code, "reasons": list(verdict.reasons)},
    }
    return Assessment(document, assessment.flat | figures.flat, verdict)


def _majority(truth: Ints, statistics: ClassStatistics) -> Baseline:
    """Answer the label that most of these texts have, which is the best that one answer for all can be."""
    shares = np.bincount(truth, minlength=len(statistics.labels)) / len(truth)
    top = int(shares.argmax())
    probabilities = np.broadcast_to(shares, (len(truth), len(shares)))
    description = f"Always answers “{statistics.labels[top]}”, {shares[top]:.1%} of these texts."
    outcomes = statistics.outcomes(truth, Scores.from_probabilities(probabilities, truth))
    return Baseline("majority", "the commonest label", "Commonest label", description, outcomes)
