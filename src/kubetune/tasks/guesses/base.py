"""What a guess is made of: what a person has said, a row of the table, and what was decided."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubetune.config.task_columns import task_name
from kubetune.errors import ConfigError
from kubetune.tasks.guesses.seen import Seen, SeenColumn

MULTILINGUAL = "distilbert/distilbert-base-multilingual-cased"
CALLED = {"task": "task", "text": "text", "text_pair": "second text", "label": "label"}
"""Options → what they name."""


class UndecidedError(ConfigError):
    """Several columns could be meant, or none; the sentence names the option that decides.

    Attributes:
        option: Name of the option without its dashes, with `_`.
        question: What to ask a person.
        choices: What may be answered; none: there is nothing to choose from.
    """

    def __init__(self, option: str, found: str, choices: Sequence[str] = (), otherwise: str = "") -> None:
        self.option, self.choices = option, tuple(choices)
        self.question = found
        kinds = f" ({' or '.join(self.choices)})" if option == "task" and choices else ""
        super().__init__(f"{found}: name the {CALLED[option]} with --{option.replace('_', '-')}{kinds}{otherwise}.")


@dataclass(frozen=True)
class Given:
    """What a person has said; None: nothing.

    Attributes:
        task: Kind of the task, or its name.
        text: Column.
        text_pair: Column.
        label: Column.
        model: A name on the Hub, or a folder.
        problem: `task.problem`.
        separator: `data.label_separator`.
        entails: Whether it is said which class is the entailment: by `task.entailment`, or by the names of
            `data.labels`.
    """

    task: str | None = None
    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    model: str | None = None
    problem: str | None = None
    separator: str | None = None
    entails: bool = False


@dataclass(frozen=True)
class Setting:
    """A value of section `data` that follows from the truth, and why, as a clause."""

    key: str
    value: Any
    why: str


@dataclass(frozen=True)
class Start:
    """What a first recipe of a task is filled with.

    Attributes:
        model: A model of the Hub for English.
        epochs: Passes where there are rows enough.
        learning_rate: Peak rate.
        max_length: Most tokens that are read at once.
        thresholds: Bars that need no measurement: what a model must beat to be worth its cost.
        sections: Further values, by section.
        batch: Rows of a step; None: as many as suit the rows that there are.
        settings: Of section `data`, whatever the truth is.
        multilingual: The model for other languages.
    """

    model: str
    epochs: int
    learning_rate: float
    max_length: int
    thresholds: tuple[Mapping[str, Any], ...]
    sections: Mapping[str, Mapping[str, Any]] | None = None
    batch: int | None = None
    settings: tuple[Setting, ...] = ()
    multilingual: str = MULTILINGUAL


def nothing_follows(truth: SeenColumn, given: Given) -> list[Setting]:
    """Return no setting."""
    del truth, given
    return []


def says_nothing(truth: SeenColumn) -> list[str]:
    """Return no sentence."""
    del truth
    return []


@dataclass(frozen=True)
class TaskGuess:
    """A row of the table.

    Attributes:
        kind: Of the task.
        speaks: Why the columns speak for the task, or None where they do not.
        texts: Finds the texts, each with why; the label is known where it could be taken for a text.
        fault: Why a column cannot be the truth, also if a person names it.
        doubt: Why a column is not taken to be the truth unless a person names it.
        names: Names by which a column says that it is the truth.
        truth: What is said of the truth.
        start: Values of a first recipe.
        problem: Of the task.
        settings: What follows from the truth for section `data`; it may refuse the column.
        notes: What a person should know of the truth, a sentence each.
        classes: Whether the truth is one of several classes.
        windows: Whether texts that are too long are read in windows.
        truthless: Whether the texts say all, so that there is no column of the truth.
        sparse: Whether a row may lack the truth.
        apart: Whether each text has a vector of its own, and so a length.
        further: Key of `data.columns` → names of a column that it is taken for.
    """

    kind: str
    speaks: Callable[[Seen, Given], str | None]
    texts: Callable[[Seen, Given, str | None], list[tuple[str, str]]]
    fault: Callable[[SeenColumn], str | None]
    doubt: Callable[[SeenColumn], str | None]
    names: frozenset[str]
    truth: Callable[[SeenColumn], str]
    start: Start
    problem: str = "single-label"
    settings: Callable[[SeenColumn, Given], list[Setting]] = nothing_follows
    notes: Callable[[SeenColumn], list[str]] = says_nothing
    classes: bool = False
    windows: bool = False
    truthless: bool = False
    sparse: bool = False
    apart: bool = False
    further: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the task."""
        return str(task_name(self))


@dataclass(frozen=True)
class Guess:
    """What was decided.

    Attributes:
        row: Of the table.
        texts: Columns of the texts, in order.
        label: Column of the truth; None: there is none.
        further: Key of `data.columns` → its column.
        settings: Of section `data`.
        reasons: `task`, `text`, `text_pair` and `label` → why, as a clause.
    """

    row: TaskGuess
    texts: tuple[str, ...]
    label: str | None
    further: Mapping[str, str]
    settings: Sequence[Setting]
    reasons: Mapping[str, str]
