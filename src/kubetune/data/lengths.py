"""How many tokens the written rows have, how many of them the tokenizer knows, and what padding costs."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from kubetune.data.splits import SPLITS
from kubetune.errors import DataError
from kubetune.schema.numbers import as_written


def _zeros() -> dict[str, int]:
    return dict.fromkeys(SPLITS, 0)


@dataclass
class Lengths:
    """Tokens of each written feature, by split, in row order; a row is one feature unless the task makes windows.

    Attributes:
        tokens: Split name → token counts.
        rows: Split name → rows.
        truncated: Split name → rows that were cut.
        words: Split name → tokens without special ones.
        unknown: Split name → those of `words` that the tokenizer does not know.
        longest: Split name → most features of a row.
        lost: Split name → targets that no prediction can meet, as the tokens do not reach them.
    """

    tokens: dict[str, list[np.ndarray]] = field(default_factory=lambda: {name: [] for name in SPLITS})
    rows: dict[str, int] = field(default_factory=_zeros)
    truncated: dict[str, int] = field(default_factory=_zeros)
    words: dict[str, int] = field(default_factory=_zeros)
    unknown: dict[str, int] = field(default_factory=_zeros)
    longest: dict[str, int] = field(default_factory=_zeros)
    lost: dict[str, int] = field(default_factory=_zeros)

    def of(self, split: str) -> np.ndarray:
        """Return the token counts of a split, (features,), int32."""
        return np.concatenate(self.tokens[split]) if self.tokens[split] else np.zeros(0, dtype=np.int32)


def check_known(lengths: Lengths, most: float) -> None:
    """Refuse rows that the tokenizer cannot read: the model would learn from gaps.

    Args:
        lengths: Of the written rows.
        most: Largest share of train's tokens that may be unknown.

    Raises:
        DataError: It is larger.
    """
    words, unknown = lengths.words["train"], lengths.unknown["train"]
    if unknown > as_written(most) * words:
        raise DataError(
            "unknown-tokens",
            f"{unknown:,} of train's {words:,} tokens ({unknown / words:.1%}) are unknown to the tokenizer, more than "
            f"data.max_unknown_share={most:g} allows: choose a model of the texts' language and script, or clean what "
            "it has no word for.",
        )


def padding_ratio(lengths: np.ndarray, batch: int, order: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return computed tokens ÷ real tokens where each batch is padded to its longest row; 1.0 is no padding.

    Args:
        lengths: Tokens of each row.
        batch: Rows a batch.
        order: Lengths → the order in which rows are batched.
    """
    if not len(lengths):
        return 1.0
    ordered = lengths[order(lengths)].astype(np.int64)
    starts = np.arange(0, len(ordered), batch)
    computed = np.maximum.reduceat(ordered, starts) * np.diff(np.append(starts, len(ordered)))
    return float(computed.sum() / ordered.sum())


def random_order(lengths: np.ndarray) -> np.ndarray:
    """Return a fixed random order."""
    return np.random.default_rng(0).permutation(len(lengths))


def grouped_order(lengths: np.ndarray) -> np.ndarray:
    """Return a fixed random order, sorted by length inside mega-batches of 50 × 32 rows."""
    order = random_order(lengths)
    mega = np.arange(len(order)) // (50 * 32)
    return order[np.lexsort((lengths[order], mega))]
