"""Which test rows are one observation: those with the same text.

A model gives equal texts equal answers, so a text that occurs five times says what it says once. Rows count as the same
text where their cleaned texts are equal in normal form, as they are for `prepare`, or where the model reads the very
same tokens: a tokenizer may drop accents, know none of two emoji, or cut two long texts behind the same beginning.
"""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from kubetune.metrics.base import Ints
from kubetune.text.unicode_forms import normal_form


def same_words(texts: Iterable[Sequence[str]]) -> Ints:
    """Return the number of each row's text, shape (rows,); case, white space and Unicode form do not count.

    Args:
        texts: The cleaned text of each row, or both of a pair.
    """
    return numbered(tuple(map(normal_form, item)) for item in texts)


def numbered(keys: Iterable[Hashable]) -> Ints:
    """Return equal numbers for equal keys, shape (keys,), counted from 0 in the order of first occurrence."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)


def joined_groups(one: Ints, other: Ints) -> Ints:
    """Return the finest grouping in which rows that either grouping puts together are together, shape (rows,).

    Two models may clean differently. What is one text to either of them is one observation of the pair.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(one):
        return one
    sides = int(one.max()) + 1, int(other.max()) + 1
    edges = coo_matrix((np.ones(len(one), dtype=np.int8), (one, other + sides[0])), shape=(sum(sides), sum(sides)))
    return numbered(connected_components(edges, directed=False)[1][one].tolist())


def texts_of(groups: Ints | None, rows: int) -> int:
    """Return how many distinct texts the rows have; without groups each row has its own."""
    return rows if groups is None else len(np.unique(groups))
