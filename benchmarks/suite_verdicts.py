"""What the gate of stage `behave` and `compare` say of what suites found: shared by the benchmarks of suites."""

from collections.abc import Sequence

import numpy as np

from kubetune.behaviour.record import capability_rates, judge_behaviour
from kubetune.behaviour.run import SuiteResult
from kubetune.behaviour.suite import Suite
from kubetune.comparison.guards import paired_capabilities, paired_guard

MARGIN = 0.05
"""`promotion.capability_margin` as it is by default."""
LEVEL = 0.01


def change(candidate: SuiteResult, twin: SuiteResult, capability: str) -> tuple[bool, bool]:
    """Return what `compare` sees in the capability's cases: whether a loss is shown, and whether none is ruled out."""
    passed = [
        {(capability, case.test, case.case): case.passed for case in found.cases if case.capability == capability}
        for found in (candidate, twin)
    ]
    assert passed[0].keys() == passed[1].keys()
    sources = {(case.capability, case.test, case.case): case.source for case in twin.cases}
    guard = paired_guard(capability, paired_capabilities(*passed, sources)[capability], MARGIN, 0)
    return -guard.difference > MARGIN and guard.worse <= LEVEL, guard.within > LEVEL


def changes(pairs: Sequence[tuple[SuiteResult, SuiteResult]], capability: str) -> tuple[int, int]:
    """Return how many of the pairs show a loss, and in how many the candidate is held back."""
    found = np.array([change(*pair, capability) for pair in pairs])
    shown, held = found.sum(axis=0).tolist()
    return int(shown), int(held)


def named(suite: Suite, result: SuiteResult) -> set[str]:
    """Return the capabilities that the gate refuses."""
    return {reason.partition(": ")[0] for reason in judge_behaviour(suite, result).reasons}


def rate(suite: Suite, result: SuiteResult, capability: str) -> float:
    """Return the failure rate over all tests of the capability."""
    return capability_rates(suite, result.outcomes)[capability]["rate"]
