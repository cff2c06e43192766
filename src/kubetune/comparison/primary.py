"""The number that must rise: shown to rise, shown not to rise enough to matter, or neither."""

from dataclasses import dataclass

import numpy as np

from kubetune.comparison.pair import Pair
from kubetune.comparison.paired import NORMAL, Discordance, mcnemar_gain, not_inferior, null_variance
from kubetune.comparison.power import rows_needed
from kubetune.comparison.resampling import paired_difference, resampled, swap_test
from kubetune.comparison.spending import Spending
from kubetune.config.promotion import PromotionSection
from kubetune.evaluation.intervals import Estimate
from kubetune.evaluation.same_texts import texts_of


@dataclass(frozen=True)
class Primary:
    """What the metric of the rules did.

    Attributes:
        metric: Its name.
        title: Its name in a table.
        candidate: Its value for the candidate.
        champion: Its value for the champion.
        gain: How much better the candidate is, with its 95 % interval: candidate minus champion, or champion minus
            candidate where less is better.
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
    title: str
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


def measure_primary(pair: Pair, rules: PromotionSection, spending: Spending) -> Primary:
    """Measure and test the metric.

    A share of right answers, such as accuracy: exact McNemar. Any other metric: the larger of two p-values, that of the
    randomisation test (exact for models that differ by chance alone, at every level) and that of the paired bootstrap
    (for models that err differently, where it allows for their unequal spread). All of them take a text with all its
    rows.

    Args:
        pair: What both models' answers come to, and the metric.
        rules: Margin, alpha, power, resampling.
        spending: Level of this comparison.
    """
    metric = pair.statistics.metrics[pair.metric]
    if metric.share:
        tested = _share(Discordance.of(pair.candidate.right, pair.champion.right, pair.texts), rules)
    else:
        tested = _by_resampling(pair, rules, spending.level)
    values, rows = pair.values, len(pair.candidate)
    level, gain = spending.level, tested.gain.value
    at_none, at_margin, seen = tested.variances
    return Primary(
        metric=pair.metric,
        title=metric.title,
        candidate=values[0],
        champion=values[1],
        gain=tested.gain,
        rows=rows,
        texts=texts_of(pair.texts, rows),
        p=tested.p,
        level=level,
        against=tested.against,
        shown=tested.p <= level,
        ruled_out=tested.against <= rules.alpha,
        to_show=rows_needed(gain, spending.next.level, rules.power, at_none, seen),
        to_rule_out=rows_needed(rules.margin - gain, rules.alpha, rules.power, at_margin, seen),
    )


def _share(found: Discordance, rules: PromotionSection) -> _Tested:
    half = NORMAL.inv_cdf(0.975) * float(np.sqrt(found.variance / found.units))
    value, design = found.difference, found.units / found.effective
    at_margin = null_variance(found.swapped, rules.margin) * design
    return _Tested(
        p=mcnemar_gain(found),
        against=not_inferior(found.swapped, rules.margin),
        gain=Estimate(value, value - half, value + half),
        variances=(null_variance(found, 0) * design, at_margin, found.variance),
    )


def _by_resampling(pair: Pair, rules: PromotionSection, level: float) -> _Tested:
    cells = resampled(pair)
    sampled = paired_difference(cells, rules.resamples, rules.seed)
    return _Tested(
        p=max(swap_test(cells, level, rules.seed), sampled.above(0.0)),
        against=sampled.below(rules.margin),
        gain=sampled.estimate,
        variances=(sampled.variance,) * 3,
    )
