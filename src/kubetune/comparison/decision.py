"""One decision from one comparison: promote, keep the champion, or say what is missing to decide.

Promoted is only a candidate whose gain is shown at the level that was spent on this comparison and whose guards all
hold. All of that must be true at once, so the chance of promoting a candidate that is no better is at most that level,
and over the whole sequence on the same test rows at most alpha. Statements that keep the champion are made at alpha a
comparison: nothing changes by them, so nothing is spent on them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from kubetune.comparison import sentences
from kubetune.comparison.coarse import coarse_difference
from kubetune.comparison.guards import Guard, Judged, calibration_guard, judge_guards, paired_guard, slice_guards
from kubetune.comparison.pair import Difference, Pair
from kubetune.comparison.paired import Discordance, mcnemar
from kubetune.comparison.primary import Primary, measure_primary
from kubetune.comparison.spending import Spending
from kubetune.config.promotion import PromotionSection
from kubetune.contract import Verdict
from kubetune.errors import ConfigError, DataError
from kubetune.evaluation.intervals import Draws
from kubetune.evaluation.same_texts import texts_of
from kubetune.evaluation.slices import Groups
from kubetune.metrics.base import Ints, Outcomes, Statistics
from kubetune.text.shown import one_line

Outcome = Literal["promote", "keep", "undecided"]
FORMAT = 1


@dataclass(frozen=True)
class Comparison:
    """What both models' answers on the same test rows come to, in the same order.

    Attributes:
        candidate: Of the candidate.
        champion: Of the champion.
        statistics: What measures both.
        groups: Column → its disjoint parts, for the guarded slices.
        capabilities: Capability → paired counts over its behavioural cases; "right" is passed.
        texts: Number of each row's text, shape (rows,), from 0 and without gaps; None: each row has its own.
    """

    candidate: Outcomes
    champion: Outcomes
    statistics: Statistics
    groups: Mapping[str, Groups] = field(default_factory=dict)
    capabilities: Mapping[str, Discordance] = field(default_factory=dict)
    texts: Ints | None = None

    def __post_init__(self) -> None:
        grouped = () if self.texts is None else (self.texts,)
        sizes = sorted({len(numbers) for numbers in (self.candidate, self.champion, *grouped)})
        if len(sizes) > 1 or sizes == [0]:
            raise DataError(
                "paired-rows",
                f"candidate and champion have {', '.join(map(str, sizes))} rows; both models must answer the same "
                "rows, at least one: score the champion on the candidate's test rows.",
            )
        if self.candidate.size != self.champion.size:
            raise DataError(
                "paired-classes",
                f"the candidate is counted by {self.candidate.size} numbers and the champion by {self.champion.size}; "
                "both models must answer with the same classes: map the champion's labels to the candidate's.",
            )

    def __len__(self) -> int:
        return len(self.candidate)

    def by(self, metric: str) -> Pair:
        """Return the two, to be compared by a metric."""
        return Pair(self.candidate, self.champion, self.statistics, metric, self.texts)


@dataclass(frozen=True)
class Decision:
    """What is to become of the candidate.

    Attributes:
        outcome: `promote`, `keep` or `undecided`.
        reasons: One sentence each, with numbers; what decided comes first.
        rows_wanted: Further labelled rows, each with a text of its own, that would decide; None where decided, or
            where rows alone would not.
        spent: Whether a comparison was made, which the count on these test rows must include.
        document: All numbers as plain JSON values, for the record and the report.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    rows_wanted: int | None = None
    spent: bool = False
    document: Mapping[str, Any] = field(default_factory=dict)


def decide(thresholds: Verdict, comparison: Comparison | None, rules: PromotionSection, earlier: int = 0) -> Decision:
    """Decide.

    Args:
        thresholds: What `evaluate` and `behave` thought of the candidate by itself.
        comparison: With the champion; None where there is none, so that the thresholds alone decide.
        rules: Recipe section `promotion`.
        earlier: Comparisons that were already made on the same test rows, this one left out.

    Raises:
        ConfigError: A guarded column is not among the comparison's groups, or the metric is none to compare by.
    """
    if not thresholds.passed:
        return Decision("keep", thresholds.reasons or ("The candidate missed its own thresholds.",))
    if comparison is None:
        asked = rules.gate == "champion"
        why = "There is no champion" if asked else "promotion.gate is thresholds, so nobody was compared"
        return Decision("promote", (f"{why}, and the candidate passed every threshold.",))
    rows, texts = len(comparison), texts_of(comparison.texts, len(comparison))
    if texts < rules.minimum_rows:
        missing = rules.minimum_rows - texts
        return Decision("undecided", (sentences.of_few(rows, texts, rules),), rows_wanted=missing)
    return _compare(comparison, rules, Spending(rules.alpha, earlier))


def _compare(comparison: Comparison, rules: PromotionSection, spending: Spending) -> Decision:
    right = (comparison.candidate.right, comparison.champion.right)
    found = Discordance.of(*right, comparison.texts)
    primary = measure_primary(comparison.by(_metric(comparison.statistics, rules)), rules, spending)
    calibration = _calibration(comparison, rules)
    grades = (comparison.candidate.scores, comparison.champion.scores)
    graded = comparison.statistics.catalogue.graded
    asked = slice_guards(comparison.groups, rules, grades if graded else right, comparison.texts)
    asked += _further_guards(comparison.capabilities, calibration, rules)
    guards = judge_guards(asked, rules, spending.level, spending.next.level)
    outcome = _outcome(primary, guards)
    wanted = _rows_wanted(primary, guards) if outcome == "undecided" else None
    reasons = [sentences.of_metric(primary, rules), *([] if graded else [sentences.of_outcomes(found)])]
    named = [judged for judged in _worst_first(guards) if judged.state != "small" or judged.guard.required]
    rendered = [sentences.of_guard(judged, rules, spending.level) for judged in named] + sentences.of_small(
        guards, rules
    )
    blocked = outcome == "keep" and not primary.ruled_out
    reasons = [*rendered, *reasons] if blocked else [*reasons, *rendered]
    cases = any(_blocks(judged) and judged.guard.unit == "cases" for judged in guards)
    few = any(judged.state == "small" and judged.guard.required for judged in guards)
    reasons += [sentences.of_rows(wanted, rules, primary, cases=cases, few=few)] if outcome == "undecided" else []
    document = {
        "format": FORMAT,
        "outcome": outcome,
        "rows": len(comparison),
        "texts": primary.texts,
        "rows_wanted": wanted,
        "metric": asdict(primary),
        "mcnemar": asdict(found) | {"p": mcnemar(found)},
        "calibration": calibration and calibration.estimate.as_dict(),
        "guards": [asdict(judged) for judged in guards],
        "spending": asdict(spending) | {"number": spending.number, "level": spending.level, "left": spending.left},
    }
    return Decision(outcome, (*reasons, sentences.of_spending(spending)), wanted, True, document)


def _metric(statistics: Statistics, rules: PromotionSection) -> str:
    """Return the metric that must improve."""
    name = rules.metric or statistics.main
    known = [each for each, metric in statistics.metrics.items() if metric.decides]
    if name not in known:
        raise ConfigError(f"promotion.metric is {name!r:.60}: allowed are {', '.join(known)}.")
    return name


def _calibration(comparison: Comparison, rules: PromotionSection) -> Difference | None:
    """Return what the calibration error did; None: the task has none."""
    name = comparison.statistics.calibration
    draws = Draws(rules.resamples, rules.seed, comparison.texts)
    return None if name is None else coarse_difference(comparison.by(name), draws)


def _further_guards(
    capabilities: Mapping[str, Discordance], calibration: Difference | None, rules: PromotionSection
) -> list[Guard]:
    found = [
        paired_guard(f"capability “{one_line(name, 60)}”", counts, rules.capability_margin, 0)
        for name, counts in capabilities.items()
    ]
    if rules.calibration_margin is not None and calibration is not None:
        found.append(calibration_guard(calibration, rules.calibration_margin))
    return found


def _outcome(primary: Primary, guards: Sequence[Judged]) -> Outcome:
    if primary.ruled_out or any(judged.state == "lost" for judged in guards):
        return "keep"
    return "promote" if primary.shown and not any(map(_blocks, guards)) else "undecided"


def _blocks(judged: Judged) -> bool:
    return judged.state == "open" or (judged.state == "small" and judged.guard.required)


def _rows_wanted(primary: Primary, guards: Sequence[Judged]) -> int | None:
    """Return further rows for the nearer of two ends: everything that is open holds, or one thing is shown against.

    Each has a text of its own. Open capabilities are left out: they need cases, which their own sentences count.
    """
    to_promote = [] if primary.shown else [_more(primary.to_show, primary.texts)]
    to_keep = [_more(primary.to_rule_out, primary.texts)]
    for judged in guards:
        if _blocks(judged) and judged.guard.unit == "rows":
            share = judged.guard.share
            to_promote.append(_more(judged.to_hold, judged.guard.units, share))
            to_keep.append(_more(judged.to_lose, judged.guard.units, share))
    if not to_promote:
        return None
    ends = [rows for rows in to_keep if rows is not None]
    all_hold = [rows for rows in to_promote if rows is not None]
    if len(all_hold) == len(to_promote):
        ends.append(max(all_hold))
    return min(ends, default=None)


def _more(needed: int | None, texts: int, share: float = 1.0) -> int | None:
    """Further test rows that bring a part of this share from `texts` to `needed`; None: no number does."""
    if needed is None or share == 0:
        return None
    return max(1, round((needed - texts) / share))


def _worst_first(guards: Sequence[Judged]) -> list[Judged]:
    order = {"lost": 0, "open": 1, "small": 2, "holds": 3}
    return sorted(guards, key=lambda judged: (order[judged.state], judged.guard.difference))
