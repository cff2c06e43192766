"""What a perturbation did to a text, character by character: so that a place in one text is found in the other."""

from typing import NamedTuple


class AnswerPlace(NamedTuple):
    """A place that an answer points at.

    Attributes:
        column: Number of the text.
        start: First character.
        end: Character behind the last one.
        name: What the place is called: the type of an entity, or nothing.
        score: How sure the model is, 0 … 1.
    """

    column: int
    start: int
    end: int
    name: str
    score: float = 1.0


class Edit(NamedTuple):
    """Characters from `start` up to but without `end` were replaced by `text`."""

    start: int
    end: int
    text: str


Edits = tuple[Edit, ...]
"""In the order of the text, apart from each other."""


def edited(text: str, edits: Edits) -> str:
    """Return a text with its edits."""
    pieces, done = [], 0
    for edit in edits:
        pieces += [text[done : edit.start], edit.text]
        done = edit.end
    return "".join([*pieces, text[done:]])


def edits_between(before: str, after: str) -> Edits:
    """Return the edit of a perturbation that changed one place, or letters into others of as many characters.

    What was set before or behind a whole text is found as that; what else changed is one edit from the first character
    that differs to the last one.
    """
    if len(before) == len(after) and before.casefold() == after.casefold():
        return ()
    if after.endswith(before):
        return (Edit(0, 0, after[: len(after) - len(before)]),)
    first = _shared(before, after)
    last = _shared(before[first:][::-1], after[first:][::-1])
    return (Edit(first, len(before) - last, after[first : len(after) - last]),)


def moved_place(start: int, end: int, edits: Edits) -> tuple[int, int] | None:
    """Return where characters stand after the edits, or None where an edit begins or ends inside of them.

    What was replaced as a whole stands where its replacement does; what was set at a border is outside.
    """
    before = within = 0
    for edit in edits:
        grown = len(edit.text) - (edit.end - edit.start)
        if edit.end <= start:
            before += grown
        elif edit.start >= end:
            break
        elif start <= edit.start and edit.end <= end:
            within += grown
        else:
            return None
    return start + before, end + before + within


def _shared(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    most = min(len(one), len(other))
    return next((place for place in range(most) if one[place] != other[place]), most)
