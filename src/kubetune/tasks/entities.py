"""Entities in a text: spans of characters ↔ a tag for each word, on the way in and on the way out alike.

Words are found in the raw text, not in what a tokenizer made of it, and offsets always refer to the raw text: a served
answer points where the training rows pointed. A model is asked at the first token of each word; other tokens carry
neither target nor answer.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

NO_WORD = -1
"""In columns `starts` and `ends` of a feature: no word begins at this token, so it has no answer."""
OUTSIDE = 0
"""Tag of a word in no entity; entity type t has tag 1 + 2t where it begins and 2 + 2t inside (IOB2)."""
WORD = re.compile(
    # Scripts without blanks between words: a character each, so that a border may lie between any two.
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|\w+|[^\w\s]"
)


class Span(NamedTuple):
    """One entity: characters from `start` up to but without `end` of the raw text, and the number of its type."""

    start: int
    end: int
    label: int


class FoundEntity(NamedTuple):
    """One entity that a model found, with the mean probability of its words' tags."""

    start: int
    end: int
    label: int
    score: float


def words_of(text: str, pieces: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the words of a text as (start, end), in order; those that one token spans together are one.

    Args:
        text: Raw.
        pieces: Characters of each token, as (start, end), in order; empty ones count for nothing.
    """
    words = [match.span() for match in WORD.finditer(text)]
    joined: list[tuple[int, int]] = []
    piece = 0
    ends = [(start, end) for start, end in pieces if end > start]
    for start, end in words:
        while piece < len(ends) and ends[piece][1] <= start:
            piece += 1
        crossing = piece < len(ends) and ends[piece][0] < start and joined and ends[piece][0] < joined[-1][1]
        if crossing:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def first_pieces(words: Sequence[tuple[int, int]], pieces: Sequence[tuple[int, int]]) -> list[int]:
    """Return for each token the number of the word whose first token it is, -1 for any other.

    A word without a token (a character that the tokenizer drops) or behind the cut is in none: its answer is "outside".
    """
    found = [-1] * len(pieces)
    word, met = 0, -1
    for token, (start, end) in enumerate(pieces):
        if end <= start:
            continue
        while word < len(words) and words[word][1] <= start:
            word += 1
        if word < len(words) and word > met and words[word][0] < end:
            found[token] = met = word
    return found


def tags_of(words: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[int]:
    """Return the tag of each word: a word that an entity touches belongs to it."""
    tags = [OUTSIDE] * len(words)
    for span in spans:
        inside = [number for number, (start, end) in enumerate(words) if start < span.end and end > span.start]
        for place, number in enumerate(inside):
            tags[number] = 1 + 2 * span.label + (place > 0)
    return tags


def spans_of(words: Sequence[tuple[int, int]], tags: Sequence[int], scores: Sequence[float]) -> list[FoundEntity]:
    """Return the entities of tagged words.

    An inside tag that continues no entity of its type begins one: the model's answer is never dropped.

    Args:
        words: (start, end) of each.
        tags: Of each.
        scores: Probability of each tag.
    """
    found: list[tuple[int, int, int, list[float]]] = []
    before = OUTSIDE
    for (start, end), tag, score in zip(words, tags, scores, strict=True):
        label = (tag - 1) // 2
        if tag != OUTSIDE:
            if tag % 2 == 0 and before != OUTSIDE and (before - 1) // 2 == label:
                begin, _, _, met = found[-1]
                found[-1] = (begin, end, label, [*met, score])
            else:
                found.append((start, end, label, [score]))
        before = tag
    return [FoundEntity(start, end, label, float(np.mean(met))) for start, end, label, met in found]


def representable(words: Sequence[tuple[int, int]], reached: int, span: Span) -> bool:
    """Whether tags of words can say `span`: its ends are ends of words, and of words that are not cut off.

    Args:
        words: (start, end) of each.
        reached: Words up to here have a token.
        span: The entity.
    """
    ends = {end: number for number, (_, end) in enumerate(words)}
    return any(start == span.start for start, _ in words) and ends.get(span.end, len(words)) < reached


def span_target(value: Any) -> list[Span]:
    """Read a value of column `label` of a data set with entities."""
    return [Span(int(span["start"]), int(span["end"]), int(span["label"])) for span in value]
