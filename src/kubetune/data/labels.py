"""From the name or number in a label cell to a class number."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from kubetune.errors import DataError
from kubetune.text.shown import one_line

INTEGER = re.compile(r"-?[0-9]{1,9}(\.0+)?")
MOST_LABELS = 1000


class LabelBook:
    """Numbers classes; `order` gives the final numbers. How cells are spelt is decided before, for a whole column.

    Args:
        classes: Class names in their final order; None: every label found is one, in the order of first occurrence.
        spelling: Cell → class name; None: cells are the names themselves.
        numeric: Whether all cells are integers, so that `1.0` is `1`.
        reading: How the cells are read, one sentence; empty where nothing had to be decided.

    Attributes:
        numbers: Class → number in the order of first occurrence.
        unknown: Cells that name no class → rows.
        missing: Cells that mean that there is no label → rows.
    """

    def __init__(
        self,
        classes: Sequence[str] | None = None,
        spelling: Mapping[str, str] | None = None,
        *,
        numeric: bool = False,
        reading: str = "",
    ) -> None:
        self.classes = tuple(classes) if classes is not None else None
        self.numbers: dict[str, int] = {name: number for number, name in enumerate(self.classes or ())}
        self.numeric, self.reading = numeric, reading
        self.unknown: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()
        named = {plain_number(name) if numeric else name: name for name in self.numbers}
        self._spelling = MappingProxyType(dict(spelling if spelling is not None else named))

    def number(self, name: str) -> int | None:
        """Return the number of a cell's label, or None for one that is not allowed (it is counted in `unknown`).

        Args:
            name: As `label_column.label_text` returns it.

        Raises:
            DataError: There are more labels than any classifier has.
        """
        name = plain_number(name) if self.numeric else name
        if self.classes is None:
            return self._learn(name)
        found = self._spelling.get(name)
        if found is not None:
            return self.numbers[found]
        if name in self.unknown or len(self.unknown) < MOST_LABELS:
            self.unknown[name] += 1
        return None

    def order(self, in_train: Sequence[bool]) -> list[str]:
        """Return the class names in their final order.

        Args:
            in_train: By first number: whether train has rows of that label.
        """
        if self.classes is not None:
            return list(self.numbers)
        names = [name for name, number in self.numbers.items() if in_train[number]]
        if all(INTEGER.fullmatch(name) for name in names):
            return sorted(names, key=lambda name: (float(name), name))
        return sorted(names)

    def _learn(self, name: str) -> int:
        number = self.numbers.setdefault(name, len(self.numbers))
        if number >= MOST_LABELS:
            raise too_many_labels()
        return number


def plain_number(name: str) -> str:
    """Return an integer without the zeros after its point; any other name as it is."""
    return name.partition(".")[0] if INTEGER.fullmatch(name) else name


def too_many_labels() -> DataError:
    """Return the refusal of a label column that holds anything but labels."""
    return DataError(
        "too-many-labels",
        f"The label column holds more than {MOST_LABELS} different values: name the right column in "
        "data.columns.label, or list the classes in data.labels.",
    )


def check_labels(names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> None:
    """Refuse rows that no classifier can be trained or measured on.

    Args:
        names: Class names.
        counts: Split → rows by class number.

    Raises:
        DataError: Train has one class only, or another split has a label that train lacks.
    """
    check_two_classes(names, counts["train"])
    check_in_train(names, counts)


def check_in_train(names: Sequence[str], counts: Mapping[str, Sequence[int]], unit: str = "rows") -> None:
    """Refuse a class that is measured and never taught.

    Args:
        names: Class names.
        counts: Split → rows (or `unit`) by class number.
        unit: What is counted.

    Raises:
        DataError: Another split has a label that train lacks.
    """
    for split in ("validation", "test"):
        for number, name in enumerate(names):
            if counts[split][number] and not counts["train"][number]:
                raise DataError(
                    "label-only-in-" + split,
                    f"Label {one_line(name, 40)!r} has {counts[split][number]} {unit} in {split} and none in "
                    "train: add rows of it to train, or leave it out of data.labels.",
                )


def check_two_classes(names: Sequence[str], train: Sequence[int]) -> None:
    """Refuse a train split of fewer than two classes.

    Args:
        names: Class names.
        train: Rows by class number.

    Raises:
        DataError: Names the only class.
    """
    present = [name for name, count in zip(names, train, strict=True) if count]
    if len(present) < 2:
        found = f"only the class {one_line(present[0], 40)!r}" if present else "no class"
        raise DataError("one-class", f"Train holds {found}: a classifier needs rows of at least two.")
