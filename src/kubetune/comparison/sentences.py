"""The reasons of a decision: one sentence each, with its numbers."""

from collections.abc import Sequence

from kubetune.comparison.guards import Judged
from kubetune.comparison.paired import Discordance, mcnemar
from kubetune.comparison.primary import Primary
from kubetune.comparison.spending import Spending
from kubetune.config.promotion import PromotionSection
from kubetune.text.shown import digits_for, number, signed


def probability(value: float) -> str:
    """Return a p-value or a level with two digits that matter."""
    return f"{value:.2g}" if value >= 1e-4 or value == 0 else f"{value:.1e}"


def counted_rows(rows: int, texts: int) -> str:
    """Return the number of rows, and of distinct texts where some have the same one."""
    return f"{rows:,} rows" if texts == rows else f"{rows:,} rows of {texts:,} distinct texts"


def guarded(unit: str, rows: int, clusters: int) -> str:
    """Return what a guard is counted in, and of how many texts, or templates and test rows, where those are fewer."""
    if unit == "rows":
        return counted_rows(rows, clusters)
    return f"{rows:,} {unit}" + ("" if clusters == rows else f" from {clusters:,} templates or test rows")


def of_few(rows: int, texts: int, rules: PromotionSection) -> str:
    """Say that too few rows were found to test anything."""
    found, wanted = f"{rows:,} test rows were", "are required"
    if texts < rows:
        found, wanted = f"{rows:,} test rows of {texts:,} distinct texts were", "distinct texts are required"
    return (
        f"{found} found and at least {rules.minimum_rows:,} {wanted}, so nothing was tested and no alpha was spent: "
        f"label {rules.minimum_rows - texts:,} more{'' if texts == rows else ' texts'}."
    )


def of_metric(found: Primary, rules: PromotionSection) -> str:
    """Say what the metric did."""
    gain = found.gain
    digits = digits_for(gain.value)
    numbers = (
        f"{found.metric} is {number(found.candidate)} against {number(found.champion)} of the champion: "
        f"{signed(gain.value, digits)} (95 % interval {signed(gain.low, digits)} to {signed(gain.high, digits)}) on "
        f"{counted_rows(found.rows, found.texts)}"
    )
    if found.ruled_out and rules.margin:
        end = f"a gain of {rules.margin:g}, the smallest that matters, is ruled out (p {probability(found.against)} at "
        return f"{numbers}; {end}{probability(rules.alpha)})."
    if found.ruled_out:
        return f"{numbers}; it is worse (p {probability(found.against)} at {probability(rules.alpha)})."
    word = "is shown" if found.shown else "is not shown"
    return f"{numbers}; a gain {word} (p {probability(found.p)} at {probability(found.level)})."


def of_outcomes(found: Discordance) -> str:
    """Say on how many rows one model alone is right."""
    test = "exact McNemar"
    if found.units < found.rows:
        test = f"exact test by the {found.units:,} distinct texts"
    return (
        f"The candidate alone is right on {found.gained:,} of {found.rows:,} rows, the champion alone on "
        f"{found.lost:,} ({test}, two-sided p {probability(mcnemar(found))})."
    )


def of_guard(judged: Judged, rules: PromotionSection, level: float) -> str:
    """Say what became of one guard."""
    guard = judged.guard
    what = f"{guard.name} ({guarded(guard.unit, guard.rows, guard.clusters)})"
    if judged.state == "small":
        fewer = f"{what}: fewer than the {rules.minimum_slice_rows:,} that are needed"
        more = rules.minimum_slice_rows - guard.units
        kind = "rows" if guard.units == guard.rows else "texts"
        return (
            f"{fewer}; it is named in promotion.slices, so nothing is promoted without it: label {more:,} more {kind} "
            "of it, then it is judged."
        )
    change = f"{what}: {'gains' if guard.difference >= 0 else 'loses'} {number(abs(guard.difference))}"
    if judged.state == "holds":
        shown = f"(Holm p {probability(judged.within)} at {probability(level)})"
        return f"{change}; a loss of {guard.margin:g} is ruled out {shown}."
    if judged.state == "lost":
        shown = f"(Holm p {probability(judged.worse)} at {probability(rules.alpha)})"
        return f"{change}; it is worse than the champion's {shown} and a loss of {guard.margin:g} is not ruled out."
    shown = f"(Holm p {probability(judged.within)} at {probability(level)})"
    return f"{change}; a loss of {guard.margin:g} is not ruled out {shown}{_further(judged)}."


def of_small(judged: Sequence[Judged], rules: PromotionSection) -> list[str]:
    """Say how many parts are too small and may be, without their names: those may be a row's own words."""
    small = [each.guard for each in judged if each.state == "small" and not each.guard.required]
    parts = (
        "1 part of the guarded slices has" if len(small) == 1 else f"{len(small):,} parts of the guarded slices have"
    )
    kind = "rows" if all(guard.units == guard.rows for guard in small) else "distinct texts"
    return [f"{parts} fewer than {rules.minimum_slice_rows:,} {kind}; not judged."] if small else []


def of_spending(spending: Spending) -> str:
    """Say what was spent and what is left."""
    return (
        f"This is comparison {spending.number:,} on these test rows: {probability(spending.level)} of alpha "
        f"{spending.alpha:g} was spent on it, {probability(spending.left)} is left for all that follow."
    )


def of_rows(wanted: int | None, rules: PromotionSection, found: Primary, *, cases: bool, few: bool = False) -> str:
    """Say how many more labelled rows would decide.

    Args:
        wanted: Further test rows; None: rows would not.
        rules: For the chance of a decision.
        found: For the rows and texts that were there.
        cases: Whether a capability is open, which takes cases.
        few: Whether a slice that must be judged has too few rows, so that nobody knows yet what it will say.
    """
    if few:
        least = "" if wanted is None else f", about {wanted:,} more labelled test rows in all at the present shares"
        return f"The rows named above come first{least}; what else would decide is known once they can be judged."
    if wanted is None:
        more = "more cases of the capabilities would" if cases else "another candidate would"
        return f"No number of further labelled rows would decide while the differences stay as they are; {more}."
    also = " with texts of their own" if found.texts < found.rows else ""
    also += ", with the cases named above," if cases else ""
    return (
        f"About {wanted:,} more labelled test rows{also} would decide, with a chance of {rules.power:.0%}, if the "
        "differences stay as they are."
    )


def _further(judged: Judged) -> str:
    wanted = [units for units in (judged.to_hold, judged.to_lose) if units is not None]
    if not wanted:
        return ""
    guard = judged.guard
    kind = guard.unit if guard.unit == "cases" or guard.units == guard.rows else "texts"
    return f"; about {max(1, min(wanted) - guard.units):,} more {kind} of it would decide"
