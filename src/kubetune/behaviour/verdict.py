"""The gate: bars of the suite's capabilities and what it found → a verdict with reasons."""

from kubetune.behaviour.run import BehaviourOutcome, SuiteResult
from kubetune.behaviour.suite import Capability, Suite
from kubetune.contract import Verdict
from kubetune.errors import RefusedError
from kubetune.evaluation.shown import digits_for, number


def judge_behaviour(suite: Suite, result: SuiteResult) -> Verdict:
    """Return the verdict with one sentence a miss.

    Each test is held to its capability's bar, so that a large easy test cannot hide a small failing one. A capability
    with a bar of which no test met a single case is a miss as well: nothing is known of it.
    """
    reasons = []
    for name, capability in suite.capabilities.items():
        outcomes = [outcome for outcome in result.outcomes if outcome.capability == name]
        if capability.at_most is None or not outcomes:
            continue  # without outcomes all its tests were left out, which `left_out` says
        if not any(outcome.count for outcome in outcomes):
            reasons.append(f"{name}: none of its tests applies to any row, so nothing is known; give it templates.")
        reasons += [reason for outcome in outcomes if (reason := _miss(capability, capability.at_most, outcome))]
    return Verdict(RefusedError.exit_code if reasons else 0, tuple(reasons))


def _miss(capability: Capability, bar: float, outcome: BehaviourOutcome) -> str | None:
    value = {"lower": outcome.low, "point": outcome.rate, "upper": outcome.high}[capability.bound]
    if outcome.count == 0 or value <= bar:
        return None
    digits = digits_for(value - bar)
    made = "" if outcome.sources == outcome.count else f" made of {outcome.sources:,} templates or rows"
    end = "" if capability.bound == "point" else f", whose {capability.bound} end is judged"
    return (
        f"{outcome.capability}: test “{outcome.test}” fails on {outcome.failures:,} of {outcome.count:,} cases{made} "
        f"(rate {number(outcome.rate, digits)}, 95 % interval {number(outcome.low, digits)} to "
        f"{number(outcome.high, digits)}{end}), at most {bar:g} is allowed: missed by {number(value - bar, digits)}."
    )
