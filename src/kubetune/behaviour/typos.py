"""One slip of the finger in one word, or one slip of grammar in a sentence.

A typo leaves negating words whole and makes none, since the meaning must stay. Slips of grammar are for suites of
acceptability: each makes a correct sentence a wrong one.
"""

import itertools
import re
from collections.abc import Callable
from random import Random
from types import MappingProxyType

from kubetune.behaviour.words import free_words, is_negation, like_case, replaced

SHORTEST = 4
"""Letters of a word that may get a slip; in shorter ones it often gives another word."""
Edit = Callable[[str, int], str]
"""(word, place of the letter) → the word with the slip."""
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbours() -> dict[str, str]:
    """Return the keys to the left and right of each letter on a QWERTY keyboard."""
    return {
        key: "".join(row[place] for place in (at - 1, at + 1) if 0 <= place < len(row))
        for row in ROWS
        for at, key in enumerate(row)
    }


NEIGHBOURS = MappingProxyType(_neighbours())


def swap_letters(text: str, draw: Random) -> str | None:
    """Two neighbouring letters inside a word change places."""
    return _slip(text, draw, lambda word, at: word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :], first=2)


def drop_letter(text: str, draw: Random) -> str | None:
    """A letter inside a word is missing."""
    return _slip(text, draw, lambda word, at: word[:at] + word[at + 1 :])


def repeat_letter(text: str, draw: Random) -> str | None:
    """A letter of a word is there twice."""
    return _slip(text, draw, lambda word, at: word[:at] + word[at] + word[at:])


def neighbouring_key(text: str, draw: Random) -> str | None:
    """A letter of a word is the one beside it on a QWERTY keyboard."""

    def hit_beside(word: str, at: int) -> str:
        beside = NEIGHBOURS.get(word[at].lower(), word[at])
        letter = draw.choice(beside)
        return word[:at] + (letter.upper() if word[at].isupper() else letter) + word[at + 1 :]

    return _slip(text, draw, hit_beside)


def any_typo(text: str, draw: Random) -> str | None:
    """One of the four slips that the text has room for."""
    slips = [swap_letters, drop_letter, repeat_letter, neighbouring_key]
    draw.shuffle(slips)
    return next((slipped for slip in slips if (slipped := slip(text, draw)) is not None), None)


def _slip(text: str, draw: Random, edit: Edit, first: int = 1) -> str | None:
    """Edit one word at one place, not before letter `first`: readers and models lean on the first letter."""
    words = [found for found in free_words(text) if found.group().isalpha() and len(found.group()) >= SHORTEST]
    words = [found for found in words if not is_negation(found.group())]
    draw.shuffle(words)
    for found in words:
        word = found.group()
        places = list(range(first, len(word)))
        draw.shuffle(places)
        for at in places:
            slipped = edit(word, at)
            if slipped != word and not is_negation(slipped):
                return replaced(text, found.span(), slipped)
    return None


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
