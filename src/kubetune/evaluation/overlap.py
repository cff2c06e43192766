"""Whether two sets of test rows are largely the same, found by a short sketch of each.

Counting comparisons by an exact digest starts anew as soon as one row is added, so that a test split that grows every
night would never spend its alpha. Splits are therefore compared by the smallest hashes of their texts (bottom-k sketch:
Broder 1997; Cohen and Kaplan, PODC 2007), which says how many texts two splits share without keeping any. Texts, since
they are what is tested: a text that fills half of a split makes no other split of it, and a corrected label no new one.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kubetune.text.unicode_forms import normal_form

SIZE = 128
"""Hashes kept: a share is estimated with a standard error of 0.04 at most; smaller splits are compared exactly."""
SAME = 0.5
"""From this share of the smaller split on, two splits count as the same test rows."""
TEXTS = "texts"

Sketch = Mapping[str, Any]


def sketch_of(row_ids: Iterable[str]) -> dict[str, Any]:
    """Return `{"rows": number of distinct ids, "hashes": the smallest ones, sorted}`, plain JSON values."""
    hashes = sorted({hashlib.sha256(row_id.encode()).hexdigest()[:16] for row_id in row_ids})
    return {"rows": len(hashes), "hashes": hashes[:SIZE]}


def split_sketch(row_ids: Iterable[str], texts: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Return the sketch of a test split: of its texts, and of its row ids for comparisons that were counted by those.

    Args:
        row_ids: Of the rows.
        texts: The raw text of each row, or both of a pair: a recipe that cleans otherwise has the same test rows.
    """
    words = (json.dumps([normal_form(text) for text in item]) for item in texts)
    return {**sketch_of(row_ids), TEXTS: sketch_of(words)}


def shared(one: Sketch, other: Sketch) -> float:
    """Return the share of the smaller split that the other has too, 0 … 1; 0 where one is empty.

    Distinct texts are compared, or row ids where one of the sketches is of before texts were kept.
    """
    if TEXTS in one and TEXTS in other:
        one, other = one[TEXTS], other[TEXTS]
    first, second = set(one["hashes"]), set(other["hashes"])
    if not first or not second:
        return 0.0
    union = sorted(first | second)[:SIZE]
    alike = sum(1 for found in union if found in first and found in second) / len(union)
    both = alike * (one["rows"] + other["rows"]) / (1 + alike)
    return float(min(1.0, both / min(one["rows"], other["rows"])))


def same_rows(one: Sketch, other: Sketch) -> bool:
    """Whether two comparisons were made on largely the same test rows, so that both spend of one alpha."""
    return shared(one, other) >= SAME
