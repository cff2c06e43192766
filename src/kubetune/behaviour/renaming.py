"""Perturbations that need to know where entities stand: one becomes another of its type; a name becomes another one."""

import re
from collections.abc import Mapping, Sequence
from random import Random

from kubetune.behaviour.edits import AnswerPlace, Edit, Edits

SWAP_ENTITY = "swap-entity"
"""A marked entity of a row becomes another one of its type, out of the other rows."""
RENAME = "rename"
"""A name that stands in both texts of an item becomes another one, wherever it stands."""
ITEM_PERTURBATIONS = (SWAP_ENTITY, RENAME)
Entities = Mapping[str, Sequence[str]]
"""Type → texts of its entities."""
NAME = re.compile(r"\b[A-Z][a-z]{2,}\b")


def entities_of(rows: Sequence[tuple[Sequence[str], Sequence[AnswerPlace]]]) -> dict[str, list[str]]:
    """Return the distinct texts of marked entities by type, sorted.

    Args:
        rows: Texts and marks of each row.
    """
    found: dict[str, set[str]] = {}
    for texts, marks in rows:
        for mark in marks:
            found.setdefault(mark.name, set()).add(texts[mark.column][mark.start : mark.end])
    return {name: sorted(entities) for name, entities in found.items()}


def swap_entity(
    texts: Sequence[str], column: int, marks: Sequence[AnswerPlace], entities: Entities, draw: Random
) -> Edits | None:
    """Return the edit that makes one marked entity another one of its type; None: there is none, or no other."""
    places = [mark for mark in marks if mark.column == column]
    if not places:
        return None
    mark = draw.choice(places)
    old = texts[column][mark.start : mark.end]
    others = [text for text in entities.get(mark.name, ()) if text.casefold() != old.casefold()]
    return (Edit(mark.start, mark.end, draw.choice(others)),) if others else None


def rename(texts: Sequence[str], names: Sequence[str], draw: Random) -> tuple[Edits, ...] | None:
    """Return the edits of each text that make one name another one in all of them.

    A name is a capitalised word that stands in each of the texts and does not begin the first one, where any word has a
    capital.
    """
    first = [found.group() for found in NAME.finditer(texts[0]) if found.start() > 0]
    shared = sorted({name for name in first if all(_places(text, name) for text in texts)})
    others = [name for name in names if not any(name in text for text in texts)]
    if not shared or not others:
        return None
    old, new = draw.choice(shared), draw.choice(others)
    return tuple(tuple(Edit(start, end, new) for start, end in _places(text, old)) for text in texts)


def _places(text: str, name: str) -> list[tuple[int, int]]:
    return [found.span() for found in re.finditer(rf"\b{re.escape(name)}\b", text)]
