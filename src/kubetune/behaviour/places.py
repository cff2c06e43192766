"""A suite run over a model whose answers point at places of a text: entities, or the answer to a question.

An answer is kept where it points at the same places, moved by what the perturbation did, under the same names.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

from kubetune.behaviour.cases import Case, Cases, Row, Usable, always, cases_of
from kubetune.behaviour.checks import FailedCase, shown_item
from kubetune.behaviour.edits import AnswerPlace, Edits, edited, edits_between, moved_place
from kubetune.behaviour.lexicons import shipped_lexicon
from kubetune.behaviour.renaming import ITEM_PERTURBATIONS, RENAME, Entities, entities_of, rename, swap_entity
from kubetune.behaviour.run import SuiteResult, distinct_items, suite_result
from kubetune.behaviour.suite import Kept, Suite
from kubetune.behaviour.templates import Item
from kubetune.errors import ConfigError, KubetuneError
from kubetune.text.shown import number, one_line

Find = Callable[[Sequence[Item]], Sequence[Sequence[AnswerPlace]]]
"""Items → the places that the answer to each points at."""
Changes = tuple[tuple[Edits, ...], ...]
"""Of each variant of a case, the edits of each of its texts."""
NAMES = "names"
"""Lexicon of names that `rename` draws from unless a suite names another."""


def run_place_suite(suite: Suite, find: Find, rows: Sequence[Row], seed: int, usable: Usable = always) -> SuiteResult:
    """Build every case, ask for all distinct items in one call, and judge test by test.

    Args:
        suite: Of tests that expect places.
        find: The model.
        rows: Rows that tests may draw, with their marked places.
        seed: Of everything drawn; equal arguments and an equal model give an equal result.
        usable: Whether an item can be answered; what cannot is no case.

    Raises:
        ConfigError: A test perturbs a column that items lack, or renames in items of one text.
        KubetuneError: Answers are missing, or point outside of their texts.
    """
    tests = [test for test in suite.tests if isinstance(test, Kept)]
    if len(tests) < len(suite.tests):
        raise KubetuneError(f"Suite {suite.name!r} has tests of another kind: it cannot be run on places.")
    marks = {row.texts: row.marks for row in rows}
    entities = entities_of([(texts, found) for texts, found in marks.items()])
    built = [_cases(test, suite, (rows, marks, entities), seed, usable) for test in tests]
    items = distinct_items([cases for cases, _ in built])
    answers = dict(zip(items, _checked(find(items) if items else [], items), strict=True))
    failures = [
        [_failure(case, edits, answers) for case, edits in zip(cases.cases, changed, strict=True)]
        for cases, changed in built
    ]
    return suite_result(suite.name, seed, len(items), [
        (test, cases, found) for test, (cases, _), found in zip(tests, built, failures, strict=True)
    ])  # fmt: skip


def _cases(
    test: Kept,
    suite: Suite,
    given: tuple[Sequence[Row], Mapping[Item, Sequence[AnswerPlace]], Entities],
    seed: int,
    usable: Usable,
) -> tuple[Cases, list[Changes]]:
    """Return the cases of a test, and what was done in each."""
    rows, marks, entities = given
    chosen = test.using or NAMES
    names = suite.lexicons.get(chosen) or [entry for group in shipped_lexicon(chosen) for entry in group]
    made: dict[tuple[Item, Item], tuple[Edits, ...]] = {}

    def vary(item: Item, stem: str) -> list[Item]:
        found: dict[Item, None] = {}
        for turn in range(test.variants):
            draw = Random(f"{stem}|{turn}|{item}".encode("utf-8", "surrogatepass"))
            edits = _edits(test, item, marks.get(item, ()), (entities, names), draw)
            if edits is not None:
                changed = tuple(map(edited, item, edits))
                found[changed] = None
                made[item, changed] = edits
        return list(found)

    found = cases_of(test, suite, rows, seed, usable, vary if test.perturb in ITEM_PERTURBATIONS else None)
    return found, [
        tuple(
            made.get((case.item, variant)) or tuple(map(edits_between, case.item, variant)) for variant in case.variants
        )
        for case in found.cases
    ]


def _edits(
    test: Kept, item: Item, marks: Sequence[AnswerPlace], lists: tuple[Entities, Sequence[str]], draw: Random
) -> tuple[Edits, ...] | None:
    entities, names = lists
    if test.perturb == RENAME:
        if len(item) < 2:
            raise ConfigError(f"Test {test.name!r} renames in both texts of an item, but its items have one text.")
        return rename(item, names, draw)
    one = swap_entity(item, test.column, marks, entities, draw)
    return None if one is None else tuple(one if place == test.column else () for place in range(len(item)))


def _checked(answers: Sequence[Sequence[AnswerPlace]], items: Sequence[Item]) -> Sequence[Sequence[AnswerPlace]]:
    if len(answers) != len(items):
        raise KubetuneError(f"There are {len(answers)} answers to {len(items)} items: one each is needed.")
    for item, found in zip(items, answers, strict=True):
        for mark in found:
            if not (0 <= mark.column < len(item) and 0 <= mark.start < mark.end <= len(item[mark.column])):
                raise KubetuneError("An answer points outside of its text.")
    return answers


def _failure(
    case: Case, edits: Sequence[tuple[Edits, ...]], answers: Mapping[Item, Sequence[AnswerPlace]]
) -> FailedCase | None:
    """Return what is wrong with a case: its clearest variant, or None where all of them passed."""
    before = answers[case.item]
    worst: tuple[float, Item, str] | None = None
    for variant, made in zip(case.variants, edits, strict=True):
        miss = _miss(case.item, variant, made, before, answers[variant])
        if miss is not None and (worst is None or miss[0] > worst[0]):
            worst = miss[0], variant, miss[1]
    if worst is None:
        return None
    clearness, variant, why = worst
    return FailedCase(
        shown_item(case.item), shown_item(variant), _said(variant, answers[variant]), why, round(clearness, 6)
    )


def _miss(
    item: Item, variant: Item, edits: tuple[Edits, ...], before: Sequence[AnswerPlace], after: Sequence[AnswerPlace]
) -> tuple[float, str] | None:
    """Return how clearly an answer was not kept, and a sentence; None: it was."""
    wanted: dict[tuple[int, int, int, str], AnswerPlace] = {}
    for mark in before:
        place = moved_place(mark.start, mark.end, edits[mark.column])
        if place is not None:
            wanted[mark.column, *place, mark.name] = mark
    replaced = _replaced(item, edits) - {key[:3] for key in wanted}  # of which nothing was said before
    got = {(mark.column, mark.start, mark.end, mark.name): mark for mark in after}
    lost = [mark for key, mark in wanted.items() if key not in got and not _touches(key, replaced)]
    new = [mark for key, mark in got.items() if key not in wanted and not _touches(key, replaced)]
    if not lost and not new:
        return None
    parts = [f"{_said(item, lost)} must stay"] if lost else []
    parts += [f"{_said(variant, new)} came up" if new else "nothing stands in its place"]
    return max(mark.score for mark in (*lost, *new)), ", but ".join(parts)


def _replaced(item: Item, edits: tuple[Edits, ...]) -> set[tuple[int, int, int]]:
    """Return where now stands what replaced characters that could be read, as (text, start, end)."""
    found = set()
    for column, made in enumerate(edits):
        for edit in made:
            place = moved_place(edit.start, edit.end, made)
            if place is not None and item[column][edit.start : edit.end].strip():
                found.add((column, *place))
    return found


def _touches(key: tuple[int, int, int, str], places: Iterable[tuple[int, int, int]]) -> bool:
    """Whether characters touch one of some places."""
    return any(key[0] == column and key[1] < end and start < key[2] for column, start, end in places)


def _said(item: Item, marks: Sequence[AnswerPlace]) -> str:
    """Return marks for a sentence."""
    shown = [
        f"{one_line(item[mark.column][mark.start : mark.end], 60)!r}"
        + (f" ({one_line(mark.name, 40)}, {number(mark.score, 2)})" if mark.name else f" ({number(mark.score, 2)})")
        for mark in marks[:3]
    ]
    return (", ".join(shown) + (", …" if len(marks) > 3 else "")) or "nothing"
