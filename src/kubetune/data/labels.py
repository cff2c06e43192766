"""From a cell of the label column to a class number."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from kubetune.data.shown import one_line
from kubetune.errors import DataError

INTEGER = re.compile(r"-?[0-9]{1,9}(\.0+)?")
MOST_LABELS = 1000


class LabelBook:
    """Numbers labels in the order of their first occurrence; `order` gives the final numbers.

    Args:
        allowed: Class names in their final order; None: every label found is one.
        class_names: Names that the source itself gives to integer labels.
    """

    def __init__(self, allowed: Sequence[str] | None = None, class_names: Sequence[str] | None = None) -> None:
        self.allowed = tuple(allowed) if allowed is not None else None
        self.class_names = tuple(class_names) if class_names is not None else None
        self.numbers: dict[str, int] = {name: number for number, name in enumerate(self.allowed or class_names or ())}
        self.unknown: Counter[str] = Counter()

    def number(self, value: Any) -> int | None:
        """Return the number of a cell, or None for a label that is not allowed (it is counted in `unknown`).

        Args:
            value: A name, or a number as an int, float or string. A number counts classes from 0 in the order of
                `allowed`, unless `allowed` has the same names as the source in another order: then names decide.

        Raises:
            DataError: There are more labels than any classifier has.
        """
        name = _as_text(value)
        if self.allowed is None and self.class_names is None:
            return self._learn(name)
        if name in self.numbers:
            return self.numbers[name]
        found = None
        if INTEGER.fullmatch(name):
            index = int(float(name))
            names = self.class_names if self._same_names() else (self.allowed or self.class_names or ())
            if names is not None and 0 <= index < len(names):
                found = self.numbers[names[index]]
        if found is None and (name in self.unknown or len(self.unknown) < MOST_LABELS):
            self.unknown[name] += 1
        return found

    def order(self, in_train: Sequence[bool]) -> list[str]:
        """Return the class names in their final order.

        Args:
            in_train: By first number: whether train has rows of that label.
        """
        if self.allowed is not None or self.class_names is not None:
            return list(self.numbers)
        names = [name for name, number in self.numbers.items() if in_train[number]]
        if all(INTEGER.fullmatch(name) for name in names):
            return sorted(names, key=lambda name: (float(name), name))
        return sorted(names)

    def _learn(self, name: str) -> int:
        number = self.numbers.setdefault(name, len(self.numbers))
        if number >= MOST_LABELS:
            raise DataError(
                "too-many-labels",
                f"The label column holds more than {MOST_LABELS} different values: name the right column in "
                "data.columns.label, or list the classes in data.labels.",
            )
        return number

    def _same_names(self) -> bool:
        return self.allowed is not None and set(self.allowed) == set(self.class_names or ())


def check_labels(names: Sequence[str], counts: dict[str, list[int]]) -> None:
    """Refuse rows that no classifier can be trained or measured on.

    Args:
        names: Class names.
        counts: Split → rows by class number.

    Raises:
        DataError: Train has one class only, or another split has a label that train lacks.
    """
    present = [name for name, count in zip(names, counts["train"], strict=True) if count]
    if len(present) < 2:
        found = f"only the class {one_line(present[0], 40)!r}" if present else "no class"
        raise DataError("one-class", f"Train holds {found}: a classifier needs rows of at least two.")
    for split in ("validation", "test"):
        for number, name in enumerate(names):
            if counts[split][number] and not counts["train"][number]:
                raise DataError(
                    "label-only-in-" + split,
                    f"Label {one_line(name, 40)!r} has {counts[split][number]} rows in {split} and none in train: "
                    "add rows of it to train, or leave it out of data.labels.",
                )


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
