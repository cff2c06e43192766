"""A suite, rows and a seed → the items that must be scored, test by test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from kubetune.behaviour.lexicons import shipped_lexicon, shipped_lexicons
from kubetune.behaviour.perturbations import PAIR_ORDER, perturb
from kubetune.behaviour.suite import AnyTest, Perturbed, RowInputs, Suite
from kubetune.behaviour.templates import Item, fill
from kubetune.errors import ConfigError


@dataclass(frozen=True)
class Row:
    """A row that tests may draw.

    Attributes:
        texts: One text, or two; as a user would send them, before cleaning.
        label: Class name; None where there is none.
    """

    texts: Item
    label: str | None = None


@dataclass(frozen=True)
class Case:
    """One input of a test.

    Attributes:
        item: The input.
        variants: What perturbation made of it, distinct; empty for a minimum functionality test.
    """

    item: Item
    variants: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Cases:
    """The cases of one test.

    Attributes:
        inputs: Filled templates or matching rows that were there.
        cases: Those to which the test applies, at most `most`.
    """

    inputs: int
    cases: tuple[Case, ...]


def cases_of(test: AnyTest, suite: Suite, rows: Sequence[Row], seed: int) -> Cases:
    """Return the cases of one test; they depend on its name and not on the tests beside it.

    Args:
        test: Of `suite`.
        suite: For its lexicons.
        rows: All rows that may be drawn.
        seed: Equal arguments give equal cases.

    Raises:
        ConfigError: The perturbed column is one that the items lack.
    """
    stem = f"{seed}|{suite.name}|{test.name}"
    if test.templates:
        inputs = fill(test.templates, _lexicons(suite), test.most, Random(stem))
    else:
        inputs = _from_rows(test, rows)
    if not isinstance(test, Perturbed):
        return Cases(len(inputs), tuple(Case(item) for item in inputs))
    most = test.rows.most if test.rows is not None else None
    order = list(range(len(inputs)))
    if most is not None:
        Random(stem).shuffle(order)
    groups = [suite.lexicons[test.using]] if test.using in suite.lexicons else None
    if test.using is not None and groups is None:
        groups = [list(group) for group in shipped_lexicon(test.using)]
    found: dict[int, Case] = {}
    for place in order:
        if len(found) == most:
            break
        variants = _variants(test, inputs[place], f"{stem}|{place}", groups)
        if variants:
            found[place] = Case(inputs[place], variants)
    return Cases(len(inputs), tuple(found[place] for place in sorted(found)))


def _lexicons(suite: Suite) -> Mapping[str, Sequence[str]]:
    shipped = {name: [entry for group in shipped_lexicon(name) for entry in group] for name in shipped_lexicons()}
    return shipped | suite.lexicons


def _from_rows(test: AnyTest, rows: Sequence[Row]) -> list[Item]:
    wanted = test.rows if isinstance(test, Perturbed) and test.rows is not None else RowInputs()
    return [row.texts for row in rows if _wanted(row, wanted)]


def _wanted(row: Row, wanted: RowInputs) -> bool:
    if wanted.labels and row.label not in wanted.labels:
        return False
    return wanted.longest_words is None or sum(len(text.split()) for text in row.texts) <= wanted.longest_words


def _variants(test: Perturbed, item: Item, stem: str, groups: list[list[str]] | None) -> tuple[Item, ...]:
    if test.perturb == PAIR_ORDER:
        return (item[::-1],) if len(item) == 2 and item[0] != item[1] else ()
    if test.column >= len(item):
        raise ConfigError(
            f"Test {test.name!r} perturbs column {test.column}, but its items have {len(item)} text: set column to 0."
        )
    found: dict[Item, None] = {}
    for number in range(test.variants):
        changed = _changed(test, item[test.column], f"{stem}|{number}", groups)
        if changed is not None:
            found[(*item[: test.column], changed, *item[test.column + 1 :])] = None
    return tuple(found)


def _changed(test: Perturbed, text: str, stem: str, groups: list[list[str]] | None) -> str | None:
    """Apply the perturbation `times` times; where it stops to apply, what it did so far counts."""
    changed = None
    for turn in range(test.times):
        further = perturb(test.perturb, changed or text, f"{stem}|{turn}", groups)
        if further is None:
            break
        changed = further
    return None if changed == text else changed
