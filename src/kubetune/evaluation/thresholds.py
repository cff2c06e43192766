"""The gate: thresholds of the recipe and the guard against a collapsed model → a verdict with reasons."""

from collections.abc import Mapping, Sequence

import numpy as np

from kubetune.config.evaluation import LOWER_IS_BETTER, Threshold
from kubetune.contract import Verdict
from kubetune.errors import RefusedError
from kubetune.evaluation.counts import Ints
from kubetune.evaluation.intervals import Estimate
from kubetune.text.shown import digits_for, number, signed

COLLAPSED_SHARE = 0.99
"""A model that answers one class this often, much oftener than the class occurs, has collapsed."""
MARGIN = 0.01
"""How much oftener."""
CHANCE_MCC = 0.02
"""An MCC up to this is no better than chance."""
TITLES = {"majority": "the majority class", "tfidf": "tf-idf"}

Estimates = Mapping[str, Estimate]


def judge_thresholds(
    thresholds: Sequence[Threshold],
    measured: Estimates,
    differences: Mapping[str, Estimates],
    guard: Sequence[str] = (),
) -> Verdict:
    """Return the verdict with one sentence a miss.

    Args:
        thresholds: Of the recipe.
        measured: Metric → the model's estimate.
        differences: Baseline → metric → model minus baseline.
        guard: Reasons of `collapse`, which come first.
    """
    misses = [_miss(threshold, measured, differences) for threshold in thresholds]
    reasons = (*guard, *(miss for miss in misses if miss is not None))
    return Verdict(RefusedError.exit_code if reasons else 0, reasons)


def warn(thresholds: Sequence[Threshold], measured: Estimates, differences: Mapping[str, Estimates]) -> list[str]:
    """Return what a person should know of the bars before a first model serves: at most one sentence.

    A first model is compared with nobody, so that without a bar above tf-idf a network that learnt less than a bag of
    words would be promoted like any other.

    Args:
        thresholds: Of the recipe.
        measured: Metric → the model's estimate.
        differences: Baseline → metric → model minus baseline.
    """
    gains = differences.get("tfidf")
    asked = any(threshold.above_baseline == "tfidf" for threshold in thresholds)
    better = asked or gains is None or gains["macro_f1"].low > 0
    if thresholds and better:
        return []
    bars = "no thresholds" if not thresholds else "no threshold above tf-idf"
    found = ""
    if gains is not None:
        model, gain = measured["macro_f1"].value, gains["macro_f1"].value
        word = "is" if better else "is not shown to be better than tf-idf:"
        found = f"; macro F1 {word} {number(model, 3)} against {number(model - gain, 3)} of tf-idf"
    return [
        f"The recipe sets {bars}{found}: a first model is promoted all the same. Set evaluation.thresholds, for "
        "example {metric: macro_f1, above_baseline: tfidf}."
    ]


def collapse(labels: Ints, predictions: Ints, mcc: float, names: Sequence[str]) -> list[str]:
    """Return why the model has learnt nothing: one sentence, or none.

    Args:
        labels: True class numbers, shape (rows,).
        predictions: Predicted class numbers, shape (rows,).
        mcc: Matthews correlation of the two.
        names: Class names by number.
    """
    shares = np.bincount(predictions, minlength=len(names)) / len(predictions)
    top = int(shares.argmax())
    true = float((labels == top).mean())
    oftener = shares[top] - true >= MARGIN
    if shares[top] >= COLLAPSED_SHARE and (oftener or mcc <= CHANCE_MCC):
        return [
            f"collapsed to one class: {shares[top]:.1%} of {len(predictions):,} predictions are “{names[top]}”, which "
            f"{true:.1%} of the rows are; try a lower learning rate, more warm-up or another seed."
        ]
    if mcc <= CHANCE_MCC:
        return [
            f"no better than chance: MCC is {number(mcc)}, and more than {CHANCE_MCC} is needed to call the answers "
            "related to the labels."
        ]
    return []


def _miss(threshold: Threshold, measured: Estimates, differences: Mapping[str, Estimates]) -> str | None:
    if threshold.above_baseline is not None:
        return _baseline_miss(threshold, threshold.above_baseline, measured, differences)
    found = measured[threshold.metric]
    if threshold.at_least is not None:
        value, bar, word, end = _end(threshold, found.value, found.low), threshold.at_least, "at least", "low"
        missed = bar - value
    elif threshold.at_most is not None:
        value, bar, word, end = _end(threshold, found.value, found.high), threshold.at_most, "at most", "high"
        missed = value - bar
    else:
        raise ValueError("a threshold without a bar")
    if missed <= 0:
        return None
    digits = digits_for(missed)
    what: str = threshold.metric
    if threshold.bound == "interval":
        interval = f"{number(found.low, digits)} to {number(found.high, digits)}"
        what = f"{what} is {number(found.value, digits)} (95 % interval {interval}) and the {end} end of its interval"
    return f"{what} is {number(value, digits)}, {word} {bar:g} is required: missed by {number(missed, digits)}."


def _baseline_miss(
    threshold: Threshold, baseline: str, measured: Estimates, differences: Mapping[str, Estimates]
) -> str | None:
    """Compare gains: for metrics where less is better, the gain is baseline minus model."""
    difference = differences[baseline][threshold.metric]
    lower = threshold.metric in LOWER_IS_BETTER
    gain = -difference.value if lower else difference.value
    low, high = (-difference.high, -difference.low) if lower else (difference.low, difference.high)
    value = _end(threshold, gain, low)
    bar = threshold.at_least or 0.0
    if value > bar or (value == bar and bar != 0):
        return None
    digits = max(digits_for(bar - value), digits_for(value))
    model = measured[threshold.metric].value
    against = number(model - difference.value, digits)
    end = " at the low end of its interval" if threshold.bound == "interval" else ""
    wanted = "a gain above 0" if bar == 0 else f"a gain of at least {bar:g}"
    return (
        f"{threshold.metric} is {number(model, digits)} against {against} of {TITLES[baseline]}: "
        f"the gain is {signed(gain, digits)} (95 % interval {signed(low, digits)} to {signed(high, digits)}), "
        f"{wanted}{end} is required: missed by {number(bar - value, digits)}."
    )


def _end(threshold: Threshold, value: float, pessimistic: float) -> float:
    return pessimistic if threshold.bound == "interval" else value
