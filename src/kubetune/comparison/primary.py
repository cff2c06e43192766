"""The number that must rise: shown to rise, shown not to rise enough to matter, or neither."""

from dataclasses import dataclass

import numpy as np

from kubetune.comparison.paired import NORMAL, Discordance, mcnemar_gain, not_inferior, null_variance
from kubetune.comparison.power import rows_needed
from kubetune.comparison.resampling import Cells, macro_f1_difference, swap_test
from kubetune.comparison.spending import Spending
from kubetune.config.promotion import PromotionSection
from kubetune.evaluation.counts import Ints
from kubetune.evaluation.intervals import Estimate
from kubetune.evaluation.same_texts import texts_of


@dataclass(frozen=True)
class Primary:
    """What the metric of the rules did.

    Attributes:
        metric: Its name.
        candidate: Its value for the candidate.
        champion: Its value for the champion.
        gain: Candidate minus champion with its 95 % interval.
        rows: Test rows.
        texts: Distinct texts of them.
        p: One-sided p of "the candidate is no better".
        level: Level at which `p` is read.
        against: One-sided p of "the gain is the margin or more".
        shown: Whether a gain is shown.
        ruled_out: Whether a gain that matters is ruled out.
        to_show: Distinct texts in all at which a gain would show at the next comparison's level; None: at no number.
        to_rule_out: Distinct texts in all at which a gain that matters would be ruled out; None: at no number.
    """

    metric: str
    candidate: float
    champion: float
    gain: Estimate
    rows: int
    texts: int
    p: float
    level: float
    against: float
    shown: bool
    ruled_out: bool
    to_show: int | None
    to_rule_out: int | None


@dataclass(frozen=True)
class _Tested:
    """The two p-values, the interval, and the variance of one text under: no gain, a gain of the margin, as seen."""

    p: float
    against: float
    gain: Estimate
    variances: tuple[float, float, float]


def measure_primary(
    labels: Ints,
    answers: tuple[Ints, Ints],
    classes: int,
    rules: PromotionSection,
    spending: Spending,
    texts: Ints | None = None,
) -> Primary:
    """Measure and test the metric.

    Accuracy: exact McNemar. Macro-F1: the larger of two p-values, that of the randomisation test (exact for models
    that differ by chance alone, at every level) and that of the paired bootstrap (for models that err differently,
    where it allows for their unequal spread). All of them take a text with all its rows.

    Args:
        labels: True class numbers, shape (rows,), at least one.
        answers: Class numbers by the candidate and by the champion, each of shape (rows,).
        classes: Number of classes.
        rules: Metric, margin, alpha, power, resampling.
        spending: Level of this comparison.
        texts: Number of each row's text, shape (rows,); None: each row has its own.
    """
    if rules.metric == "accuracy":
        right = [given == labels for given in answers]
        tested = _accuracy(Discordance.of(right[0], right[1], texts), rules)
        values = [float(hits.mean()) for hits in right]
    else:
        cells = Cells(labels, answers, classes, texts)
        tested = _macro_f1(cells, rules, spending.level)
        values = [float(value[0]) for value in cells.macro_f1(cells.counts[None])]
    level, gain = spending.level, tested.gain.value
    at_none, at_margin, seen = tested.variances
    return Primary(
        metric=rules.metric,
        candidate=values[0],
        champion=values[1],
        gain=tested.gain,
        rows=len(labels),
        texts=texts_of(texts, len(labels)),
        p=tested.p,
        level=level,
        against=tested.against,
        shown=tested.p <= level,
        ruled_out=tested.against <= rules.alpha,
        to_show=rows_needed(gain, spending.next.level, rules.power, at_none, seen),
        to_rule_out=rows_needed(rules.margin - gain, rules.alpha, rules.power, at_margin, seen),
    )


def _accuracy(found: Discordance, rules: PromotionSection) -> _Tested:
    half = NORMAL.inv_cdf(0.975) * float(np.sqrt(found.variance / found.units))
    value, design = found.difference, found.units / found.effective
    at_margin = null_variance(found.swapped, rules.margin) * design
    return _Tested(
        p=mcnemar_gain(found),
        against=not_inferior(found.swapped, rules.margin),
        gain=Estimate(value, value - half, value + half),
        variances=(null_variance(found, 0) * design, at_margin, found.variance),
    )


def _macro_f1(cells: Cells, rules: PromotionSection, level: float) -> _Tested:
    sampled = macro_f1_difference(cells, rules.resamples, rules.seed)
    return _Tested(
        p=max(swap_test(cells, level, rules.seed), sampled.above(0.0)),
        against=sampled.below(rules.margin),
        gain=sampled.estimate,
        variances=(sampled.variance,) * 3,
    )
