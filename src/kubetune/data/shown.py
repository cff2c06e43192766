"""Untrusted text, made fit to be shown in a sentence or a report."""

import unicodedata


def one_line(text: str, most: int = 200) -> str:
    """Return `text` on one line of at most `most` characters; HTML is not escaped here.

    Control, format (right-to-left overrides too), surrogate and private characters are taken out, white space is
    collapsed.
    """
    head = text[: 8 * most]  # a text of 10 MB is not walked to show 200 characters
    kept = "".join(
        " " if character.isspace() or unicodedata.category(character) == "Cc" else character
        for character in head
        if character.isspace() or unicodedata.category(character) == "Cc" or unicodedata.category(character)[0] != "C"
    )
    line = " ".join(kept.split())
    return line if len(line) <= most and len(head) == len(text) else line[: most - 1].rstrip() + "…"
