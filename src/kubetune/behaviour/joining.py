"""Perturbations that set the text of another row beside one: what is said of a text stays said of both."""

from collections.abc import Sequence
from random import Random

from kubetune.behaviour.swaps import append_sentence
from kubetune.behaviour.templates import Item

ROW_BEHIND, ROW_BEFORE = "row-behind", "row-before"
"""The text of another row is set behind, or before."""
ROW_PERTURBATIONS = (ROW_BEHIND, ROW_BEFORE)


def join(name: str, item: Item, column: int, others: Sequence[str], draw: Random) -> Item | None:
    """Return an item with one of other texts beside its own; None: there is no other.

    Args:
        name: Of `ROW_PERTURBATIONS`.
        item: The texts.
        column: Which of them gets another one beside it.
        others: Distinct texts, its own may be among them.
        draw: Seeded.
    """
    place = draw.randrange(len(others)) if others else 0
    drawn = [text for text in (*others[place:], *others[:1])[:2] if text != item[column]]
    if not drawn:
        return None
    other = drawn[0]
    first, second = (item[column], other) if name == ROW_BEHIND else (other, item[column])
    joined = append_sentence(first, draw, [[second]]) or ""
    return (*item[:column], joined, *item[column + 1 :])
