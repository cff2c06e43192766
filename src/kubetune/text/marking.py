"""Spans of a text, shown in the text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kubetune.text.shown import JOINER

NAMES = ("entity_group", "label")
"""Keys of an answer's span that say what it is, in the order in which they are looked for."""


def is_ranked(answer: Any) -> bool:
    """Whether an answer is labels with their scores, and no places in a text."""
    return _is_list(answer) and bool(answer) and all({"label", "score"} == entry.keys() for entry in answer)


def is_marked(answer: Any) -> bool:
    """Whether an answer is places in a text, of which there may be none."""
    return _is_list(answer) and all({"start", "end"} <= entry.keys() for entry in answer)


def pieces(text: str, answer: Iterable[Mapping[str, Any]]) -> list[tuple[str, str | None]]:
    """Return the text, fit for a terminal, in pieces with what each is; None: nothing.

    Args:
        text: Raw.
        answer: Spans with `start`, `end` and a name, see `NAMES`; what overlaps an earlier one is left out.
    """
    shown = "".join(letter if letter.isprintable() or letter == JOINER else " " for letter in text)
    found: list[tuple[str, str | None]] = []
    reached = 0
    for span in sorted(answer, key=lambda span: (int(span["start"]), int(span["end"]))):
        start, end = int(span["start"]), int(span["end"])
        if reached <= start < end <= len(text):
            name = next((str(span[key]) for key in NAMES if span.get(key) is not None), "")
            found += [(shown[reached:start], None), (shown[start:end], name)]
            reached = end
    return [(piece, name) for piece, name in (*found, (shown[reached:], None)) if piece]


def bracketed(found: Sequence[tuple[str, str | None]]) -> str:
    """Return pieces as one line: `we met in [Berlin](location)`."""
    return "".join(piece if name is None else f"[{piece}]({name})" for piece, name in found)


def _is_list(answer: Any) -> bool:
    return isinstance(answer, list | tuple) and all(isinstance(entry, Mapping) for entry in answer)
