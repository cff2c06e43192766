"""Values of a first recipe that follow from the rows: sizes, splits, weights, the language of the model."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kubetune.tasks.guesses.base import Guess
from kubetune.tasks.guesses.seen import Holds, Seen, SeenColumn
from kubetune.text.shown import one_line

FOREIGN = 0.01
"""Share of other letters than English ones from which on texts are not English; names in English texts have fewer."""
TOKENS_A_WORD, TOKENS_A_CHARACTER = 1.4, 0.8
SPECIAL_TOKENS = 4
LONGEST_WORDS = 12
"""Characters of a word on average, which no language that parts words by blanks has."""
TYPICAL = 3.0
"""Texts of up to so many times the average are read whole: nearly all, where lengths fall off exponentially."""
LENGTHS = (32, 64, 128, 256, 512)
FEW_ROWS, SOME_ROWS = 500, 2_000
LARGE_ROWS, FIRST_TRY = 50_000, 10_000
JUDGED = 200
"""Test rows below which models are not compared, see `promotion.minimum_rows`."""
RARE = 10
UNBALANCED = 3.0
REJECTED = 0.05
"""Default of `data.max_reject_share`."""


@dataclass(frozen=True)
class FirstValues:
    """Values for a file and a guess of what it is for."""

    seen: Seen
    guess: Guess

    @cached_property
    def texts(self) -> list[SeenColumn]:
        """Columns of the texts."""
        return [column for name in self.guess.texts if (column := self.seen.find(name)) is not None]

    @cached_property
    def truth(self) -> SeenColumn | None:
        """Column of the truth."""
        return None if self.guess.label is None else self.seen.find(self.guess.label)

    @cached_property
    def rows(self) -> int:
        """Rows that have a text and a truth, as far as is known."""
        least = [column.filled for column in (*self.texts, *filter(None, [self.truth]))]
        return self.seen.rows if self.guess.row.sparse else min(least, default=self.seen.rows)

    @property
    def held_out(self) -> float:
        """Share of the rows for validation, and of those for test."""
        return 0.15 if self.rows < SOME_ROWS else 0.1

    @property
    def rejected(self) -> float:
        """Share of the rows that lack a text or a label."""
        return 1 - self.rows / max(self.seen.rows, 1)

    @property
    def epochs(self) -> int:
        """Passes over train: more where it is small."""
        times = 3 if self.rows < FEW_ROWS else 2 if self.rows < SOME_ROWS else 1
        return self.guess.row.start.epochs * times

    @property
    def unbalanced(self) -> bool:
        """Whether classes differ much in their rows."""
        counts = list(self.truth.values.values()) if self.truth is not None and self.guess.row.classes else []
        return len(counts) > 1 and counts[0] > UNBALANCED * counts[-1]

    @cached_property
    def max_length(self) -> int:
        """Tokens that are read at once."""
        most = self.guess.row.start.max_length
        if self.guess.row.windows:
            return most
        tokens = SPECIAL_TOKENS + (max if self.guess.row.apart else sum)(list(map(_typical_tokens, self.texts)))
        return min(next((length for length in LENGTHS if length >= tokens), most), most)

    def data(self) -> dict[str, Any]:
        """Return values of section `data`, but for its source."""
        roles = dict(zip(("text", "text_pair"), self.guess.texts, strict=False))
        roles |= {} if self.guess.label is None else {"label": self.guess.label}
        roles |= self.guess.further
        values: dict[str, Any] = {
            "columns": roles,
            "splits": {"validation": self.held_out, "test": self.held_out, "seed": 0},
        }
        if self.rejected > REJECTED:
            values["max_reject_share"] = min(1.0, math.ceil(100 * (self.rejected + REJECTED)) / 100)
        return values | {setting.key: setting.value for setting in self.guess.settings}

    def training(self) -> dict[str, Any]:
        """Return values of section `training`."""
        values: dict[str, Any] = {
            "epochs": self.epochs,
            "batch": self.guess.row.start.batch or (16 if self.rows < SOME_ROWS or self.guess.row.sparse else 32),
            "learning_rate": self.guess.row.start.learning_rate,
        }
        return values | ({"class_weights": "balanced"} if self.unbalanced else {})

    def model(self, asked: str | None) -> tuple[dict[str, Any], str]:
        """Return section `model.source` and why it is that.

        Args:
            asked: A folder, or a name on the Hub; None: one for the language of the texts.
        """
        if asked is not None and Path(asked).is_dir():
            return {"kind": "path", "path": asked}, f"the folder {one_line(asked, 80)}, as --model says"
        if asked is not None:
            return {"kind": "hub", "name": asked}, f"{one_line(asked, 80)} of the Hub, as --model says"
        foreign = max((column.foreign for column in self.texts), default=0.0)
        if foreign > FOREIGN:
            why = f"{100 * foreign:.0f} % of the letters are no English ones, so one for many languages"
            name = self.guess.row.start.multilingual
            return {"kind": "hub", "name": name}, f"{name} of the Hub: {why}; set with --model"
        name = self.guess.row.start.model
        return {"kind": "hub", "name": name}, f"{name} of the Hub, a small one for English; set with --model"

    def sizes(self) -> Iterator[tuple[str, str]]:
        """Yield what was decided about sizes, and why."""
        lengths = " and ".join(map(_average, self.texts))
        about = "longer contexts are read in windows" if self.guess.row.windows else f"texts have {lengths} on average"
        yield "max_length", f"{self.max_length} tokens; {about}"
        few = "" if self.epochs == self.guess.row.start.epochs else f", more than usual as {self.rows:,} rows are few"
        yield "epochs", f"{self.epochs}{few}"
        share = f"{100 * self.held_out:.0f} %"
        yield "splits", f"{share} of the rows for validation and {share} for test, drawn by us"
        bars = " and ".join(
            f"{bar['metric']} above baseline {bar['above_baseline']}" for bar in self.guess.row.start.thresholds
        )
        yield "threshold", f"{bars}: what costs nothing must be beaten; raise the bar once a report is there"
        if self.unbalanced and self.truth is not None:
            names = list(self.truth.values)
            first, last = (
                f"{one_line(name, 30)} has {self.truth.values[name]:,} rows" for name in (names[0], names[-1])
            )
            yield "class_weights", f"balanced, as {first} and {last}"
        if self.rejected > REJECTED:
            yield "max_reject_share", f"raised, as {100 * self.rejected:.0f} % of the rows lack a text or a label"
        for setting in self.guess.settings:
            yield setting.key, f"{_shown(setting.value)}, {setting.why}; set with data.{setting.key}=…"

    def warnings(self) -> Sequence[str]:
        """Return what a person should know of these rows."""
        return list(self._warnings())

    def _warnings(self) -> Iterator[str]:
        seen, test = self.seen, int(self.rows * self.held_out)
        if not seen.whole:
            yield f"Guesses rest on the first {seen.rows:,} rows: later ones were not looked at."
        elif self.rows < seen.rows:
            yield f"{seen.rows - self.rows:,} of {seen.rows:,} rows lack a text or a label and will be rejected."
        if seen.whole and test < JUDGED:
            yield (
                f"{self.rows:,} rows are few: about {test:,} of them are for test, so figures are rough, and "
                f"models are compared from {JUDGED} test rows on (promotion.minimum_rows)."
            )
        if self.truth is not None:
            yield from self.guess.row.notes(self.truth)
        if self.truth is not None and self.guess.row.classes:
            rare = [name for name, rows in self.truth.values.items() if rows < RARE]
            if rare:
                shown = ", ".join(f"{one_line(name, 30)} ({self.truth.values[name]})" for name in rare[:5])
                yield f"Classes with fewer than {RARE} rows are hardly learnt: {shown}{', …' if len(rare) > 5 else ''}."
        if self.rows > LARGE_ROWS:
            yield f"For a first try on so many rows add data.limit={FIRST_TRY} to the command."


def _shown(value: Any) -> str:
    return one_line(", ".join(map(str, value)) if isinstance(value, list) else str(value), 80)


def _spaced(column: SeenColumn) -> bool:
    """Whether blanks part the words, as in most scripts; what they part is too long for words elsewhere."""
    return column.mean < LONGEST_WORDS * column.words or column.holds is Holds.WORDS


def _average(column: SeenColumn) -> str:
    return f"{column.words:,.0f} words" if _spaced(column) else f"{column.mean:,.0f} characters"


def _typical_tokens(column: SeenColumn) -> float:
    """Return about how many tokens nearly all texts of a column have at most."""
    if not column.words:
        return float(LENGTHS[-1])
    mean = column.words * TOKENS_A_WORD if _spaced(column) else column.mean * TOKENS_A_CHARACTER
    longest = column.longest / column.mean if column.longest else TYPICAL
    return mean * min(TYPICAL, longest)
