"""Untrusted text, made fit to be shown in a sentence, a table or a report."""

import unicodedata

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
