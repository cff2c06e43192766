"""Which tokens of a text are hidden from a model: others in each pass of a training, always the same in a measurement.

Numbers come from Philox (Salmon et al., 2011), a generator that is a function of a counter. Its stream is fixed by its
authors' test vectors, so masks are equal wherever and in whatever order rows are read.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from kubetune.metrics.base import Ints
from kubetune.tasks.base import IGNORED, Feature
from kubetune.tasks.reading import Turn

SHOWN = "shown"
"""Column of a feature: the token that is read in the place of a masked one, which has a loss; else one of these two."""
NEVER, AS_IT_IS = IGNORED, -1
"""A token that is never masked, and one that is not masked now."""
FIXED_SHARE = 0.15
"""Of the tokens that a measurement masks, whatever a training does, so that numbers of two trainings compare."""
REPLACED, REDRAWN = 0.8, 0.9
"""Of ten masked tokens eight are read as the mask token, one as any token, one as itself (Devlin et al., 2019)."""
BITS = 2.0**-53


def fixed_masks(text: str, special: Sequence[bool], mask: int) -> list[int]:
    """Return column `SHOWN` of a text that is measured: about 15 of 100 tokens are masked, one at least.

    They follow from the text and the place of each token, so that equal texts are asked alike, and so is a champion
    that is asked again and is given nothing but the text. A masked token is always read as the mask token, as in a
    request.

    Args:
        text: Cleaned.
        special: Whether each token is never masked.
        mask: Id of the mask token.
    """
    key = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), dtype="<u8").astype(np.uint64)
    free = ~np.asarray(special, dtype=bool)
    drawn = _shares(np.random.Philox(key=key).random_raw(len(free)))
    chosen = free & (drawn < FIXED_SHARE)
    if free.any() and not chosen.any():
        chosen[np.argmin(np.where(free, drawn, 1.0))] = True
    shown: list[int] = np.where(chosen, mask, np.where(free, AS_IT_IS, NEVER)).tolist()
    return shown


def drawn_masks(row: Feature, number: int, turn: Turn) -> Feature:
    """Return a row with the masks of one pass: a function of seed, pass, row and the place of each token.

    Args:
        row: With the column of `fixed_masks`.
        number: Of the row in its split.
        turn: Of the training.
    """
    ids, fixed = np.asarray(row["input_ids"]), np.asarray(row[SHOWN])
    masked = fixed[fixed >= 0]
    if not len(masked):  # it has no token that can be masked
        return row
    key = np.array([turn.seed, turn.turn], dtype=np.uint64)
    stream = np.random.Philox(key=key, counter=np.array([0, 0, number, 0], dtype=np.uint64))
    first, second, third = stream.random_raw(3 * len(ids)).reshape(-1, 3).T
    free = fixed != NEVER
    chosen, way = free & (_shares(first) < turn.share), _shares(second)
    any_token = (third % np.uint64(turn.vocabulary)).astype(np.int64) if turn.vocabulary else masked[0]
    read = np.where(way < REPLACED, masked[0], np.where(way < REDRAWN, any_token, ids))
    shown: Any = np.where(chosen, read, np.where(free, AS_IT_IS, NEVER))
    return {**row, SHOWN: shown}


def places_of(row: Feature) -> Ints:
    """Return the places of the masked tokens of a feature, ascending."""
    return np.flatnonzero(np.asarray(row[SHOWN]) >= 0) if SHOWN in row else np.zeros(0, dtype=np.int64)


def masked_ids(row: Feature) -> Ints:
    """Return the ids of its masked tokens."""
    return np.asarray(row["input_ids"], dtype=np.int64)[places_of(row)]


def as_read(row: Feature) -> Feature:
    """Return a feature as the model reads it, with the masks in it."""
    if SHOWN not in row:
        return row
    shown: Any = np.asarray(row[SHOWN])
    return {**row, "input_ids": np.where(shown >= 0, shown, np.asarray(row["input_ids"]))}  # type: ignore[dict-item]


def _shares(raw: Any) -> Any:
    """Return numbers from 0 up to but without 1, float64, of 64 random bits each."""
    return (raw >> np.uint64(11)).astype(np.float64) * BITS
