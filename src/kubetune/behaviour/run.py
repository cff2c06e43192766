"""A suite run over a classifier: capability × test with failure rate, interval, count and the clearest failures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.behaviour.cases import Cases, Row, Usable, always, case_ids, cases_of
from kubetune.behaviour.checks import FailedCase, failures_of
from kubetune.behaviour.proportions import clustered_wilson
from kubetune.behaviour.suite import AnyTest, Direction, MinimumFunctionality, Suite
from kubetune.behaviour.templates import Item
from kubetune.errors import ConfigError, KubetuneError

SHOWN = 5
"""Clearest failures a test."""
SUM_TOLERANCE = 1e-3
"""How far probabilities of an item may sum from 1: they may come from bf16."""

Score = Callable[[Sequence[Item]], NDArray[Any]]
"""Items → probabilities, shape (items, classes); cleaning and tokenising are its business."""


@dataclass(frozen=True)
class BehaviourOutcome:
    """One line of the table.

    Attributes:
        capability: Of the test.
        test: Its name.
        kind: `mft`, `inv` or `dir`.
        inputs: Filled templates or matching distinct rows that were there.
        count: Cases among them: those to which the perturbation applies.
        sources: Distinct templates or rows that the cases were made of.
        failures: Cases that failed.
        rate: `failures / count`; 0 without cases.
        low: Lower end of the 95 % interval of the rate, which allows for cases of one source being alike.
        high: Upper end.
        clearest: At most five failures, the clearest first.
        clusters: Source → its cases and its failures.
    """

    capability: str
    test: str
    kind: str
    inputs: int
    count: int
    sources: int
    failures: int
    rate: float
    low: float
    high: float
    clearest: tuple[FailedCase, ...]
    clusters: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseResult:
    """What became of one case.

    Attributes:
        capability: Of its test.
        test: Name of the test.
        case: Of `case_ids`: equal in another run with the same texts, unique in its test.
        source: Equal for cases that were made of one template or one row.
        passed: Whether it is no failure.
    """

    capability: str
    test: str
    case: str
    source: str
    passed: bool


@dataclass(frozen=True)
class SuiteResult:
    """What a suite found.

    Attributes:
        suite: Its name.
        seed: Of the cases.
        scored: Distinct items that were scored.
        outcomes: One a test, in the suite's order.
        left_out: One sentence a test that needs labels which the model lacks, and one of rows in other languages.
        cases: Every case, test by test in the suite's order.
    """

    suite: str
    seed: int
    scored: int
    outcomes: tuple[BehaviourOutcome, ...]
    left_out: tuple[str, ...]
    cases: tuple[CaseResult, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-able data without the single cases and their sources."""
        found = asdict(replace(self, cases=()))
        del found["cases"]
        for outcome in found["outcomes"]:
            del outcome["clusters"]
        return found


def run_suite(
    suite: Suite,
    score: Score,
    rows: Sequence[Row],
    seed: int,
    labels: Sequence[str] | None = None,
    usable: Usable = always,
) -> SuiteResult:
    """Build every case, score all distinct items in one call, and judge test by test.

    Args:
        suite: What to test.
        score: The classifier.
        rows: Rows that tests may draw, for example the whole test split.
        seed: Of everything drawn; equal arguments and an equal classifier give an equal result.
        labels: Class names by column of the scores; None: those of the suite, the optional ones last.
        usable: Whether an item can be scored; what cannot is no case.

    Raises:
        ConfigError: The model lacks labels of the suite, or a test perturbs a column that items lack.
        KubetuneError: The scores have a wrong shape, or are no probabilities.
    """
    names = (*suite.labels, *suite.optional_labels) if labels is None else tuple(labels)
    lacking = [name for name in suite.labels if name not in names]
    if lacking:
        raise ConfigError(
            f"Suite {suite.name!r} needs labels that the model lacks: {', '.join(lacking)}; it has {', '.join(names)}: "
            "set behaviour={}, choose another suite, or name the labels alike."
        )
    left_out = {test.name: why for test in suite.tests if (why := _inapplicable(test, names)) is not None}
    tests = [test for test in suite.tests if test.name not in left_out]
    cases = [cases_of(test, suite, rows, seed, usable) for test in tests]
    items = distinct_items(cases)
    numbers = {item: number for number, item in enumerate(items)}
    scores = _checked(score(items) if items else np.zeros((0, len(names))), len(items), len(names))
    judged = [
        (test, found, failures_of(test, found, scores, numbers, names))
        for test, found in zip(tests, cases, strict=True)
    ]
    return replace(suite_result(suite.name, seed, len(items), judged), left_out=tuple(left_out.values()))


def suite_result(
    suite: str, seed: int, scored: int, judged: Sequence[tuple[AnyTest, Cases, Sequence[FailedCase | None]]]
) -> SuiteResult:
    """Return what a suite found, of its tests, the cases of each and what was wrong with each case.

    Args:
        suite: Its name.
        seed: Of the cases.
        scored: Distinct items that were asked.
        judged: In the suite's order.
    """
    outcomes: list[BehaviourOutcome] = []
    results: list[CaseResult] = []
    for test, found, failures in judged:
        outcomes.append(_outcome(test, found, failures))
        ids = case_ids(test, found.cases)
        results += [
            CaseResult(test.capability, test.name, number, case.source, failure is None)
            for number, case, failure in zip(ids, found.cases, failures, strict=True)
        ]
    return SuiteResult(suite, seed, scored, tuple(outcomes), (), tuple(results))


def _inapplicable(test: AnyTest, names: Sequence[str]) -> str | None:
    """Return why a model with these labels cannot be tested, or None."""
    needed: Sequence[str] = ()
    if isinstance(test, MinimumFunctionality) and not set(test.expect) & set(names):
        needed = test.expect
    elif isinstance(test, Direction) and test.label not in names:
        needed = [test.label]
    return f"{test.name} is left out: the model has no label {' or '.join(needed)}." if needed else None


def distinct_items(cases: Sequence[Cases]) -> list[Item]:
    """Return every item of cases once, in their order."""
    return list(dict.fromkeys(item for found in cases for case in found.cases for item in (case.item, *case.variants)))


def _checked(scores: NDArray[Any], items: int, classes: int) -> NDArray[np.float64]:
    found = np.asarray(scores, dtype=np.float64)
    if found.shape != (items, classes):
        raise KubetuneError(f"Scores have the shape {found.shape}, {(items, classes)} is needed: one row an item.")
    if not (np.isfinite(found).all() and (found >= 0).all() and (abs(found.sum(axis=1) - 1) <= SUM_TOLERANCE).all()):
        raise KubetuneError("Scores are no probabilities: each row must be finite, at least 0 and sum to 1.")
    return found


def _outcome(test: AnyTest, found: Cases, outcomes: Sequence[FailedCase | None]) -> BehaviourOutcome:
    count, failures = len(found.cases), [failure for failure in outcomes if failure is not None]
    clusters: dict[str, tuple[int, int]] = {}
    for case, failure in zip(found.cases, outcomes, strict=True):
        cases, failed = clusters.get(case.source, (0, 0))
        clusters[case.source] = cases + 1, failed + (failure is not None)
    low, high = clustered_wilson(clusters.values())
    clearest = sorted(failures, key=lambda failure: -failure.clearness)[:SHOWN]  # stable: ties keep the cases' order
    return BehaviourOutcome(
        capability=test.capability,
        test=test.name,
        kind=test.kind,
        inputs=found.inputs,
        count=count,
        sources=len(clusters),
        failures=len(failures),
        rate=len(failures) / count if count else 0.0,
        low=low,
        high=high,
        clearest=tuple(clearest),
        clusters=clusters,
    )
