"""One text of several columns, joined alike in training and in serving."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubetune.text.gate import RAW, Unreadable


@dataclass(frozen=True)
class Joined:
    """A text that is made of columns, for example subject and body.

    Attributes:
        columns: Their names, in order.
        separator: What stands between two of them.
    """

    columns: tuple[str, ...]
    separator: str

    def join(self, parts: Iterable[str | None]) -> str | None:
        """Return the text of its parts; one that is missing or that the gate calls blank goes with its separator.

        Args:
            parts: One a column, in order.

        Returns:
            None where no part is there at all, `""` where all that are there are blank.
        """
        present = [part for part in parts if part is not None]
        if not present:
            return None
        return self.separator.join(part for part in present if RAW.read(part) is not Unreadable.BLANK)


def joined_texts(text: "str | Sequence[str]", pair: "str | Sequence[str] | None", separator: str) -> dict[str, Joined]:
    """Return text column of the task → how it is joined, for those that the recipe gives as lists."""
    given = {"text": text, "text_pair": pair}
    return {
        name: Joined(tuple(of), separator) for name, of in given.items() if of is not None and not isinstance(of, str)
    }


def as_mapping(texts: Mapping[str, Joined]) -> dict[str, Any]:
    """Return what stands in a manifest."""
    return {name: {"columns": list(of.columns), "separator": of.separator} for name, of in texts.items()}


def from_mapping(values: Mapping[str, Any]) -> dict[str, Joined]:
    """Return what a manifest says.

    Raises:
        KeyError, TypeError: It is none of `as_mapping`.
    """
    return {name: Joined(tuple(map(str, of["columns"])), str(of["separator"])) for name, of in values.items()}
