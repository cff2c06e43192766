"""What a text must not hold. One rule for training rows and for requests, so that both refuse the same."""

import re
import unicodedata

NUL = "nul-character"
LONE_SURROGATE = "lone-surrogate"
SURROGATES = re.compile("[\ud800-\udfff]")
WITHOUT_INK = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufffd")
"""Fillers of Hangul, the braille cell without dots, and the mark of a character that was lost: no category tells."""
UNREADABLE = frozenset("CMZ")
"""Unicode's categories of controls (format and private characters too), marks (they need a letter), and blanks."""


def text_problem(text: str) -> str | None:
    """Return the name of the first rule that `text` breaks, or None.

    Args:
        text: Any string, also one that cannot be encoded as UTF-8.

    Returns:
        `nul-character` (U+0000, which many stores and C libraries cut at), `lone-surrogate` (half of a UTF-16
        pair: not a character, tokenizers raise on it), or None.
    """
    if "\x00" in text:
        return NUL
    if not text.isascii() and SURROGATES.search(text) is not None:
        return LONE_SURROGATE
    return None


def is_blank(text: str) -> bool:
    """Whether nothing in `text` can be read: it is empty, or all of it is blanks, controls, zero-width and lone marks.

    Tokenizers drop such characters, and the model would answer from its special tokens alone.
    """
    return all(character in WITHOUT_INK or unicodedata.category(character)[0] in UNREADABLE for character in text)
