"""A question and a long context as overlapping windows of tokens, with the places of context and answer in each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kubetune.tasks.arrays import READ
from kubetune.tasks.base import IGNORED, Encoding
from kubetune.tasks.encoding import raw_offsets, tokenize_parted

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FIRST, LAST = 1, 2
"""Marks of a token, added where it is both; 0: a token of the context, `IGNORED`: no answer can lie there. Token 0 is
marked where the window holds no answer."""
OVERLAP = 3
"""Two windows share a part of this part of their length: 128 of 384 tokens, as SQuAD's baselines do."""
OUTSIDE = -1


def encode_windows(
    tokenizer: "PreTrainedTokenizerBase",
    items: Sequence[tuple[str, ...]],
    max_length: int,
    targets: Sequence[Any] | None,
) -> Encoding:
    """Encode questions with their contexts.

    An answer is marked in the windows that hold all of it; the others say that there is none.

    Args:
        tokenizer: A fast one.
        items: (question, context) each.
        max_length: Tokens a window, special tokens included.
        targets: `{"text": […], "answer_start": […]}` each, of which the first answer is taught; None: not known.

    Raises:
        ConfigError: The tokenizer has no `tokenizer.json`.
    """
    if not items:
        return Encoding([], [], [])
    whole, read = tokenize_parted(tokenizer, [(question.lstrip(), context) for question, context in items], None)
    asked = [
        _short(pair[0], encoding, max_length // OVERLAP) for pair, encoding in zip(read, whole.encodings, strict=True)
    ]
    batch = tokenizer(
        [question for question, _ in asked],
        [context for _, context in read],
        truncation="only_second",
        max_length=max_length,
        stride=max_length // OVERLAP,
        return_overflowing_tokens=True,
        split_special_tokens=True,
    )
    places = [raw_offsets(context, seen) for (_, context), (_, seen) in zip(items, read, strict=True)]
    answers = [None if targets is None else _answer(target) for target in targets or [None] * len(items)]
    example = list(batch["overflow_to_sample_mapping"])
    features, met = [], [False] * len(items)
    for row, number in enumerate(example):
        feature, spans = _window(batch, row, places[number], items[number][1])
        if targets is not None:
            feature["marks"], marked = _marks(spans, answers[number])
            met[number] |= marked
        features.append(feature)
    lost = [int(answer is not None and not there) for answer, there in zip(answers, met, strict=True)]
    return Encoding(list(features), example, [cut for _, cut in asked], lost if targets is not None else [])


def _window(
    batch: Any, row: int, places: Sequence[int], context: str
) -> tuple[dict[str, list[int]], list[tuple[int, int]]]:
    """Return a window without targets, and the characters that each of its tokens stands for."""
    spans = _places(batch.encodings[row], places, context)
    feature: dict[str, list[int]] = {name: batch[name][row] for name in READ if name in batch}
    feature["starts"], feature["ends"] = ([span[side] for span in spans] for side in (0, 1))
    return feature, spans


def _answer(target: Any) -> tuple[int, int] | None:
    """Return the characters of the first answer; None: there is none."""
    if not target["text"]:
        return None
    start = int(target["answer_start"][0])
    return start, start + len(target["text"][0])


def _short(question: str, encoding: Any, most: int) -> tuple[str, bool]:
    """Return a question of at most `most` tokens, and whether it was cut.

    `encoding` is of the question with its context.
    """
    tokens = [place for place, sequence in enumerate(encoding.sequence_ids) if sequence == 0]
    return (question, False) if len(tokens) <= most else (question[: encoding.offsets[tokens[most]][0]], True)


def _places(encoding: Any, places: Sequence[int], context: str) -> list[tuple[int, int]]:
    """Return the characters of the raw context that each token stands for, `OUTSIDE` for a token that is none of it.

    Some byte-level tokenizers count the blank in front of a word to it; no answer begins or ends with one.
    """
    found = []
    for (start, end), sequence in zip(encoding.offsets, encoding.sequence_ids, strict=True):
        first, last = (places[start], places[end]) if sequence == 1 else (0, 0)
        while first < last and context[first].isspace():
            first += 1
        while last > first and context[last - 1].isspace():
            last -= 1
        found.append((first, last) if last > first else (OUTSIDE, OUTSIDE))
    return found


def _marks(spans: Sequence[tuple[int, int]], answer: tuple[int, int] | None) -> tuple[list[int], bool]:
    """Return the marks of a window's tokens, and whether the answer lies in it."""
    marks = [IGNORED if start == OUTSIDE else 0 for start, _ in spans]
    marks[0] = 0
    inside = [token for token, (start, _) in enumerate(spans) if start != OUTSIDE]
    if answer is not None and inside and spans[inside[0]][0] <= answer[0] and spans[inside[-1]][1] >= answer[1]:
        touched = [token for token in inside if spans[token][0] < answer[1] and spans[token][1] > answer[0]]
        if touched:
            marks[touched[0]] += FIRST
            marks[touched[-1]] += LAST
            return marks, True
    marks[0] = FIRST + LAST
    return marks, False
