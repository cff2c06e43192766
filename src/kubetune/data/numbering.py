"""What an integer in the label column is: the name of a class, or its number. Decided once a column, and reported."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubetune.data.label_column import LabelCells
from kubetune.data.labels import INTEGER, MOST_LABELS, LabelBook, plain_number, too_many_labels
from kubetune.errors import DataError
from kubetune.text.label_names import label_name
from kubetune.text.shown import one_line

HIDDEN = -1


@dataclass(frozen=True)
class Numbers:
    """The labels of a column whose cells are all integers.

    Attributes:
        column: Its name.
        values: Each integer, of all splits.
    """

    column: str
    values: frozenset[int]

    @property
    def span(self) -> str:
        """The integers in words."""
        ordered = sorted(self.values)
        if len(ordered) > 3 and len(ordered) == ordered[-1] - ordered[0] + 1:
            return f"{ordered[0]} to {ordered[-1]}"
        return ", ".join(map(str, ordered[:6])) + (", …" if len(ordered) > 6 else "")

    @property
    def subject(self) -> str:
        """The beginning of a sentence about them."""
        return f"Column {one_line(self.column, 80)!r} holds the numbers {self.span}"


def numbers_of(cells: Sequence[LabelCells], column: str) -> Numbers | None:
    """Return the integers of the column; None where it holds anything else, or nothing."""
    found = {name for split in cells for name in split.found}
    if not found or not all(INTEGER.fullmatch(name) for name in found):
        return None
    return Numbers(column, frozenset(int(plain_number(name)) for name in found))


def open_book(
    cells: Sequence[LabelCells],
    column: str,
    declared: Sequence[str] | None,
    source_names: Sequence[str] | None,
    asked: str | int = "auto",
) -> LabelBook:
    """Decide how the label cells are read.

    Args:
        cells: Of `label_column.survey`.
        column: Name of the label column.
        declared: `data.labels`: class names in their order.
        source_names: Names that the source itself gives to the integers of the column, which then are numbers by
            definition (`ClassLabel` of the library datasets).
        asked: `data.label_numbers`: auto, names, or the number of the first class.

    Raises:
        DataError: It cannot be decided without a guess; or there are more labels than any classifier has.
    """
    numbers = numbers_of(cells, column)
    if declared is None and any(len(split.found) > MOST_LABELS for split in cells):
        raise too_many_labels()
    if isinstance(asked, int) and declared is not None:
        return _counted(declared, asked, f"counted from {asked} in data.labels, as data.label_numbers says")
    if asked == "auto" and source_names is not None and (numbers is not None or not any(c.found for c in cells)):
        return _of_source(column, declared, tuple(map(label_name, source_names)))
    classes = declared
    if declared is None and source_names is not None and asked != "names":
        classes = tuple(map(label_name, source_names))
    if numbers is None:
        return LabelBook(classes)
    first = None if classes is None or asked == "names" else _first(numbers, classes)
    if first is None:
        of = "" if classes is None else " of data.labels"
        return LabelBook(classes, numeric=True, reading=f"{numbers.subject}, read as names{of}.")
    return _counted(classes or (), first, f"{numbers.subject}, counted from {first} in data.labels")


def _counted(classes: Sequence[str], first: int, how: str) -> LabelBook:
    """Return a book whose cells are numbers of classes."""
    spelling = {str(first + place): name for place, name in enumerate(classes)}
    how = how if how.startswith("Column") else f"Numbers in the label column are {how}"
    ends = f"{first} is {_quoted(classes[0])}, {first + len(classes) - 1} is {_quoted(classes[-1])}"
    return LabelBook(classes, spelling, numeric=True, reading=f"{how}: {ends}.")


def _first(numbers: Numbers, classes: Sequence[str]) -> int | None:
    """Return the number of the first class, or None where the numbers are names.

    Raises:
        DataError: Both could be, or they count from elsewhere.
    """
    names, values, size = set(classes), numbers.values, len(classes)
    foreign = {value for value in values if str(value) not in names}
    if not foreign:
        return None
    if values <= set(range(size)) and 0 in foreign:
        return 0
    if len(foreign) < len(values):
        if any(0 <= value < size for value in foreign):
            raise _undecided(numbers, classes, "some are names of data.labels, others could be their numbers")
        return None
    if 0 not in values or (min(values) == HIDDEN and values <= set(range(HIDDEN, size + HIDDEN))):
        raise _undecided(numbers, classes, f"the {size} names of data.labels are counted from 0 unless the recipe says")
    return 0


def _undecided(numbers: Numbers, classes: Sequence[str], why: str) -> DataError:
    size = len(classes)
    fit = [first for first in (0, 1, HIDDEN) if numbers.values <= set(range(first, first + size))]
    ways = [f"{first} if {first} is {_quoted(classes[0])}" for first in fit]
    ways.append("names if the numbers are the names of classes")
    none = "; a number that means no label belongs in data.missing_labels" if HIDDEN in numbers.values else ""
    return DataError(
        "label-numbers",
        f"{numbers.subject}, and {why}: set data.label_numbers to {', or to '.join(ways)}, or write the names of the "
        f"classes into the column{none}.",
    )


def _of_source(column: str, declared: Sequence[str] | None, names: Sequence[str]) -> LabelBook:
    """Return a book for numbers that the source itself names.

    Raises:
        DataError: Two names are alike, or `data.labels` neither selects among them nor renames all in their order.
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError("class-names", f"The source names two classes of column {column!r:.80} {_quoted(twice)}.")
    subject = f"Column {one_line(column, 80)!r} holds numbers that the source names"
    if declared is None or set(declared) <= set(names):
        chosen = names if declared is None else declared
        spelling = {str(number): name for number, name in enumerate(names) if name in set(chosen)}
        listed = ", ".join(f"{number} is {_quoted(name)}" for number, name in list(enumerate(names))[:3])
        more = ", …" if len(names) > 3 else ""
        return LabelBook(chosen, spelling, numeric=True, reading=f"{subject}: {listed}{more or '.'}")
    pairs = list(zip(declared, names, strict=False))
    if len(declared) == len(names) and all(
        ours == theirs or (ours not in names and theirs not in declared) for ours, theirs in pairs
    ):
        spelling = {str(number): name for number, name in enumerate(declared)}
        listed = ", ".join(f"{_quoted(theirs)} is called {_quoted(ours)}" for ours, theirs in pairs[:3])
        return LabelBook(declared, spelling, numeric=True, reading=f"{subject}, and data.labels renames: {listed}.")
    raise DataError(
        "class-names",
        f"The source names the classes of column {one_line(column, 80)!r} {', '.join(map(_quoted, names[:20]))}, and "
        f"data.labels has {', '.join(map(_quoted, list(declared)[:20]))}: list some or all of the source's names, or "
        "as many new ones in the same order.",
    )


def _quoted(name: str) -> str:
    return repr(one_line(name, 40))
