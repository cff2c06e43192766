"""A suite run over a model that chooses any number of labels."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

from kubetune.behaviour.cases import Case, Row, Usable, Vary, always, cases_of
from kubetune.behaviour.checks import FailedCase, shown_item
from kubetune.behaviour.joining import ROW_PERTURBATIONS, join
from kubetune.behaviour.run import SuiteResult, distinct_items, suite_result
from kubetune.behaviour.suite import ChosenLabels, Suite
from kubetune.behaviour.templates import Item
from kubetune.errors import ConfigError, KubetuneError
from kubetune.text.shown import number, one_line

Choose = Callable[[Sequence[Item]], Sequence[Mapping[str, float]]]
"""Items → the labels that are chosen for each, with their probabilities."""
NONE = "no label"


def run_label_set_suite(
    suite: Suite, choose: Choose, rows: Sequence[Row], seed: int, usable: Usable = always
) -> SuiteResult:
    """Build every case, ask for all distinct items in one call, and judge test by test.

    Args:
        suite: Of tests that expect sets of labels.
        choose: The model.
        rows: Rows that tests may draw.
        seed: Of everything drawn; equal arguments and an equal model give an equal result.
        usable: Whether an item can be answered; what cannot is no case.

    Raises:
        ConfigError: A test perturbs a column that items lack.
        KubetuneError: The suite has tests of another kind, or answers are missing.
    """
    tests = [test for test in suite.tests if isinstance(test, ChosenLabels)]
    if len(tests) < len(suite.tests):
        raise KubetuneError(f"Suite {suite.name!r} has tests of another kind: it cannot be run on sets of labels.")
    cases = [cases_of(test, suite, rows, seed, usable, _joiner(test, rows)) for test in tests]
    items = distinct_items(cases)
    answers = choose(items) if items else []
    if len(answers) != len(items):
        raise KubetuneError(f"There are {len(answers)} answers to {len(items)} items: one each is needed.")
    chosen = dict(zip(items, answers, strict=True))
    return suite_result(suite.name, seed, len(items), [
        (test, found, [_failure(test, case, chosen) for case in found.cases])
        for test, found in zip(tests, cases, strict=True)
    ])  # fmt: skip


def _joiner(test: ChosenLabels, rows: Sequence[Row]) -> Vary | None:
    """Return what sets other rows beside an item; None: the test does something else."""
    if test.perturb not in ROW_PERTURBATIONS:
        return None
    column = test.column
    if any(column >= len(row.texts) for row in rows):
        raise ConfigError(f"Test {test.name!r} perturbs column {column}, which rows lack: set column to 0.")
    others = sorted({row.texts[column] for row in rows})

    def vary(item: Item, stem: str) -> list[Item]:
        found: dict[Item, None] = {}
        for turn in range(test.variants):
            draw = Random(f"{stem}|{turn}|{item}".encode("utf-8", "surrogatepass"))
            joined = join(test.perturb, item, column, others, draw)
            if joined is not None:
                found[joined] = None
        return list(found)

    return vary


def _failure(test: ChosenLabels, case: Case, chosen: Mapping[Item, Mapping[str, float]]) -> FailedCase | None:
    """Return what is wrong with a case: its clearest variant, or None where all of them passed."""
    before, worst = _counted(test, chosen[case.item]), None
    for variant in case.variants:
        after = _counted(test, chosen[variant])
        lost = {name: share for name, share in before.items() if name not in after}
        new = {} if test.may_gain else {name: share for name, share in after.items() if name not in before}
        if not lost and not new:
            continue
        clearness = max((*lost.values(), *new.values()))
        if worst is None or clearness > worst[0]:
            parts = [f"{_said(lost)} must stay"] if lost else []
            parts += [f"{_said(new)} came up" if new else f"{_said(after)} is chosen"]
            worst = clearness, variant, ", but ".join(parts)
    if worst is None:
        return None
    clearness, variant, why = worst
    return FailedCase(
        shown_item(case.item), shown_item(variant), _said(chosen[variant]), why, round(min(1.0, clearness), 6)
    )


def _counted(test: ChosenLabels, labels: Mapping[str, float]) -> dict[str, float]:
    return {name: share for name, share in labels.items() if name not in test.ignore}


def _said(labels: Mapping[str, float]) -> str:
    """Return labels for a sentence, the likeliest first."""
    order = sorted(labels, key=lambda name: -labels[name])
    shown = ", ".join(f"{one_line(name, 40)} ({number(labels[name], 2)})" for name in order[:3])
    return (shown + (", …" if len(labels) > 3 else "")) or NONE
