"""What the columns of a file hold, as far as it was read: what a guess of its task rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Holds(StrEnum):
    """What the cells of a column are, in the words of a sentence."""

    NOTHING = "nothing"
    TEXT = "text"
    INTEGERS = "whole numbers"
    NUMBERS = "numbers"
    TRUTH_VALUES = "truth values"
    WORDS = "lists of words"
    TAGS = "tags of words"
    TAG = "the tag of one word"
    TAG_NUMBERS = "lists of numbers"
    SPANS = "spans of a text"
    ANSWERS = "answers with their places"
    LISTS = "lists"
    OBJECTS = "objects"


@dataclass(frozen=True)
class SeenColumn:
    """A column as far as it was read.

    Attributes:
        name: Its name.
        holds: What its cells are.
        filled: Cells that hold something.
        missing: Cells that hold nothing, or a mark of a missing value.
        values: Single value → rows, the most frequent first; at most `Seen.MOST_VALUES` of them.
        distinct: Different single values; a lower bound where there are more than are kept.
        longest: Characters of the longest cell.
        mean: Characters of a cell on average, of those that hold something.
        words: Words of a cell on average.
        prose: Share of the cells that are more than one word, or of a script that puts no blanks between words.
        foreign: Share of the letters that are not English ones.
        whole: Whether all rows were read.
        items: Of lists of single values: value → lists that have it, the most frequent first; at most as many as of
            `values`.
        empty: Lists that hold nothing.
    """

    name: str
    holds: Holds
    filled: int
    missing: int
    values: Mapping[str, int]
    distinct: int
    longest: int = 0
    mean: float = 0.0
    words: float = 0.0
    prose: float = 0.0
    foreign: float = 0.0
    whole: bool = True
    items: Mapping[str, int] = field(default_factory=dict)
    empty: int = 0


@dataclass(frozen=True)
class Seen:
    """The columns of a file and its first rows.

    Attributes:
        columns: In the file's order.
        first: Some first rows, each cell on one line.
        rows: Rows that were read.
        whole: Whether these are all of them.
        named_numbers: Columns whose numbers the file itself names.
        decisions: What the reader decided, a sentence each.
    """

    columns: Sequence[SeenColumn]
    first: Sequence[Sequence[str]]
    rows: int
    whole: bool
    named_numbers: frozenset[str] = frozenset()
    decisions: Sequence[str] = ()

    def find(self, name: str) -> SeenColumn | None:
        """Return a column by its name."""
        return next((column for column in self.columns if column.name == name), None)

    def holding(self, *kinds: Holds) -> list[SeenColumn]:
        """Return the columns that hold one of these."""
        return [column for column in self.columns if column.holds in kinds]
