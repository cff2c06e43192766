"""Sentences set before or behind a text, and words that strengthen or weaken one of its adjectives."""

import re
from collections.abc import Sequence
from random import Random

from kubetune.behaviour.swaps import Groups
from kubetune.behaviour.words import is_negation, replaced

CLOSED = re.compile(r"[.!?…][\"'”’)]*\Z")
STRONGER = ("very", "really", "extremely", "incredibly")
WEAKER = ("somewhat", "slightly", "fairly")
MEASURES = ("so", "too", "quite", "rather", "pretty", "more", "most", "less", "least", "bit", "super", "truly")
GRADED = frozenset((*STRONGER, *WEAKER, *MEASURES))
"""After one of these an adjective is graded already."""
REACH = 60
"""Characters before an adjective in which three words are sought: the whole text would be quadratic."""


def append_sentence(text: str, draw: Random, entries: Groups) -> str | None:
    """A listed sentence is set behind; an open text is closed with a full stop first."""
    body = text.rstrip()
    return f"{body if CLOSED.search(body) else body + '.'} {_one(draw, entries)}"


def prepend_sentence(text: str, draw: Random, entries: Groups) -> str | None:
    """A listed sentence is set before."""
    return f"{_one(draw, entries)} {text.lstrip()}"


def intensify(text: str, draw: Random, entries: Groups) -> str | None:
    """A listed adjective gets a word that strengthens it; negated and graded ones do not apply."""
    return _grade(text, draw, entries, STRONGER)


def soften(text: str, draw: Random, entries: Groups) -> str | None:
    """A listed adjective gets a word that weakens it; negated and graded ones do not apply."""
    return _grade(text, draw, entries, WEAKER)


def _grade(text: str, draw: Random, entries: Groups, words: Sequence[str]) -> str | None:
    listed = sorted({entry.lower() for group in entries for entry in group})
    places = []
    for found in re.finditer(rf"\b(?:{'|'.join(map(re.escape, listed))})\b", text, re.IGNORECASE):
        before = text[max(0, found.start() - REACH) : found.start()].lower().split()[-3:]
        article = before[-1:] in (["a"], ["an"])
        if before and not article and before[-1] not in GRADED and not any(map(is_negation, before)):
            places.append(found)
    if not places:
        return None
    found = draw.choice(places)
    return replaced(text, found.span(), f"{draw.choice(words)} {found.group()}")


def _one(draw: Random, entries: Groups) -> str:
    return draw.choice([entry for group in entries for entry in group])
