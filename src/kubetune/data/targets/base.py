"""What a target type is: how the truth of a row is read from a cell, stored in `dataset` and told in the data report.

`prepare` shows a target type the whole column first (`open`), then each cell (`read`), then which rows are used
(`settle`), and at last writes what it makes of them (`column`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

StoredTruths = Callable[[], Iterator[pa.Array]]
"""Gives the values that `read` returned for the accepted rows, in their order, some thousand at a time."""


@dataclass(frozen=True)
class TargetRules:
    """What the recipe says of truths.

    Attributes:
        column: Name of the column; None: there is none.
        classes: `data.labels`.
        numbers: `data.label_numbers`.
        missing: `data.missing_labels`.
        cleaning: Names of cleaning steps.
        polarity: `positive_from` and `negative_to` of weak labels.
        separator: `data.label_separator`.
        empty: `data.empty_labels`.
        score_range: `data.score_range`.
        tag_repair: `data.tag_repair`.
    """

    column: str | None
    classes: Sequence[str] | None = None
    numbers: str | int = "auto"
    missing: Sequence[str] = ()
    cleaning: Sequence[str] = ()
    polarity: tuple[float, float] | None = None
    separator: str | None = None
    empty: str = "refuse"
    score_range: tuple[float, float] | None = None
    tag_repair: str = "refuse"


class TargetCell(NamedTuple):
    """What the truth of a row is read from.

    Attributes:
        value: The cell of the target's column; None where there is no column.
        texts: The row's raw texts.
        words: The words of the first text where it came as a list of them.
    """

    value: Any
    texts: tuple[str, ...]
    words: Sequence[str] | None = None


class Truth(NamedTuple):
    """What a cell holds.

    Attributes:
        stratum: Class by which rows are divided in proportion, from 0.
        identity: From 0, below 2^63; equal for equal truths, and for these alone.
        value: What is stored until it is written; None where the stratum says it all.
    """

    stratum: int
    identity: int
    value: Any = None


class Settled(NamedTuple):
    """What the used rows hold.

    Attributes:
        labels: Class names by their final number; none where truths have no classes.
        counts: Split → rows (or what is counted in them) by class number.
    """

    labels: list[str]
    counts: dict[str, list[int]]


class TargetReader(Protocol):
    """A column of truths, whose cells are read one by one. Made by `TargetType.open`, used for one data set."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Rules that reject a row for its truth, in the order in which they are looked at."""

    @property
    def decisions(self) -> list[str]:
        """What was decided about the column, a sentence each; `settle` may add some."""

    @property
    def stored(self) -> pa.DataType | None:
        """Arrow type of `Truth.value`; None: the stratum says it all."""

    def read(self, cell: TargetCell) -> Truth | str:
        """Return what a cell holds, or the rule that it breaks.

        Raises:
            DataError: The column holds something that no rule is for.
        """

    def content(self, value: Any) -> str:
        """Return a cell as it counts for the row's identity."""

    def settle(self, split: np.ndarray, strata: np.ndarray, stored: StoredTruths) -> Settled:
        """Take note of which rows are used, and return what they hold; `column` then has the final class numbers.

        Args:
            split: Split of each accepted row, (rows,); `NEITHER` for those that are left out.
            strata: Of each accepted row, (rows,).
            stored: The values of each accepted row, where `stored` is a type.
        """

    def check(self, settled: Settled, *, whole: bool) -> None:
        """Refuse rows that nothing can be learnt from or measured on.

        Args:
            settled: Of `settle`.
            whole: Whether each split has rows; False: train alone is looked at.

        Raises:
            DataError: Says what is lacking.
        """

    def column(self, strata: np.ndarray, stored: pa.Array) -> pa.Array:
        """Return column `label` of rows, with final class numbers; `stored` is of nulls where nothing is stored."""

    def groups(self, labels: Sequence[str]) -> list[str]:
        """Return the headings under which the report shows examples."""

    def groups_of(self, value: Any) -> Sequence[int]:
        """Return the numbers of the headings that a value of column `label` belongs to."""

    def shown(self, value: Any, texts: Sequence[str]) -> str:
        """Return a value of column `label` for a person; empty where its heading says it."""

    def findings(self, settled: Settled, rare: int) -> dict[str, Any]:
        """Return what the data report says of the truths.

        Args:
            settled: Of `settle`.
            rare: A class with fewer rows of train is rare.
        """

    def advice(self) -> str:
        """Return sentences about the rejected cells, for an error; each begins with a blank."""

    def examples(self) -> Mapping[str, Sequence[str]]:
        """Return reason → the first rejected cells in words, of reasons that need more than a name."""


class TargetType(Protocol):
    """A module of this package has one as `TARGET_TYPE`."""

    @property
    def type(self) -> pa.DataType:
        """Arrow type of column `label`."""

    @property
    def words(self) -> bool:
        """Whether a text may be a list of words."""

    @property
    def document(self) -> int | None:
        """Number of the text whose rows stay together in one split; None: all texts together."""

    def accepts(self, kind: pa.DataType) -> bool:
        """Whether a nested Arrow type can hold truths."""

    def open(self, rules: TargetRules, files: Mapping[str, Path], source: Mapping[str, Any]) -> TargetReader:
        """Read the whole column of each split, and decide how its cells are read.

        Args:
            rules: What the recipe says.
            files: Split → Parquet file that has the column.
            source: `source.json` of artifact `raw`.

        Raises:
            DataError: It cannot be decided without a guess, or the column is none of truths.
        """


def by_split(counts: Mapping[str, Sequence[int]], labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return class → split → count."""
    return {name: {split: count[number] for split, count in counts.items()} for number, name in enumerate(labels)}
