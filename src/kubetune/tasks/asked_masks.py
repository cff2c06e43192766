"""The mask token in a request: a mark that cleaning leaves alone, and the one special token that is meant so."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.errors import ConfigError
from kubetune.tasks.arrays import READ
from kubetune.tasks.base import Encoding, Feature
from kubetune.tasks.encoding import encode_items, special_ids, tokenize_parted
from kubetune.tasks.masking import AS_IT_IS, NEVER, SHOWN, fixed_masks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARK = "\U0001f74f\U0001f768\U0001f74f"
"""Stands for the mask token on its way through cleaning, which would take `<mask>` for markup and `[MASK]` for words.
Alchemical symbols: no letters, no emoji, without upper case or other forms, and in no text in this order."""
MOST = 20
"""Masks of one text: each costs a number a token of the vocabulary."""
ASKED = "asked"
"""Column that features of requests alone have."""
WORD = re.compile(r"\S+")


class Filled:
    """What a model makes of the masks of one text; compares as a value.

    Attributes:
        ids: Tokens that were read, special ones included.
        places: Of the masks among them.
        shares: Probability of each token of the vocabulary at each mask, (masks, vocabulary), float32.
    """

    __slots__ = ("ids", "places", "shares")

    def __init__(self, ids: Sequence[int], places: Sequence[int], shares: np.ndarray) -> None:
        self.ids, self.places, self.shares = tuple(ids), tuple(places), shares

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Filled):
            return NotImplemented
        return (self.ids, self.places) == (other.ids, other.places) and np.array_equal(self.shares, other.shares)

    __hash__ = None  # type: ignore[assignment]


def marked(text: str, mask: str) -> str | None:
    """Return a request's text with marks in the place of its masks, or None where it has none."""
    return text.replace(mask, MARK) if mask in text else None


def first_word_masked(text: str, mask: str) -> str:
    """Return a text whose first word is a mask, which is read whatever is cut; of a lone word its first character."""
    found = WORD.search(text)
    if found is None:
        return text
    end = found.end() if text[found.end() :].strip() else found.start() + 1
    return f"{text[: found.start()]}{mask}{text[end:]}"


def encode_texts(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], max_length: int, *, rows: bool
) -> Encoding:
    """Encode texts: one with marks is a request, any other a row of data with its fixed masks.

    `lost` is 1 of a row without a token that can be masked, and of a request the number of masks behind the cut.

    Args:
        tokenizer: A fast one.
        texts: Cleaned.
        max_length: Tokens a text, special ones included.
        rows: Whether all of them are rows of data, whatever is written in them.

    Raises:
        ConfigError: The tokenizer has no mask token, or no `tokenizer.json`.
    """
    mask = tokenizer.mask_token_id
    if mask is None:
        raise ConfigError(
            "The tokenizer has no mask token, so nothing can be hidden from the model: use one that was trained with "
            "masks, such as BERT, DistilBERT or RoBERTa."
        )
    asked = [not rows and MARK in text for text in texts]
    parts = [[text for text, its in zip(texts, asked, strict=True) if its == which] for which in (False, True)]
    found = (_encode_rows(tokenizer, parts[0], max_length, mask), _encode_asked(tokenizer, parts[1], max_length, mask))
    sides = [zip(part.features, part.truncated, part.lost, strict=True) for part in found]
    encoded = Encoding([], list(range(len(texts))), [])
    for its in asked:
        feature, truncated, lost = next(sides[its])
        encoded.features.append(feature)
        encoded.truncated.append(truncated)
        encoded.lost.append(lost)
    return encoded


def _encode_rows(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], max_length: int, mask: int) -> Encoding:
    found, special = encode_items(tokenizer, [(text,) for text in texts], max_length), special_ids(tokenizer)
    features: list[Feature] = []
    for row, text in zip(found.features, texts, strict=True):
        never = [number in special for number in row["input_ids"]]
        features.append({**row, SHOWN: fixed_masks(text, never, mask)})
    return Encoding(features, found.example, found.truncated, [int(mask not in row[SHOWN]) for row in features])


def _encode_asked(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], max_length: int, mask: int) -> Encoding:
    """Encode texts with marks; every other special token that somebody wrote is text, as it is in training."""
    if not texts:
        return Encoding([], [], [])
    written = [(text.replace(MARK, str(tokenizer.mask_token)),) for text in texts]
    batch, _ = tokenize_parted(tokenizer, written, max_length, meant=mask)
    features: list[Feature] = []
    lost = []
    for row, text in enumerate(texts):
        feature: dict[str, list[int]] = {name: batch[name][row] for name in READ if name in batch}
        feature[ASKED] = []
        special = batch.encodings[row].special_tokens_mask
        feature[SHOWN] = [
            mask if token == mask else NEVER if never else AS_IT_IS
            for token, never in zip(feature["input_ids"], special, strict=True)
        ]
        features.append(feature)
        lost.append(text.count(MARK) - feature[SHOWN].count(mask))
    truncated = [bool(encoding.overflowing) for encoding in batch.encodings]
    return Encoding(features, list(range(len(texts))), truncated, lost)


def unknown_target(tokenizer: "PreTrainedTokenizerBase", targets: Any) -> str | None:
    """Return a sentence against the first target that is no token of the vocabulary; None: all are."""
    vocabulary = tokenizer.get_vocab()
    for target in targets_of(targets):
        if target not in vocabulary:
            found = tokenizer(target, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            pieces = tokenizer.convert_ids_to_tokens(list(found))
            parts = (
                f"the tokenizer parts it into {', '.join(map(repr, pieces[:5]))}, of which"
                if pieces
                else "it has none:"
            )
            return f"`targets` must be tokens of the vocabulary, and {target!r:.60} is none: {parts} give one"
    return None


def targets_of(targets: Any) -> list[str]:
    """Return parameter `targets` as a list."""
    return [targets] if isinstance(targets, str) else list(targets)
