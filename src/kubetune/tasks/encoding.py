"""Texts → tokens, where a special token that somebody wrote is text like any other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kubetune.errors import ConfigError
from kubetune.tasks.base import Encoding, Feature

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROUNDS = 2
"""A second one, for what a tokenizer joins again out of what was parted."""

Item = tuple[str, ...]


def encode_items(tokenizer: "PreTrainedTokenizerBase", items: Sequence[Item], max_length: int) -> Encoding:
    """Encode items of one or two texts, each as one feature; pairs are cut from the longer text first."""
    if not items:
        return Encoding([], [], [])
    batch = tokenize(tokenizer, items, max_length)
    names = [name for name in ("input_ids", "token_type_ids") if name in batch]
    rows: list[Feature] = [{name: batch[name][row] for name in names} for row in range(len(items))]
    return Encoding(rows, list(range(len(items))), [bool(encoding.overflowing) for encoding in batch.encodings])


def tokenize(tokenizer: "PreTrainedTokenizerBase", items: Sequence[Item], max_length: int) -> Any:
    """Return the `BatchEncoding` of items of one or two texts, see `tokenize_parted`."""
    return tokenize_parted(tokenizer, items, max_length)[0]


def tokenize_parted(
    tokenizer: "PreTrainedTokenizerBase", items: Sequence[Item], max_length: int | None, meant: int | None = None
) -> tuple[Any, list[Item]]:
    """Tokenise items of one or two texts, cut from the longer one first.

    As a token, `</s>` or `[SEP]` in a text would end the sequence, and some heads refuse such a row. The tokenizer is
    told to split them; one whose vocabulary is searched for whole pieces (Unigram: T5, XLM-R) finds them all the same,
    also where its normalisation made them (`＜/s＞`). There the characters that it took are parted by blanks.

    Args:
        tokenizer: A fast one.
        items: At least one.
        max_length: Tokens an item, special tokens included; None: all of it.
        meant: Id of the one special token that is meant where it is written, as the mask in a request.

    Returns:
        `BatchEncoding` of all items; of special tokens it has those alone that the tokenizer's template puts in. And
        the texts that were read, which have further blanks where special tokens were written: see `raw_offsets`.

    Raises:
        ConfigError: The tokenizer has no `tokenizer.json`, so offsets and what was cut are not known exactly.
    """
    if not tokenizer.is_fast:
        raise ConfigError("The tokenizer has no tokenizer.json: use a checkpoint with a fast tokenizer.")
    special = special_ids(tokenizer) - {meant}
    texts = [list(item) for item in items]
    for _ in range(ROUNDS):
        batch = _encode(tokenizer, texts, max_length, split=meant is None)
        written = [_written(encoding, texts[row], special, tokenizer) for row, encoding in enumerate(batch.encodings)]
        if not any(written):
            return batch, [tuple(text) for text in texts]
        texts = [_parted(text, spans) for text, spans in zip(texts, written, strict=True)]
    return _encode(tokenizer, texts, max_length, split=meant is None), [tuple(text) for text in texts]


def raw_offsets(raw: str, read: str) -> list[int]:
    """Return the place in `raw` of each character of `read`, and of its end: `read` has further blanks, no more."""
    if raw == read:
        return list(range(len(raw) + 1))
    places, place = [], 0
    for letter in read:
        places.append(place)
        place += place < len(raw) and raw[place] == letter
    return [*places, place]


def special_ids(tokenizer: "PreTrainedTokenizerBase") -> frozenset[int]:
    """Return the ids of all special tokens, of those too that have no name (`<extra_id_0>`)."""
    added = (number for number, token in tokenizer.added_tokens_decoder.items() if token.special)
    return frozenset((*tokenizer.all_special_ids, *added))


def _encode(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[Sequence[str]], max_length: int | None, *, split: bool
) -> Any:
    columns = [list(column) for column in zip(*texts, strict=True)]
    if max_length is None:
        return tokenizer(*columns, truncation=False, split_special_tokens=split, verbose=False)
    return tokenizer(*columns, truncation="longest_first", max_length=max_length, split_special_tokens=split)


def _written(
    encoding: Any, texts: Sequence[str], special: frozenset[int], tokenizer: "PreTrainedTokenizerBase"
) -> list[tuple[int, int, int]]:
    """Return (text, start, end) of each special token that stands in a text.

    What the tokenizer does not know is the unknown token in its own right; written out, it is text.
    """
    found = []
    mask = encoding.special_tokens_mask
    for place, number in enumerate(encoding.ids):
        if number in special and not mask[place]:
            text, (start, end) = encoding.sequence_ids[place], encoding.offsets[place]
            if number != tokenizer.unk_token_id or tokenizer.unk_token in texts[text][start:end]:
                found.append((text, start, end))
    return found


def _parted(texts: Sequence[str], spans: Sequence[tuple[int, int, int]]) -> list[str]:
    """Return `texts` with a blank between the characters of each span."""
    parted = list(texts)
    for text, start, end in sorted(spans, reverse=True):
        parted[text] = f"{parted[text][:start]}{' '.join(parted[text][start:end])}{parted[text][end:]}"
    return parted
