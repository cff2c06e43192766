"""One label a row, several, or a number: judged by the columns that could be the truth; where two could be, asked."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from kubetune.tasks.guesses.base import Given, Setting, UndecidedError
from kubetune.tasks.guesses.columns import (
    LABELS,
    MOST_CLASSES,
    MOST_NUMBERS,
    TOKENS,
    class_doubt,
    class_fault,
    counts_classes,
    label_separator,
    names_of_columns,
    normal_name,
    quoted_names,
    subject_of,
)
from kubetune.tasks.guesses.seen import Holds, Seen, SeenColumn
from kubetune.tasks.guesses.texts import pair_by_name
from kubetune.text.shown import one_line

SINGLE, SEVERAL, NUMBER = "single-label", "multi-label", "regression"
SEVERAL_NAMES = LABELS | {
    "tags", "topics", "categories", "genres", "genre", "emotions", "keywords", "intents", "subjects", "labelnames",
}  # fmt: skip
"""Names of a column of several labels a row."""
SCORES = frozenset(
    {
        "score", "scores", "rating", "ratings", "stars", "grade", "points", "value", "similarity", "similarityscore",
        "relatedness", "relatednessscore",
    }
)  # fmt: skip
"""Names of a column of numbers that measure something."""
SCORE_NAMES = LABELS | SCORES
LISTS = (Holds.WORDS, Holds.TAG_NUMBERS, Holds.LISTS)


def several_fault(column: SeenColumn) -> str | None:
    """Return why a column cannot be one of several labels a row, or None."""
    if column.holds is Holds.NOTHING:
        return "is empty"
    if column.holds not in (*LISTS, Holds.TEXT, Holds.INTEGERS):
        return f"holds {column.holds} and no lists of labels"
    if column.holds in LISTS and len(column.items) < 2 and column.whole:
        return "holds lists of fewer than two different labels"
    if len(column.items) > max(2, min(MOST_CLASSES, column.filled / 2)):
        return f"holds lists of {len(column.items):,} different values in {column.filled:,} rows, which are no labels"
    return None


def several_doubt(column: SeenColumn) -> str | None:
    """Return why a column is hardly one of several labels a row, or None; a person may say that it is."""
    if column.holds in LISTS:
        return "holds the words of texts, by its name" if normal_name(column.name) in TOKENS else None
    return None if label_separator(column) is not None else "holds one label a row"


def several_of(column: SeenColumn) -> str:
    """Say which labels a column holds."""
    found = column.items if column.holds in LISTS else _parts(column)
    shown = [f"{one_line(name, 30)} {rows:,}" for name, rows in list(found.items())[:4]]
    return f"{len(found):,} labels, any number a row: {', '.join(shown)}" + (", …" if len(found) > 4 else "")


def several_settings(column: SeenColumn, given: Given) -> list[Setting]:
    """Return what parts the labels of a cell, and what a row without one is."""
    found = []
    separator = label_separator(column) if column.holds is Holds.TEXT else None
    if given.separator is not None:
        found.append(Setting("label_separator", given.separator, "as the command says"))
    elif separator is not None:
        found.append(Setting("label_separator", separator[0], f"as cells such as {separator[1]!r} hold several labels"))
    if column.empty:
        why = f"as {column.empty:,} rows have an empty list, which says that none fits; `refuse` rejects them"
        found.append(Setting("empty_labels", "keep", why))
    return found


def several_notes(column: SeenColumn) -> list[str]:
    """Say that cells without anything are no empty lists."""
    if not column.missing or column.holds in LISTS:
        return []
    return [
        f"{column.missing:,} cells of the labels are empty and rejected as missing: where they mean that no label "
        "fits, write [] into them, and data.empty_labels=keep."
    ]


def number_fault(column: SeenColumn) -> str | None:
    """Return why a column cannot be one of scores, or None."""
    if column.holds is Holds.NOTHING:
        return "is empty"
    if column.holds not in (Holds.INTEGERS, Holds.NUMBERS):
        return f"holds {column.holds} and no numbers"
    if column.distinct == 1 and column.whole:
        return f"holds one number only ({next(iter(column.values))}), of which nothing can be learnt"
    return "counts the rows, as an id does" if _is_count(column) else None


def number_doubt(column: SeenColumn) -> str | None:
    """Return why a column is hardly one of scores, or None; a person may say that it is."""
    if column.holds is Holds.NUMBERS:
        return None
    measure = normal_name(column.name) in SCORES and column.distinct > 2
    if not measure and (column.distinct <= MOST_NUMBERS or counts_classes(column)):
        return f"holds {column.distinct:,} different whole numbers, which could be classes"
    named = normal_name(column.name) in SCORE_NAMES
    return None if named else "holds whole numbers, and its name does not say that they are what is to be learnt"


def numbers_in(column: SeenColumn) -> str:
    """Say which numbers a column holds."""
    if column.distinct > len(column.values):
        return f"{column.distinct:,} different numbers"
    values = [float(value) for value in column.values]
    return f"{column.distinct:,} different numbers from {min(values):g} to {max(values):g}"


def score_notes(column: SeenColumn) -> list[str]:
    """Say what whole numbers could be instead, and that a scale has ends."""
    found = []
    if column.holds is Holds.INTEGERS:
        found.append(
            "Whole numbers are learnt as a measure; where they are names of classes, add task.problem=single-label."
        )
    return found


def similarity_notes(column: SeenColumn) -> list[str]:
    """Say where the ends of the scale come from."""
    return [
        *score_notes(column),
        "The least and most score of train become similarities of 0 and 1; where the scale has other ends, add "
        "data.score_range=[LEAST, MOST].",
    ]


JUDGED: Mapping[str, tuple[frozenset[str], tuple[Callable[[SeenColumn], str | None], ...]]] = MappingProxyType(
    {
        SINGLE: (LABELS, (class_fault, class_doubt)),
        SEVERAL: (SEVERAL_NAMES, (several_fault, several_doubt)),
        NUMBER: (SCORE_NAMES, (number_fault, number_doubt)),
    }
)
"""Problem → names of a column of its truth, and what speaks against a column."""


def problem_of(seen: Seen, given: Given) -> tuple[str, str]:
    """Return the problem and why it is that, as a clause; empty: nothing else speaks.

    Raises:
        UndecidedError: Columns of two problems could be the truth, or one column of either.
    """
    if given.problem is not None:
        return given.problem, "as task.problem says"
    if given.label is not None and (column := seen.find(given.label)) is not None:
        return _of_column(column, seen, given)
    pair = pair_by_name(seen, given) or ()
    free = [column for column in seen.columns if column.name not in (given.text, given.text_pair, *pair)]
    ordinal = [column for column in free if _is_ordinal(column)]
    for named in (True, False):
        found = {problem: _likely(problem, free, named) for problem in JUDGED}
        found = {problem: columns for problem, columns in found.items() if columns}
        names = list(dict.fromkeys(column.name for columns in found.values() for column in columns))
        if len(found) > 1 and len(names) > 1:
            raise UndecidedError("label", f"Columns {quoted_names(names)} could each be what is learnt", names)
        if len(found) == 1:
            ((problem, columns),) = found.items()
            return _of_column(columns[0], seen, given) if columns[0] in ordinal else (problem, _why(problem, columns))
    return SINGLE, ""


def _of_column(column: SeenColumn, seen: Seen, given: Given) -> tuple[str, str]:
    """Return the problem of a column that is the truth."""
    if _is_ordinal(column):
        kind = "pair" if given.text_pair is not None or pair_by_name(seen, given) else "text"
        choices = [f"{kind}-classification", f"{kind}-classification-regression"]
        choices += ["feature-extraction-scored-pairs"] if kind == "pair" else []
        what = f"holds {column.distinct:,} different whole numbers, which could be classes or a measure"
        raise UndecidedError("task", f"{subject_of(column)} {what}", choices)
    if not several_fault(column) and not several_doubt(column):
        return SEVERAL, _why(SEVERAL, [column])
    measures = column.holds is Holds.NUMBERS or (
        column.holds is Holds.INTEGERS and column.distinct > MOST_NUMBERS and class_doubt(column) is not None
    )
    return (NUMBER, _why(NUMBER, [column])) if measures and not number_fault(column) else (SINGLE, "")


def _likely(problem: str, columns: Sequence[SeenColumn], named: bool) -> list[SeenColumn]:
    """Return the columns that nothing speaks against."""
    names, against = JUDGED[problem]
    return [
        column
        for column in columns
        if (normal_name(column.name) in names) is named and not any(judge(column) for judge in against)
    ]


def _why(problem: str, columns: Sequence[SeenColumn]) -> str:
    if problem == SINGLE:
        return ""
    column = columns[0]
    what = {
        SEVERAL: f"holds {column.holds}" if column.holds in LISTS else "holds several labels a cell",
        NUMBER: f"holds {column.holds} that measure something",
    }[problem]
    return f"column {quoted_names(names_of_columns([column]))} {what}"


def _is_ordinal(column: SeenColumn) -> bool:
    """Whether few whole numbers have the name of a measure, so that they are as likely classes as scores."""
    named = normal_name(column.name) in SCORES
    return named and column.holds is Holds.INTEGERS and 2 < column.distinct <= MOST_NUMBERS


def _is_count(column: SeenColumn) -> bool:
    """Whether whole numbers differ in every row and lie close together, as those of an id do."""
    if column.holds is not Holds.INTEGERS or column.distinct != column.filled or column.filled <= 2:
        return False
    numbers = [int(float(value)) for value in column.values]
    return max(numbers) - min(numbers) < 2 * len(numbers)


def _parts(column: SeenColumn) -> dict[str, int]:
    """Return label → rows of a column of text."""
    separator = label_separator(column)
    found: dict[str, int] = {}
    for value, rows in column.values.items():
        for part in {part.strip() for part in (value.split(separator[0]) if separator else [value])} - {""}:
            found[part] = found.get(part, 0) + rows
    return dict(sorted(found.items(), key=lambda item: -item[1]))
