"""Untrusted text, made fit to be shown in a sentence, a table or a report."""

import math
import unicodedata


def number(value: float, digits: int = 4) -> str:
    """Return `value` with a fixed number of decimals; never `-0.0000`."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def signed(value: float, digits: int = 4) -> str:
    """Return `value` with its sign."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def digits_for(gap: float, least: int = 4, most: int = 12) -> int:
    """Return the decimals that show a gap of this size with two digits, so that a narrow miss never reads as zero."""
    if gap == 0 or not math.isfinite(gap):
        return least
    return min(most, max(least, 1 - math.floor(math.log10(abs(gap)))))


JOINER = "\u200d"
"""Zero-width joiner: the one format character that is kept, since emoji sequences need it."""


def one_line(text: str, most: int = 200) -> str:
    """Return `text` on one line of at most `most` characters, cut with an ellipsis; HTML is not escaped here.

    Control, format (right-to-left overrides too), surrogate and private characters are taken out, white space is
    collapsed.
    """
    head = text[: 8 * most]  # a text of 10 MB is not walked to show 200 characters
    kept = []
    for character in head:
        category = unicodedata.category(character)
        if character.isspace() or category in ("Cc", "Zl", "Zp"):
            kept.append(" ")
        elif category[0] != "C" or character == JOINER:
            kept.append(character)
    line = " ".join("".join(kept).split())
    return line if len(line) <= most and len(head) == len(text) else line[: most - 1].rstrip() + "…"
