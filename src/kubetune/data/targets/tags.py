"""IOB2: `B-X` begins an X, `I-X` continues one, `O` is outside."""

import re
from collections.abc import Sequence

OUTSIDE = "O"
WORD = re.compile(r"\S+")


class BrokenTagsError(Exception):
    """Tags that are no IOB2.

    Attributes:
        reason: `tag-unknown` or `tag-order`.
        word: Number of the word.
    """

    def __init__(self, reason: str, word: int, sentence: str) -> None:
        super().__init__(sentence)
        self.reason, self.word = reason, word


def word_places(text: str, words: Sequence[str] | None) -> list[tuple[int, int]]:
    """Return (start, end) of each word of a text.

    Args:
        text: Where `words` are given, they with one blank between two of them.
        words: None: white space parts them.
    """
    if words is None:
        return [match.span() for match in WORD.finditer(text)]
    places, start = [], 0
    for word in words:
        places.append((start, start + len(word)))
        start += len(word) + 1
    return places


def parted_tag(tag: str) -> tuple[str, str] | None:
    """Return (`B`, `I` or `O`, class), or None for what is no tag of IOB2."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    part, dash, name = tag.partition("-")
    return (part, name) if part in ("B", "I") and dash and name else None


def spans_of_tags(tags: Sequence[str | None], *, repair: bool) -> tuple[list[tuple[int, int, str]], int]:
    """Return (first word, last word, class) of each span, and how many tags were repaired.

    Args:
        tags: One a word.
        repair: Whether `I-X` that continues no X begins one.

    Raises:
        BrokenTagsError: A tag is none, or continues nothing.
    """
    found: list[tuple[int, int, str]] = []
    inside, repaired = "", 0
    for word, tag in enumerate(tags):
        parted = None if tag is None else parted_tag(tag)
        if parted is None:
            raise BrokenTagsError("tag-unknown", word, f"{tag!r} is not O, B-X or I-X")
        part, name = parted
        if part == "I" and name != inside:
            if not repair:
                before = tags[word - 1] if word else "the beginning"
                raise BrokenTagsError("tag-order", word, f"{tag} after {before}")
            part, repaired = "B", repaired + 1
        if part == "B":
            found.append((word, word, name))
        elif part == "I":
            first, _, _ = found[-1]
            found[-1] = (first, word, name)
        inside = name
    return found, repaired
