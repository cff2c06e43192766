"""Slips of grammar, for suites of acceptability: each makes a correct sentence a wrong one."""

import itertools
import re
from random import Random
from types import MappingProxyType

from kubetune.behaviour.words import free_words, like_case, replaced

AGREES = MappingProxyType({"is": "are", "are": "is", "was": "were", "were": "was", "has": "have", "does": "do"})
SUBJECT_FIRST = re.compile(r"(?<=\w )(?:is|are|was|were|has|does)(?= \w)")
NO_ORDER = frozenset({"not", "never", "also", "often", "always", "still", "only", "just", "very", "and", "or", "but"})
"""Words that can change places with a neighbour and leave a sentence right."""


def break_agreement(text: str, draw: Random) -> str | None:
    """A form of be, have or do no longer agrees with its subject."""
    places = list(SUBJECT_FIRST.finditer(text))
    if not places or text.rstrip().endswith("?"):
        return None
    found = draw.choice(places)
    return replaced(text, found.span(), AGREES[found.group()])


def break_order(text: str, draw: Random) -> str | None:
    """An article or possessive changes places with the word after it."""
    words = free_words(text)
    places = [
        (first, second)
        for first, second in itertools.pairwise(words)
        if first.group().lower() in ("the", "a", "an", "my", "our", "their", "his")
        and second.group().lower() not in NO_ORDER
        and text[first.end() : second.start()] == " "
    ]
    if not places:
        return None
    first, second = draw.choice(places)
    turned = f"{like_case(second.group(), first.group())} {first.group().lower()}"
    return replaced(text, (first.start(), second.end()), turned)


def repeat_word(text: str, draw: Random) -> str | None:
    """A listed little word stands twice."""
    little = ("the", "a", "of", "to", "is", "was", "in")
    places = [found for found in free_words(text) if found.group().lower() in little]
    if not places:
        return None
    found = draw.choice(places)
    return replaced(text, found.span(), f"{found.group()} {found.group().lower()}")
