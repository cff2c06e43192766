"""One slip of the finger in one word. Negating words are left whole and none is made: the meaning must stay."""

from collections.abc import Callable
from random import Random
from types import MappingProxyType

from kubetune.behaviour.words import free_words, is_negation, replaced

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
