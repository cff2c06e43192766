"""How a stage's key differs from that of the nearest other run, and how its fields are written for a person."""

from collections.abc import Mapping
from dataclasses import dataclass

from kubetune.api.html import table_html


@dataclass(frozen=True)
class StageDifference:
    """Why a stage ran: how its key differs from the nearest other run's.

    Attributes:
        run: Run id.
        stage: Stage name.
        nearest: The run compared with; None where no other run has this stage.
        differ: Field of the key → (value there, value here); None where a side lacks the field.
    """

    run: str
    stage: str
    nearest: str | None
    differ: Mapping[str, tuple[str | None, str | None]]

    @property
    def sentence(self) -> str:
        """What it comes to, in one sentence."""
        if self.nearest is None:
            return f"No other run has stage {self.stage}: it ran because it was the first."
        if not self.differ:
            return f"Nothing differs from {self.nearest}: the result is the same one."
        return f"Compared with {self.nearest}, the nearest other run of {self.stage}:"

    @property
    def headings(self) -> list[str]:
        """Headings of `cells`."""
        return ["field", self.nearest or "-", self.run]

    def cells(self) -> list[list[str]]:
        """Return a line a field: name, value there, value here."""
        return [[name, short(there), short(here)] for name, (there, here) in self.differ.items()]

    def _repr_html_(self) -> str:
        return table_html(self.headings, self.cells(), self.sentence)


def short(value: str | None) -> str:
    """Return the JSON text of a recipe value (or another field of a key) as `why` and `compare` print it.

    A number has all its digits: two learning rates that differ must not look alike. A digest is cut to what a person
    compares, and what a side lacks is `-`.
    """
    if value is None:
        return "-"
    return value[:12] if len(value) == 64 else value if len(value) <= 60 else value[:57] + "..."
