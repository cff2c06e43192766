"""A seeded, stratified split by a hash of the content: equal texts never straddle it, and order plays no part."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import floor

import numpy as np

from kubetune.schema.numbers import as_written

TRAIN, VALIDATION, TEST, POOL, NEITHER = 0, 1, 2, 3, 4
SPLITS = ("train", "validation", "test")


def seeded_order(digests: np.ndarray, seed: int) -> np.ndarray:
    """Return a pseudo-random 64-bit number for each digest.

    Args:
        digests: Shape (rows, 2), uint64.
        seed: Another seed gives independent numbers.

    Returns:
        Shape (rows,), uint64; a function of (digest, seed) alone.
    """
    with np.errstate(over="ignore"):
        value = digests[:, 0] ^ (np.uint64(seed) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # SplitMix64's finaliser
            value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
        return np.asarray(value ^ (value >> np.uint64(31)))


def group_of(digests: np.ndarray) -> np.ndarray:
    """Return a number for each row that is equal exactly where digests are, shape (rows,), int64.

    Groups are numbered in the order of their first row.
    """
    if not len(digests):
        return np.zeros(0, dtype=np.int64)
    order = np.lexsort((np.arange(len(digests)), digests[:, 0], digests[:, 1]))
    ordered = digests[order]
    starts = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    sorted_number = np.cumsum(starts) - 1
    first_rows = order[starts]
    rank = np.empty(len(first_rows), dtype=np.int64)
    rank[np.argsort(first_rows, kind="stable")] = np.arange(len(first_rows))
    groups = np.empty(len(digests), dtype=np.int64)
    groups[order] = rank[sorted_number]
    return groups


def connected(digests: Sequence[np.ndarray]) -> np.ndarray:
    """Return a number for each row that is equal where rows share a digest, or are linked by rows that do.

    Args:
        digests: One or more of each row, each (rows, 2), uint64.

    Returns:
        Shape (rows,), int64, numbered in the order of their first row.
    """
    rows = len(digests[0])
    nodes = group_of(np.concatenate(digests)).reshape(len(digests), rows)
    least = np.arange(int(nodes.max()) + 1 if rows else 0)
    while True:
        lower = least.copy()
        smallest = least[nodes].min(axis=0)
        for of in nodes:
            np.minimum.at(lower, of, smallest)
        lower = lower[lower]
        if np.array_equal(lower, least):
            break
        least = lower
    _, first, which = np.unique(least[nodes[0]], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    found: np.ndarray = rank[which]
    return found


def stratified_group_split(
    rows: np.ndarray,
    group: np.ndarray,
    label: np.ndarray,
    order: np.ndarray,
    shares: Mapping[int, float],
    *,
    documents: bool = False,
) -> np.ndarray:
    """Give each of `rows` a split, so that each label has its share in each and each group lies in one.

    What rounding leaves is carried from label to label, the rare ones first, so that the shares hold over all labels
    too: of 77 labels with 4 rows each, a test share of 0.1 is 31 rows and not none. A label keeps a group in train, and
    a group of more than ten rows and of a hundredth of the smallest share (a document: of a quarter) stays there: one
    text repeated hundreds of times would otherwise be what is measured.

    Args:
        rows: Row numbers to divide.
        group: Group of each row (of all rows).
        label: Label of each row (of all rows); a group with several counts as its first row's.
        order: `seeded_order` of each row's normalised text (of all rows).
        shares: Split → share, for `VALIDATION` and `TEST`; the rest is train.
        documents: Whether groups are documents.

    Returns:
        Split of each of `rows`, int8.
    """
    members, first, which, size = np.unique(group[rows], return_index=True, return_inverse=True, return_counts=True)
    stratum, hashed = label[rows][first], order[rows][first]
    split_of = np.full(len(members), TRAIN, dtype=np.int8)
    exact = {split: as_written(share) for split, share in shares.items()}
    most = _most_rows(len(rows), exact, documents)
    wanted = dict.fromkeys(exact, Fraction(0))
    taken = dict.fromkeys(exact, 0)
    for mine in _rare_first(stratum, size, hashed):
        total = int(size[mine].sum())
        small = mine[size[mine] <= most]
        small = small[np.lexsort((small, hashed[small]))]
        small = small[: len(small) - (len(small) == len(mine))]
        before = np.cumsum(size[small]) - size[small]
        begin = 0
        for split, share in sorted(exact.items(), reverse=True):
            wanted[split] += total * share
            quota = max(0, floor(wanted[split] + Fraction(1, 2)) - taken[split])
            chosen = small[(before >= begin) & (before < begin + quota)]
            split_of[chosen] = split
            taken[split] += int(size[chosen].sum())
            begin += quota
    found: np.ndarray = split_of[which]
    return found


def _most_rows(rows: int, shares: Mapping[int, Fraction], documents: bool) -> int:
    """Return how many rows a group may have to leave train."""
    least = min((share for share in shares.values() if share), default=Fraction(0))
    return max(10, floor(rows * least / (4 if documents else 100)))


def _rare_first(stratum: np.ndarray, size: np.ndarray, hashed: np.ndarray) -> list[np.ndarray]:
    """Return the groups of each stratum, in an order that content alone decides: rows, then the least hash."""
    members = [np.flatnonzero(stratum == value) for value in np.unique(stratum)]
    return sorted(members, key=lambda mine: (int(size[mine].sum()), int(hashed[mine].min())))


def limit_rows(split: np.ndarray, label: np.ndarray, order: np.ndarray, limit: int) -> np.ndarray:
    """Choose `limit` rows in the proportions of split and label; at least one of each that occurs.

    Args:
        split: Split of each row; rows in none are `NEITHER`.
        label: Label of each row.
        order: `seeded_order` of each row's content.
        limit: Rows wanted; nothing is left out where there are fewer.

    Returns:
        Which rows are left out, bool.
    """
    rows = np.flatnonzero(split < len(SPLITS))
    left_out = np.zeros(len(split), dtype=bool)
    if len(rows) <= limit:
        return left_out
    strata, which, size = np.unique(
        split[rows].astype(np.int64) * (int(label.max()) + 1) + label[rows], return_inverse=True, return_counts=True
    )
    quota = quotas(size, limit)
    for number in range(len(strata)):
        mine = rows[which == number]
        mine = mine[np.lexsort((mine, order[mine]))]
        left_out[mine[quota[number] :]] = True
    return left_out


def quotas(size: np.ndarray, limit: int) -> np.ndarray:
    """Divide `limit` in proportion to `size` by largest remainders; at least one each while `limit` lasts."""
    total = int(size.sum())
    whole, remainder = np.divmod(size.astype(np.int64) * limit, total)
    short = np.where(whole >= 1, remainder, remainder - total)  # what a stratum lacks of its exact part, times `total`
    whole = np.maximum(whole, 1)
    missing = limit - int(whole.sum())
    if missing >= 0:
        for number in np.argsort(-short, kind="stable")[:missing]:
            whole[number] += 1
    while whole.sum() > limit and whole.max() > 1:
        whole[int(np.argmax(whole))] -= 1
    return np.asarray(whole)
