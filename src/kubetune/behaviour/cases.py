"""A suite, rows and a seed → the items that must be scored, test by test."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from kubetune.behaviour.edits import AnswerPlace
from kubetune.behaviour.lexicons import shipped_lexicon, shipped_lexicons
from kubetune.behaviour.perturbations import PAIR_ORDER, PAIR_SAME, perturb
from kubetune.behaviour.suite import AnyTest, Perturbed, RowInputs, Similar, Suite
from kubetune.behaviour.templates import Item, fill
from kubetune.errors import ConfigError
from kubetune.text.unicode_forms import normal_form

Usable = Callable[[Item], bool]
"""Whether an item can be answered at all; may raise, to stop the building of cases."""
Vary = Callable[[Item, str], Sequence[Item]]
"""An item and what to seed by → what perturbation makes of it, distinct."""
ID_DIGITS = 16
PASSES = ("expect", "label", "moves", "by", "may_gain", "ignore")
"""Fields of a test that say which answers pass."""


@dataclass(frozen=True)
class Row:
    """A row that tests may draw.

    Attributes:
        texts: One text, or two; as a user would send them, before cleaning.
        label: Class name; None where there is none.
        group: Equal for rows with the same text after cleaning; None: by the texts themselves.
        marks: Entities that stand in the texts, where that is known.
    """

    texts: Item
    label: str | None = None
    group: str | None = None
    marks: tuple[AnswerPlace, ...] = ()


@dataclass(frozen=True)
class Case:
    """One input of a test.

    Attributes:
        item: The input.
        source: Of what it was made, equal for cases of one template or one row: those are alike.
        variants: What perturbation made of it, distinct; empty for a minimum functionality test.
    """

    item: Item
    source: str
    variants: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Cases:
    """The cases of one test.

    Attributes:
        inputs: Filled templates or matching distinct rows that were there.
        cases: Those to which the test applies, at most `most`.
    """

    inputs: int
    cases: tuple[Case, ...]


def always(item: Item) -> bool:
    """Every item can be answered."""
    return True


def cases_of(
    test: AnyTest,
    suite: Suite,
    rows: Sequence[Row],
    seed: int,
    usable: Usable = always,
    vary: Vary | None = None,
) -> Cases:
    """Return the cases of one test; they depend on its name and not on the tests beside it.

    What is done to a text depends on the text and not on its place, so that a row keeps its case when others come or
    go. Rows with the very same texts are asked once.

    Args:
        test: Of `suite`.
        suite: For its lexicons.
        rows: All rows that may be drawn.
        seed: Equal arguments give equal cases.
        usable: An input of which it says no is no case, and such a perturbed text is not tried.
        vary: Perturbs an item; None: the test's perturbation of one of its texts.

    Raises:
        ConfigError: The perturbed column is one that the items lack.
    """
    stem = f"{seed}|{suite.name}|{test.name}"
    sources = _from_templates(test, suite, stem) if test.templates else _from_rows(test, rows)
    inputs = list(sources)
    if not isinstance(test, Perturbed):
        return Cases(len(inputs), tuple(Case(item, sources[item]) for item in inputs if usable(item)))
    if isinstance(test, Similar) and test.perturb is None:
        return _compared(sources, usable)
    most = test.rows.most if test.rows is not None else None
    order = list(range(len(inputs)))
    if most is not None:
        order.sort(key=lambda place: _digest(stem, *inputs[place]))
    groups = _groups(test.using, suite)
    found: dict[int, Case] = {}
    for place in order:
        if len(found) == most:
            break
        if not usable(inputs[place]):
            continue
        changed = _variants(test, inputs[place], stem, groups) if vary is None else vary(inputs[place], stem)
        variants = tuple(item for item in changed if item != inputs[place] and usable(item))
        if variants:
            found[place] = Case(inputs[place], sources[inputs[place]], variants)
    return Cases(len(inputs), tuple(found[place] for place in sorted(found)))


def _compared(sources: Mapping[Item, str], usable: Usable) -> Cases:
    """Return the cases of items of three texts: the first with the second, against the first with the third."""
    found = [Case(item[:2], source, ((item[0], item[2]),)) for item, source in sources.items()]
    return Cases(len(found), tuple(case for case in found if all(map(usable, (case.item, *case.variants)))))


def _groups(using: str | None, suite: Suite) -> list[list[str]] | None:
    """Return the entries that a test draws from; None: those of its perturbation."""
    if using is None:
        return None
    return [suite.lexicons[using]] if using in suite.lexicons else [list(group) for group in shipped_lexicon(using)]


def case_ids(test: AnyTest, cases: Sequence[Case]) -> list[str]:
    """Return a stable id a case: 16 hex digits of SHA-256 over what is asked and the case's texts.

    What is asked is the test's name and kind and what passes it, so that a case is never paired with one that asks
    something else of the same texts.
    """
    asked = test.model_dump_json(include={"name", "kind", *PASSES})
    return [
        _digest(asked, *(json.dumps(list(texts)) for texts in (case.item, *case.variants)))[:ID_DIGITS]
        for case in cases
    ]


def _digest(*texts: str) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _lexicons(suite: Suite) -> Mapping[str, Sequence[str]]:
    shipped = {name: [entry for group in shipped_lexicon(name) for entry in group] for name in shipped_lexicons()}
    return shipped | suite.lexicons


def _from_templates(test: AnyTest, suite: Suite, stem: str) -> dict[Item, str]:
    """Return the filled templates, with the source of each."""
    filled = fill(test.templates, _lexicons(suite), test.most, Random(stem))
    return {item: _source("template", template) for item, template in filled.items()}


def _from_rows(test: AnyTest, rows: Sequence[Row]) -> dict[Item, str]:
    """Return the distinct texts of the rows that are wanted, with the source of each."""
    wanted = test.rows if isinstance(test, Perturbed) and test.rows is not None else RowInputs()
    found: dict[Item, str] = {}
    for row in rows:
        if row.texts not in found and _wanted(row, wanted):
            found[row.texts] = _source("row", row.group or tuple(map(normal_form, row.texts)))
    return found


def _source(kind: str, made_of: str | Item) -> str:
    return f"{kind} {_digest(*((made_of,) if isinstance(made_of, str) else made_of))[:ID_DIGITS]}"


def _wanted(row: Row, wanted: RowInputs) -> bool:
    if wanted.labels and row.label not in wanted.labels:
        return False
    return wanted.longest_words is None or sum(len(text.split()) for text in row.texts) <= wanted.longest_words


def _variants(test: Perturbed, item: Item, stem: str, groups: list[list[str]] | None) -> tuple[Item, ...]:
    if test.perturb == PAIR_ORDER:
        return (item[::-1],) if len(item) == 2 and item[0] != item[1] else ()
    if test.perturb == PAIR_SAME:
        return ((item[0], item[0]),) if len(item) == 2 and item[0] != item[1] else ()
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
