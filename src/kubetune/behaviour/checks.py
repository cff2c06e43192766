"""When a case fails, and how clearly: one rule a kind of test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.behaviour.cases import Case, Cases
from kubetune.behaviour.suite import AnyTest, Direction, MinimumFunctionality
from kubetune.behaviour.templates import Item
from kubetune.text.shown import number, one_line, signed

CEILING = 0.99
"""Beyond it, or below 1 minus it, a probability has no room left to move."""

Probabilities = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class FailedCase:
    """A failed case, fit to be shown: each text on one line and shortened; HTML is escaped by what renders it.

    Attributes:
        text: The input; its two texts parted by ` ¶ `.
        changed: The perturbed input that failed most clearly; None for minimum functionality.
        answer: Label predicted for `changed`, else for `text`.
        why: What was expected and what was found, with the probabilities.
        clearness: 0 … 1, by how much probability the case failed.
    """

    text: str
    changed: str | None
    answer: str
    why: str
    clearness: float


@dataclass(frozen=True)
class Miss:
    """A failed item: by how much probability, 0 … 1, and one sentence."""

    clearness: float
    why: str


def failures_of(
    test: AnyTest, found: Cases, scores: Probabilities, numbers: Mapping[Item, int], names: Sequence[str]
) -> list[FailedCase | None]:
    """Return what is wrong with each case of a test, None where it passed; in the order of its cases.

    Args:
        test: What is expected.
        found: Its cases.
        scores: Probabilities, shape (items, classes).
        numbers: Item → row of `scores`.
        names: Class names by column.
    """
    failures: list[FailedCase | None] = []
    for case in found.cases:
        before = scores[numbers[case.item]]
        if isinstance(test, MinimumFunctionality):
            miss = _wrong(test, before, names)
            failures.append(None if miss is None else _shown(case, None, before, miss, names))
            continue
        worst: tuple[Miss, Item] | None = None
        for variant in case.variants:
            after = scores[numbers[variant]]
            miss = _unmoved(test, before, after, names) if isinstance(test, Direction) else _moved(before, after, names)
            if miss is not None and (worst is None or miss.clearness > worst[0].clearness):
                worst = miss, variant
        failures.append(None if worst is None else _shown(case, worst[1], scores[numbers[worst[1]]], worst[0], names))
    return failures


def _wrong(test: MinimumFunctionality, found: Probabilities, names: Sequence[str]) -> Miss | None:
    right = [place for place, name in enumerate(names) if name in test.expect]
    answer = int(found.argmax())
    if answer in right:
        return None
    best = max(float(found[place]) for place in right)
    wanted = " or ".join(names[place] for place in right)
    why = f"{wanted} is right, but {names[answer]} has {number(found[answer], 2)} against {number(best, 2)}"
    return Miss(float(found[answer]) - best, why)


def _moved(before: Probabilities, after: Probabilities, names: Sequence[str]) -> Miss | None:
    former, answer = int(before.argmax()), int(after.argmax())
    if former == answer:
        return None
    why = (
        f"{names[former]} ({number(before[former], 2)}) must stay, but the answer became {names[answer]} "
        f"({number(after[answer], 2)})"
    )
    # Two lukewarm answers are less clear than two sure ones, whichever side is the surer.
    return Miss(min(float(before[former] - before[answer]), float(after[answer] - after[former])), why)


def _unmoved(test: Direction, before: Probabilities, after: Probabilities, names: Sequence[str]) -> Miss | None:
    place = names.index(test.label)
    return unmoved(test.label, test.moves, test.by, float(before[place]), float(after[place]))


def unmoved(what: str, moves: str, by: float, start: float, end: float) -> Miss | None:
    """Return how a number did not move as stated, or None.

    Args:
        what: Its name, which begins a sentence.
        moves: Of `Direction` or `Similar`.
        by: The same.
        start: Before.
        end: After.
    """
    up = moves.endswith("up")
    gain = end - start if up else start - end
    if moves == "stays":
        short, ok, rule = abs(gain) - by, abs(gain) <= by, f"may move by {by:g} at most"
    elif moves.startswith("not-"):
        short, ok, rule = gain - by, gain <= by, f"may move {'up' if up else 'down'} by {by:g} at most"
    else:
        no_room = end >= CEILING if up else end <= 1 - CEILING
        short, ok = by - gain, no_room or gain > by
        rule = f"must move {'up' if up else 'down'} by more than {by:g}"
    if ok:
        return None
    why = f"{what} {rule}, but went from {number(start, 2)} to {number(end, 2)} ({signed(end - start, 2)})"
    return Miss(min(1.0, max(0.0, short)), why)


def _shown(case: Case, variant: Item | None, found: Probabilities, miss: Miss, names: Sequence[str]) -> FailedCase:
    changed = None if variant is None else shown_item(variant)
    return FailedCase(shown_item(case.item), changed, names[int(found.argmax())], miss.why, round(miss.clearness, 6))


def shown_item(item: Item) -> str:
    """Return the texts of an item on one line, parted by ` ¶ `."""
    return " ¶ ".join(map(one_line, item))
