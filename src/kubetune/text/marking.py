"""Answers that are places in a text, shown in the text."""

from collections.abc import Mapping, Sequence
from typing import Any

from kubetune.text.shown import JOINER

NAMES = ("entity_group", "label")
"""Keys of a span that say what it is, in the order in which they are looked for; one without is the answer itself."""
AROUND = 80
"""Characters shown before and behind the only span that there can be."""

Pieces = list[tuple[str, str | None]]


def is_ranked(answer: Any) -> bool:
    """Whether an answer is labels with their scores, and no places in a text."""
    return isinstance(answer, list | tuple) and bool(answer) and all(_has(entry, "label", "score") for entry in answer)


def is_decided(answer: Any) -> bool:
    """Whether the labels of a ranked answer say which of them are chosen."""
    return is_ranked(answer) and "chosen" in answer[0]


def is_marked(answer: Any) -> bool:
    """Whether an answer is places in a text: one, or a list, of which there may be none."""
    spans = answer if isinstance(answer, list | tuple) else [answer]
    return all(_has(span, "start", "end") for span in spans)


def is_filled(answer: Any) -> bool:
    """Whether an answer is the tokens in the place of a mask, or a list of those of each of several."""
    masks = answer if isinstance(answer, list) and answer and isinstance(answer[0], list) else [answer]
    return all(
        isinstance(mask, list) and bool(mask) and all(_has(one, "token_str", "sequence", "score") for one in mask)
        for mask in masks
    )


def filled_lines(answer: Any) -> list[tuple[str, str]]:
    """Return what stands in the place of each mask: its probability, and the token with, of a lone mask, the text."""
    if not isinstance(answer[0], list):
        return [(f"{one['score']:.3f}", f"{str(one['token_str']).strip()}: {one['sequence']}") for one in answer]
    return [
        (f"{one['score']:.3f}", f"mask {number}: {str(one['token_str']).strip()}")
        for number, mask in enumerate(answer, 1)
        for one in mask
    ]


def pieces(texts: Sequence[str], answer: Any) -> Pieces:
    """Return a text, fit for a terminal, in pieces with what each is; None: nothing.

    Args:
        texts: Raw texts of the item; places are in the last one.
        answer: Spans with `start`, `end` and a name, see `NAMES`; what overlaps an earlier one is left out. One span
            that is no list is shown with a part of the text around it.
    """
    text = texts[-1] if texts else ""
    shown = "".join(letter if letter.isprintable() or letter == JOINER else " " for letter in text)
    alone = isinstance(answer, Mapping)
    if alone and answer["start"] >= answer["end"]:
        return [("no answer", None)]
    found: Pieces = []
    reached = 0
    for span in sorted([answer] if alone else answer, key=lambda span: (int(span["start"]), int(span["end"]))):
        start, end = int(span["start"]), int(span["end"])
        if reached <= start < end <= len(text):
            name = next((str(span[key]) for key in NAMES if span.get(key) is not None), "answer")
            found += [(shown[reached:start], None), (shown[start:end], name)]
            reached = end
    found.append((shown[reached:], None))
    return [(piece, name) for piece, name in (_near(found) if alone else found) if piece]


def bracketed(found: Sequence[tuple[str, str | None]]) -> str:
    """Return pieces as one line: `we met in [Berlin](location)`."""
    return "".join(piece if name is None else f"[{piece}]({name})" for piece, name in found)


def _near(found: Pieces) -> Pieces:
    before, behind = found[0][0], found[-1][0]
    head = before if len(before) <= AROUND else f"…{before[-AROUND:]}"
    tail = behind if len(behind) <= AROUND else f"{behind[:AROUND]}…"
    return [(head, None), *found[1:-1], (tail, None)] if len(found) > 1 else [(tail, None)]


def _has(entry: Any, *keys: str) -> bool:
    return (
        isinstance(entry, Mapping)
        and entry.keys() >= set(keys)
        and (keys[0] != "label" or not set(entry) - set(keys) - {"chosen"})
    )
