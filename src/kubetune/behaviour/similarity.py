"""A suite run over a model that gives two texts a number: how alike they are."""

from collections.abc import Callable, Sequence

import numpy as np

from kubetune.behaviour.cases import Case, Row, Usable, always, cases_of
from kubetune.behaviour.checks import FailedCase, Miss, shown_item, unmoved
from kubetune.behaviour.run import SuiteResult, distinct_items, suite_result
from kubetune.behaviour.suite import Similar, Suite
from kubetune.behaviour.templates import Item
from kubetune.errors import KubetuneError
from kubetune.text.shown import number

Compare = Callable[[Sequence[Item]], Sequence[float]]
"""Pairs of texts → how alike the two of each are."""


def run_similarity_suite(
    suite: Suite, compare: Compare, rows: Sequence[Row], seed: int, usable: Usable = always
) -> SuiteResult:
    """Build every case, ask for all distinct pairs in one call, and judge test by test.

    Args:
        suite: Of tests that expect a similarity.
        compare: The model.
        rows: Rows that tests may draw; their labels say whether their texts are alike.
        seed: Of everything drawn; equal arguments and an equal model give an equal result.
        usable: Whether a pair can be answered; what cannot is no case.

    Raises:
        KubetuneError: The suite has tests of another kind, or numbers are missing or not finite.
    """
    tests = [test for test in suite.tests if isinstance(test, Similar)]
    if len(tests) < len(suite.tests):
        raise KubetuneError(f"Suite {suite.name!r} has tests of another kind: it cannot be run on similarities.")
    cases = [cases_of(test, suite, rows, seed, usable) for test in tests]
    items = distinct_items(cases)
    scores = np.asarray(compare(items) if items else [], dtype=np.float64)
    if scores.shape != (len(items),) or not np.isfinite(scores).all():
        raise KubetuneError(f"Similarities of {len(items)} pairs must be as many finite numbers.")
    alike = dict(zip(items, scores.tolist(), strict=True))
    return suite_result(suite.name, seed, len(items), [
        (test, found, [_failure(test, case, alike) for case in found.cases])
        for test, found in zip(tests, cases, strict=True)
    ])  # fmt: skip


def _failure(test: Similar, case: Case, alike: dict[Item, float]) -> FailedCase | None:
    """Return what is wrong with a case: its clearest variant, or None where all of them passed."""
    worst: tuple[Miss, Item] | None = None
    for variant in case.variants:
        miss = unmoved("similarity", test.moves, test.by, alike[case.item], alike[variant])
        if miss is not None and (worst is None or miss.clearness > worst[0].clearness):
            worst = miss, variant
    if worst is None:
        return None
    miss, variant = worst
    answer = number(alike[variant], 2)
    return FailedCase(shown_item(case.item), shown_item(variant), answer, miss.why, round(miss.clearness, 6))
