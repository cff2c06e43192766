"""Judgements on columns that were seen: which could be classes, which is a text, and which names say what they hold."""

import re
from collections.abc import Iterable, Sequence

from kubetune.tasks.guesses.seen import Holds, Seen, SeenColumn
from kubetune.text.shown import one_line

LABELS = frozenset(
    {
        "label", "labels", "target", "class", "classes", "classlabel", "sentiment", "category", "intent", "topic",
        "emotion", "polarity", "queue", "tag", "y", "labeltext", "labelname", "goldlabel", "entailmentlabel",
    }
)  # fmt: skip
"""Names of a column of classes, without case and what stands between words."""
PAIRS = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("text", "textpair"),
    ("text1", "text2"), ("sentencea", "sentenceb"), ("texta", "textb"),
)  # fmt: skip
"""Names of two texts that are one item, in order."""
BELONGING = (("anchor", "positive"), ("query", "positive"))
"""Names of two texts that belong together, in order."""
TAGS = frozenset({"nertags", "tags", "spans", "entities", "labels"})
TOKENS = frozenset({"tokens", "words"})
QUESTIONS, CONTEXTS = frozenset({"question", "query"}), frozenset({"context", "passage", "paragraph"})
TEXTS = frozenset(
    {"text", "texts", "sentence", "review", "body", "content", "message", "tweet", "comment", "utterance"}
)
"""Names that decide between columns that are about as long."""
MOST_CLASSES = 1_000
MOST_NUMBERS = 20
"""Different whole numbers of a column that is taken for classes though nothing says so."""
MOST_UNNAMED = 200
"""Different texts of a column that is taken for classes though its name does not say so."""
LONGEST_CLASS = 80
"""Characters of the name of a class in such a column."""
ROWS_A_CLASS = 3
CLOSE = 0.5
"""A column whose texts have this share of the longest one's words could be the text as well."""
PROSE = 0.2
"""Share of cells of more than one word from which on a column is one of texts and not of names."""
SEPARATORS = ("|", ";", ",")
"""Of labels in a cell."""
RARE_MARKS = frozenset("|;")


def normal_name(name: str) -> str:
    """Return a column's name without case and what stands between its words."""
    return re.sub(r"[\W_]+", "", name.casefold())


def names_of_columns(columns: Sequence[SeenColumn]) -> list[str]:
    """Return the names of columns."""
    return [column.name for column in columns]


def subject_of(column: SeenColumn) -> str:
    """Return the beginning of a sentence about a column."""
    return f"Column {one_line(column.name, 60)!r}"


def quoted_names(names: Iterable[str], most: int = 8) -> str:
    """Return names for a sentence."""
    shown = [repr(one_line(name, 40)) for name in names]
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")


def class_fault(column: SeenColumn) -> str | None:
    """Return why a column cannot be one of classes, or None."""
    if column.holds is Holds.NOTHING:
        return "is empty"
    if column.holds is Holds.TAG:
        return "holds one tag a row, and a row is a whole sentence (words and tags as lists, or a CoNLL file)"
    single = column.holds in (Holds.TEXT, Holds.INTEGERS, Holds.NUMBERS, Holds.TRUTH_VALUES)
    return _values_fault(column) if single else f"holds {column.holds}, and a row has one class"


def _values_fault(column: SeenColumn) -> str | None:
    if column.distinct == 1 and column.whole:
        only = one_line(next(iter(column.values), "…"), 40)
        return f"holds one value only ({only!r}), and a classifier needs two classes"
    if column.holds is Holds.NUMBERS:
        return (
            f"holds {_count(column)} different numbers with fractions, which are no classes; task.problem=regression "
            "learns them as numbers"
        )
    if column.distinct == column.filled and column.filled > 2:
        return "differs in every row, as an id or a text does"
    if column.distinct > min(MOST_CLASSES, column.filled / 2):
        return f"holds {_count(column)} different values in {column.filled:,} rows, which are no classes"
    return None


def class_doubt(column: SeenColumn) -> str | None:
    """Return why a column is hardly one of classes, or None; a person may say that it is."""
    named = normal_name(column.name) in LABELS
    if (why := _values_doubt(column)) is not None:
        return why
    if column.holds is Holds.INTEGERS and column.distinct > MOST_NUMBERS and not (named and counts_classes(column)):
        return f"holds {_count(column)} different numbers, which are a measure rather than classes"
    if named:
        return None
    if column.longest > LONGEST_CLASS:
        return f"holds texts of up to {column.longest:,} characters"
    if column.distinct > min(MOST_UNNAMED, column.filled / ROWS_A_CLASS):
        return f"holds {_count(column)} different values in {column.filled:,} rows"
    return None


def _values_doubt(column: SeenColumn) -> str | None:
    if (separator := label_separator(column)) is not None:
        return (
            f"holds values such as {separator[1]!r}, which look like several labels parted by {separator[0]!r}: "
            "task.problem=multi-label learns them"
        )
    if column.distinct == 1:
        return (
            f"holds one value in the {column.filled:,} rows that were read, as files do that are sorted by their label"
        )
    return None


def label_separator(column: SeenColumn) -> tuple[str, str] | None:
    """Return what parts several labels in a cell, and such a cell.

    Their parts stand alone in other cells, or, parted by what no sentence has, come back in other sets of labels.
    """
    if column.holds is not Holds.TEXT:
        return None
    for mark in SEPARATORS:
        joined = [value for value in column.values if mark in value]
        parts = {part.strip() for value in joined for part in value.split(mark)} - {""}
        again = mark in RARE_MARKS and len(parts) <= len(joined) and not any(" " in part for part in parts)
        if joined and (again or len(parts & set(column.values)) > len(parts) / 2):
            return mark, one_line(joined[0], 40)
    return None


def classes_of(column: SeenColumn) -> str:
    """Say which classes a column holds."""
    shown = [f"{one_line(name, 30)} {rows:,}" for name, rows in list(column.values.items())[:4]]
    return f"{column.distinct:,} classes: {', '.join(shown)}" + (", …" if column.distinct > 4 else "")


def close_to_longest(seen: Seen, label: str | None) -> tuple[list[SeenColumn], str]:
    """Return the columns that could be the text, which are the longest and those about as long, and why it is one."""
    found = [column for column in seen.holding(Holds.TEXT) if column.name != label]
    texts = [column for column in found if column.prose >= PROSE] or found
    most = max((column.mean for column in texts), default=0.0)
    close = [column for column in texts if column.mean >= CLOSE * most]
    named = [column for column in close if normal_name(column.name) in TEXTS]
    if len(close) > 1 and len(named) == 1:
        others = quoted_names(column.name for column in close if column is not named[0])
        return named, f"by its name, and {others} about as long"
    return close, "the longest text" if len(found) > 1 else "the only column of text"


def _count(column: SeenColumn) -> str:
    return f"{column.distinct:,}"


def counts_classes(column: SeenColumn) -> bool:
    """Whether whole numbers count without a gap from 0 or 1, as numbers of classes do."""
    numbers = sorted(int(float(value)) for value in column.values)
    return numbers[0] in (0, 1) and numbers == list(range(numbers[0], numbers[0] + column.distinct))
