"""What the candidate must not lose: slices, capabilities and calibration, each shown to lose less than its margin.

A guard asks two questions. Is the loss below the margin (only then may the candidate be promoted), and is there a loss
at all (only then is it kept out, where the first is not shown)? Holm's correction runs over all guards for each
question. All guards must hold for a promotion, so it takes none for the bound on wrong promotions (intersection-union);
it makes each single statement in the report one that can be relied on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kubetune.comparison.graded import Grades
from kubetune.comparison.pair import Difference
from kubetune.comparison.paired import Discordance, holm, mcnemar_gain, not_inferior, null_variance, score_interval
from kubetune.comparison.power import rows_needed
from kubetune.comparison.rows import Case
from kubetune.config.promotion import GuardedSlice, PromotionSection
from kubetune.errors import ConfigError
from kubetune.evaluation.same_texts import numbered, texts_of
from kubetune.evaluation.slices import Groups
from kubetune.metrics.base import Floats, Ints
from kubetune.text.shown import one_line


def paired_capabilities(
    candidate: Mapping[Case, bool], champion: Mapping[Case, bool], sources: Mapping[Case, str] | None = None
) -> dict[str, Discordance]:
    """Return capability → paired counts over the cases that both met; "right" is passed.

    Args:
        candidate: Case → whether it passed.
        champion: The same of the champion.
        sources: Case → the template or test row that it was made of: such cases are alike. None: each has its own.
    """
    met: dict[str, list[Case]] = {}
    for case in sorted(candidate.keys() & champion.keys()):
        met.setdefault(case[0], []).append(case)
    return {capability: _paired(cases, (candidate, champion), sources) for capability, cases in met.items()}


def _paired(
    cases: list[Case], passed: tuple[Mapping[Case, bool], Mapping[Case, bool]], sources: Mapping[Case, str] | None
) -> Discordance:
    first, second = (np.array([found[case] for case in cases], dtype=bool) for found in passed)
    clusters = None if sources is None else numbered(sources[case] for case in cases)
    return Discordance.of(first, second, clusters, copies=False)


State = Literal["holds", "lost", "open", "small"]
Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Guard:
    """One thing that must not get worse.

    Attributes:
        name: As a sentence names it.
        unit: What it is counted in: `rows` of the test split, or `cases` of a behavioural suite.
        rows: Of it.
        clusters: Distinct texts of the rows, or distinct templates and test rows of the cases.
        share: Of the test texts; 0 for cases, which more labelled rows do not add to.
        difference: Candidate minus champion, above 0 is better.
        margin: Loss that still passes.
        within: One-sided p of "the loss is the margin or more".
        worse: One-sided p of "there is no loss".
        null_variance: Of one unit's difference at a loss of exactly the margin.
        variance: Of one unit's difference as seen.
        interval: 95 % interval of the difference.
        required: Whether it must be judged even where it is small.
    """

    name: str
    unit: Literal["rows", "cases"]
    rows: int
    clusters: int
    share: float
    difference: float
    margin: float
    within: float
    worse: float
    null_variance: float
    variance: float
    interval: tuple[float, float]
    required: bool = False

    @property
    def units(self) -> int:
        """What it is decided by: distinct texts, or cases."""
        return self.clusters if self.unit == "rows" else self.rows


@dataclass(frozen=True)
class Judged:
    """A guard with its verdict.

    Attributes:
        guard: What was asked.
        state: `holds`, `lost`, `open`, or `small` (too few rows: not asked).
        within: Holm's adjusted p of `guard.within`; 1 where it was not asked.
        worse: Holm's adjusted p of `guard.worse`; 1 where it was not asked.
        to_hold: Units of it in all at which it would hold, or be judged at all; None: at no number of them.
        to_lose: Units of it in all at which a loss would show; None: at no number of them.
    """

    guard: Guard
    state: State
    within: float = 1.0
    worse: float = 1.0
    to_hold: int | None = None
    to_lose: int | None = None


def paired_guard(name: str, found: Discordance, margin: float, of_texts: int, *, required: bool = False) -> Guard:
    """Return the guard of outcomes right or wrong.

    Args:
        name: As a sentence names it.
        found: Paired counts of the part.
        margin: Loss of accuracy that still passes.
        of_texts: Texts of the test split that the part is cut from; 0 for cases of a behavioural suite.
        required: Whether it must be judged even where it is small.
    """
    none = found.rows == 0
    return Guard(
        name=name,
        unit="rows" if of_texts else "cases",
        rows=found.rows,
        clusters=found.rows if found.clusters is None else found.clusters.count,
        share=found.units / of_texts if of_texts else 0.0,
        difference=found.difference,
        margin=margin,
        within=1.0 if none else not_inferior(found, margin),
        worse=1.0 if none else mcnemar_gain(found.swapped),
        null_variance=0.0 if none else null_variance(found, margin) * found.units / found.effective,
        variance=found.variance,
        interval=score_interval(found),
        required=required,
    )


def graded_guard(name: str, found: Grades, margin: float, of_texts: int, *, required: bool = False) -> Guard:
    """Return the guard of grades; see `paired_guard`. The margin is a loss of the mean grade."""
    return Guard(
        name=name,
        unit="rows",
        rows=found.rows,
        clusters=found.texts,
        share=found.texts / of_texts,
        difference=found.difference,
        margin=margin,
        within=found.above(-margin),
        worse=found.below(0.0),
        null_variance=found.variance,
        variance=found.variance,
        interval=found.interval,
        required=required,
    )


def calibration_guard(found: Difference, margin: float) -> Guard:
    """Return the guard of the calibration error, whose difference counts from candidate minus champion."""
    return Guard(
        name="calibration error",
        unit="rows",
        rows=found.rows,
        clusters=found.texts,
        share=1.0,
        difference=-found.estimate.value,
        margin=margin,
        within=found.below(margin),
        worse=found.above(0.0),
        null_variance=found.variance,
        variance=found.variance,
        interval=(-found.estimate.high, -found.estimate.low),
    )


def slice_guards(
    groups: Mapping[str, Groups],
    rules: PromotionSection,
    right: tuple[Marks, Marks] | tuple[Floats, Floats],
    texts: Ints | None = None,
) -> list[Guard]:
    """Return a guard for each part of each guarded slice; of two rules on one part the later one counts.

    Args:
        groups: Column → its disjoint parts.
        rules: Which slices must not lose.
        right: "Is right" of the candidate and of the champion, or their grades, each of shape (rows,).
        texts: Number of each row's text, shape (rows,); None: each row has its own.

    Raises:
        ConfigError: A guarded column was not cut.
    """
    found: dict[tuple[str, str], Guard] = {}
    for rule in rules.slices:
        if rule.column not in groups:
            known = ", ".join(groups) or "none"
            raise ConfigError(
                f"promotion.slices names the column {rule.column!r}; the test rows are cut by: {known}; name one of "
                "them, or list the column in data.columns.keep."
            )
        parts = _parts(groups[rule.column], rule, rules, (*right, texts))
        found |= {(rule.column, guard.name): guard for guard in parts}
    return list(found.values())


def judge_guards(guards: Sequence[Guard], rules: PromotionSection, level: float, later: float) -> list[Judged]:
    """Judge all guards together.

    Args:
        guards: Of one comparison.
        rules: Alpha of a loss, least rows, power.
        level: Level at which "the loss is below the margin" is read: what was spent on this comparison.
        later: Level of the next comparison, for the number of rows that would decide then.
    """
    asked = {number: guard for number, guard in enumerate(guards) if guard.units >= _least(guard, rules)}
    within = holm({number: guard.within for number, guard in asked.items()})
    worse = holm({number: guard.worse for number, guard in asked.items()})
    judged = []
    for number, guard in enumerate(guards):
        if number not in asked:
            judged.append(Judged(guard, "small", to_hold=_least(guard, rules)))
            continue
        state: State = "open"
        if within[number] <= level:
            state = "holds"
        elif worse[number] <= rules.alpha:
            state = "lost"
        gap, count = guard.difference + guard.margin, len(asked)
        holds = rows_needed(gap, later / count, rules.power, guard.null_variance, guard.variance)
        plain = guard.variance + guard.difference**2
        loses = rows_needed(-guard.difference, rules.alpha / count, rules.power, plain, guard.variance)
        judged.append(Judged(guard, state, within[number], worse[number], holds, loses))
    return judged


def _least(guard: Guard, rules: PromotionSection) -> int:
    """Calibration is of all rows, whose least number is another rule."""
    return 1 if guard.share == 1 else rules.minimum_slice_rows


def _parts(
    parts: Groups, rule: GuardedSlice, rules: PromotionSection, rows: tuple[NDArray[Any], NDArray[Any], Ints | None]
) -> list[Guard]:
    """`rows`: "is right" or grades of candidate and champion, and the number of the text, a row each."""
    margin = rules.slice_margin if rule.margin is None else rule.margin
    candidate, champion, texts = rows
    here, of_texts = dict(parts), texts_of(texts, len(candidate))
    found = []
    for part in rule.parts or list(here):
        name, required = f"slice {one_line(rule.column, 60)} “{one_line(part, 60)}”", bool(rule.parts)
        inside = here.get(part, np.zeros(len(candidate), dtype=bool))
        those = (candidate[inside], champion[inside], None if texts is None else texts[inside])
        if candidate.dtype == bool:
            counts = Discordance.of(*those) if part in here else Discordance(0, 0, 0)
            found.append(paired_guard(name, counts, margin, of_texts, required=required))
        else:
            found.append(graded_guard(name, Grades.of(*those), margin, of_texts, required=required))
    return found
