"""The gate: thresholds of the recipe and the guard against a model that learnt nothing → a verdict with reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kubetune.config.evaluation import Threshold
from kubetune.contract import Verdict
from kubetune.errors import ConfigError, RefusedError
from kubetune.evaluation.intervals import Estimate
from kubetune.metrics.catalogue import Catalogue
from kubetune.text.shown import digits_for, number, signed

Estimates = Mapping[str, Estimate]


@dataclass(frozen=True)
class Measured:
    """What bars are held against.

    Attributes:
        catalogue: The metrics.
        model: Metric → the model's estimate.
        differences: Baseline → metric → model minus baseline.
        titles: Baseline → its name in a sentence.
    """

    catalogue: Catalogue
    model: Estimates
    differences: Mapping[str, Estimates] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)

    def gain(self, baseline: str, metric: str) -> Estimate:
        """How much better than a baseline: for metrics where less is better, baseline minus model."""
        found = self.differences[baseline][metric]
        if not self.catalogue.metrics[metric].lower_is_better:
            return found
        return Estimate(-found.value, -found.high, -found.low)

    def against(self, baseline: str, metric: str, digits: int) -> str:
        """Return `0.8123 against 0.8000`: the model's value and the baseline's."""
        value = self.model[metric].value
        return f"{number(value, digits)} against {number(value - self.differences[baseline][metric].value, digits)}"


def judge_thresholds(thresholds: Sequence[Threshold], measured: Measured, guard: Sequence[str] = ()) -> Verdict:
    """Return the verdict with one sentence a miss.

    Args:
        thresholds: Of the recipe.
        measured: What the model and its baselines came to.
        guard: Why the model has learnt nothing at all, which comes first.

    Raises:
        ConfigError: A threshold names a metric or a baseline that was not measured.
    """
    misses = [_miss(threshold, measured) for threshold in thresholds]
    reasons = (*guard, *(miss for miss in misses if miss is not None))
    return Verdict(RefusedError.exit_code if reasons else 0, reasons)


def warn(thresholds: Sequence[Threshold], measured: Measured) -> list[str]:
    """Return what a person should know of the bars before a first model serves: at most one sentence.

    A first model is compared with nobody, so that without a bar above the strongest baseline a network that learnt less
    than a bag of words would be promoted like any other.

    Args:
        thresholds: Of the recipe.
        measured: What the model and its baselines came to.
    """
    catalogue, baseline = measured.catalogue, measured.catalogue.baselines[-1]
    main, there = catalogue.main, baseline in measured.differences
    asked = any(threshold.above_baseline == baseline for threshold in thresholds)
    better = asked or not there or measured.gain(baseline, main).low > 0
    if thresholds and better:
        return []
    title = measured.titles.get(baseline, baseline)
    bars = "no thresholds" if not thresholds else f"no threshold above {title}"
    found = ""
    if there:
        word = "is" if better else f"is not shown to be better than {title}:"
        found = f"; {catalogue.metrics[main].word} {word} {measured.against(baseline, main, 3)} of {title}"
    return [
        f"The recipe sets {bars}{found}: a first model is promoted all the same. Set evaluation.thresholds, for "
        f"example {{metric: {main}, above_baseline: {baseline}}}."
    ]


def _miss(threshold: Threshold, measured: Measured) -> str | None:
    if threshold.metric not in measured.model:
        known = ", ".join(measured.model)
        raise ConfigError(f"evaluation.thresholds names the metric {threshold.metric!r:.60}: allowed are {known}.")
    if threshold.above_baseline is not None:
        return _baseline_miss(threshold, threshold.above_baseline, measured)
    found = measured.model[threshold.metric]
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
    what = threshold.metric
    if threshold.bound == "interval":
        interval = f"{number(found.low, digits)} to {number(found.high, digits)}"
        what = f"{what} is {number(found.value, digits)} (95 % interval {interval}) and the {end} end of its interval"
    return f"{what} is {number(value, digits)}, {word} {bar:g} is required: missed by {number(missed, digits)}."


def _baseline_miss(threshold: Threshold, baseline: str, measured: Measured) -> str | None:
    if baseline not in measured.differences:
        known = ", ".join(measured.differences) or "none"
        raise ConfigError(f"evaluation.thresholds names the baseline {baseline!r:.60}: measured are {known}.")
    gain = measured.gain(baseline, threshold.metric)
    value = _end(threshold, gain.value, gain.low)
    bar = threshold.at_least or 0.0
    if value > bar or (value == bar and bar != 0):
        return None
    digits = max(digits_for(bar - value), digits_for(value))
    end = " at the low end of its interval" if threshold.bound == "interval" else ""
    wanted = "a gain above 0" if bar == 0 else f"a gain of at least {bar:g}"
    return (
        f"{threshold.metric} is {measured.against(baseline, threshold.metric, digits)} of {measured.titles[baseline]}: "
        f"the gain is {signed(gain.value, digits)} (95 % interval {signed(gain.low, digits)} to "
        f"{signed(gain.high, digits)}), "
        f"{wanted}{end} is required: missed by {number(bar - value, digits)}."
    )


def _end(threshold: Threshold, value: float, pessimistic: float) -> float:
    return pessimistic if threshold.bound == "interval" else value
