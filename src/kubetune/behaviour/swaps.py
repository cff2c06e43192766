"""Perturbations by a list: a word for another of its group, a sentence beside a text, a stronger or weaker adjective.

Numbers are swapped here too, one plain count for another.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from random import Random

from kubetune.behaviour.words import is_negation, like_case, masked, replaced

Groups = Sequence[Sequence[str]]
"""Entries of one group can stand for each other."""

NUMBER = re.compile(r"(?<![\w.,/:$£€#@-])\d{2,6}(?![\w.,/:%-]*[\w%])")
"""Plain counts of two digits or more: no prices, dates, times, scores such as 10/10, versions or percentages."""
YEAR = re.compile(r"(?:1[89]|20)\d\d")
RATED = re.compile(r"\s*(?:stars?|points?|out of|percent)\b", re.IGNORECASE)
"""After these, a number is a judgement."""
ARTICLE = re.compile(r"\b(?:a|an)\s\Z", re.IGNORECASE)
VOWELS = "aeiou"


def swap_proper(text: str, draw: Random, entries: Groups) -> str | None:
    """A listed name, written with its capitals, becomes another of its group wherever it stands."""
    return _swap(text, draw, entries, exact=True)


def swap_word(text: str, draw: Random, entries: Groups) -> str | None:
    """A listed word, in any case, becomes another of its group wherever it stands."""
    return _swap(text, draw, entries, exact=False)


def swap_number(text: str, draw: Random) -> str | None:
    """A plain number becomes another of as many digits; years and ratings stay."""
    places = [
        found
        for found in NUMBER.finditer(masked(text))
        if not YEAR.fullmatch(found.group()) and not RATED.match(text, found.end())
    ]
    if not places:
        return None
    found = draw.choice(places)
    old, least = int(found.group()), 10 ** (len(found.group()) - 1)
    other = draw.randrange(least, 10 * least - 1)
    other += other >= old  # every number but the old one
    if YEAR.fullmatch(str(other)):
        other += 1000  # 1800 … 2099 would read as a year
    return replaced(text, found.span(), str(other))


def _swap(text: str, draw: Random, groups: Groups, *, exact: bool) -> str | None:
    pattern, others = _table(tuple(tuple(group) for group in groups), exact)
    present = sorted({found.group() if exact else found.group().lower() for found in pattern.finditer(masked(text))})
    if not present:
        return None
    old = draw.choice(present)
    choices = [entry for entry in others[old] if (entry if exact else entry.lower()) not in present]
    return _replace(text, old, draw.choice(choices), exact=exact) if choices else None


def _replace(text: str, old: str, new: str, *, exact: bool) -> str | None:
    """Replace whole words; an article before one must still fit, else nothing is replaced."""
    pieces, done = [], 0
    for found in re.finditer(rf"\b{re.escape(old)}\b", masked(text), 0 if exact else re.IGNORECASE):
        article = ARTICLE.search(text[max(0, found.start() - 4) : found.start()]) is not None
        if article and (old[0].lower() in VOWELS) != (new[0].lower() in VOWELS):
            return None
        pieces += [text[done : found.start()], new if exact else like_case(new, found.group())]
        done = found.end()
    return "".join([*pieces, text[done:]])


@lru_cache(maxsize=64)
def _table(groups: tuple[tuple[str, ...], ...], exact: bool) -> tuple[re.Pattern[str], dict[str, tuple[str, ...]]]:
    """Return a pattern of all entries, the longest first, and each entry's group: the first that has it."""
    others: dict[str, tuple[str, ...]] = {}
    for group in groups:
        for entry in group:
            others.setdefault(entry if exact else entry.lower(), group)
    entries = sorted(others, key=lambda entry: (-len(entry), entry))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, entries))})\b", 0 if exact else re.IGNORECASE), others


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
