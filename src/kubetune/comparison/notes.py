"""What a person must know of how two models' answers were paired, a sentence each."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kubetune.errors import DataError
from kubetune.text.shown import one_line

FEWEST = 0.5
"""Share of the rows that two models must be asked alike; fewer are a choice of rows."""


def answer_notes(how: str, answered: NDArray[np.bool_]) -> list[str]:
    """Say that the champion was asked again, and of what it has no answer.

    Args:
        how: `stored` or `again`.
        answered: Whether it has an answer, shape (rows,).
    """
    if how == "stored":
        return []
    found = [
        f"The champion was evaluated on other test rows or labels, so it was scored again on these {len(answered):,} "
        "rows."
    ]
    if unread := int((~answered).sum()):
        found.append(
            f"The champion finds nothing to read in {unread:,} of them after its own cleaning; they are left out of "
            "the comparison for both models."
        )
    return found


def asked_notes(alike: NDArray[np.bool_], champion: str) -> list[str]:
    """Say in how many rows the two models were asked for other things, as another tokenizer has other tokens.

    Args:
        alike: See `Task.comparable`, shape (rows,).
        champion: Its name, the beginning of a sentence.

    Raises:
        DataError: There are too many.
    """
    if not (others := int((~alike).sum())):
        return []
    if others > (1 - FEWEST) * len(alike):
        raise DataError(
            "champion-tokens",
            f"{champion} reads {others:,} of {len(alike):,} test rows as other tokens than the candidate, so that "
            "their answers do not compare: use the same tokenizer, cleaning and model.max_length, or give the "
            "candidate a name of its own.",
        )
    return [
        f"The champion reads {others:,} of {len(alike):,} rows as other tokens than the candidate; they are left out "
        "of the comparison for both models."
    ]


def label_notes(candidate: Sequence[str], champion: Sequence[str]) -> list[str]:
    """Say which labels only one of two models knows."""
    unknown = [name for name in candidate if name not in champion]
    former = [name for name in champion if name not in candidate]
    found = []
    if unknown:
        found.append(f"The champion does not know {listed_labels(unknown)}, so it is wrong on every row labelled so.")
    if former:
        found.append(f"The champion also answers {listed_labels(former)}, which is wrong on every one of these rows.")
    return found


def listed_labels(names: Sequence[str], most: int = 5) -> str:
    """Return names for a sentence."""
    shown = ", ".join(f"“{one_line(name, 60)}”" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
