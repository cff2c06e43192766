"""Which texts a model is shown: raw → cleaned, or a reason. One gate for all that learns, asks or answers."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from kubetune.text.cleaning import clean

SURROGATES = re.compile("[\ud800-\udfff]")
WITHOUT_INK = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufffd")
"""Fillers of Hangul, the braille cell without dots, and the mark of a character that was lost: no category tells."""
UNREADABLE = frozenset("CMZ")
"""Unicode's categories of controls (format and private characters too), marks (they need a letter), and blanks."""


class Unreadable(Enum):
    """Why a text is not shown to a model, in the order in which it is looked at. The values are stored and stay."""

    MISSING = "missing-text"
    """There is none: an empty cell, or no cell of those that are joined."""
    OVER_LIMIT = "over-limit"
    """More raw characters than whoever asks allows."""
    NUL = "nul-character"
    """U+0000, which many stores and C libraries cut at."""
    LONE_SURROGATE = "lone-surrogate"
    """Half of a UTF-16 pair: not a character, tokenizers raise on it."""
    UNSTABLE = "unstable-text"
    """Cleaning what was cleaned changes it again and again: markup that hides markup."""
    BLANK = "blank-text"
    """Nothing that can be read is left."""


@dataclass(frozen=True)
class TextGate:
    """The one way of a raw text to a model: rows, requests, golden rows and behavioural cases take it.

    Attributes:
        cleaning: Names of cleaning steps.
        most: Characters of a raw text, looked at before anything that costs time a character; None: any number.
    """

    cleaning: tuple[str, ...] = ()
    most: int | None = None

    def read(self, text: str | None) -> str | Unreadable:
        """Return the cleaned text, which reads as itself, or why there is none.

        Args:
            text: Raw; any string, also one that cannot be encoded as UTF-8.

        Raises:
            ConfigError: A cleaning step's name is unknown.
        """
        if text is None:
            return Unreadable.MISSING
        if self.most is not None and len(text) > self.most:
            return Unreadable.OVER_LIMIT
        if problem := _no_text(text):
            return problem
        cleaned = clean(text, self.cleaning)
        if cleaned is None:
            return Unreadable.UNSTABLE
        return Unreadable.BLANK if _is_blank(cleaned) else cleaned

    def read_item(self, texts: Sequence[str | None]) -> tuple[str, ...] | Unreadable:
        """Return the cleaned texts of an item, or the first reason against one of them.

        Args:
            texts: Raw, in the order of the task's columns.

        Raises:
            ConfigError: A cleaning step's name is unknown.
        """
        found: list[str] = []
        for text in texts:
            cleaned = self.read(text)
            if isinstance(cleaned, Unreadable):
                return cleaned
            found.append(cleaned)
        return tuple(found)


RAW = TextGate()
"""Without cleaning and bound."""


def _no_text(text: str) -> Unreadable | None:
    if "\x00" in text:
        return Unreadable.NUL
    if not text.isascii() and SURROGATES.search(text) is not None:
        return Unreadable.LONE_SURROGATE
    return None


HEAD = 64
"""Characters looked at one by one, which nearly always settles it. Of a million blanks each kind is looked at once."""


def _is_blank(text: str) -> bool:
    """Whether nothing in `text` can be read: it is empty, or all of it is blanks, controls, zero-width and lone marks.

    Tokenizers drop such characters, and the model would answer from its special tokens alone.
    """
    return all(map(_without_ink, text[:HEAD])) and all(map(_without_ink, set(text[HEAD:])))


def _without_ink(character: str) -> bool:
    return character in WITHOUT_INK or unicodedata.category(character)[0] in UNREADABLE
