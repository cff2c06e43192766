"""The decision: the first task of the table that the columns speak for, and the columns that it reads.

What two columns could be is decided by nobody here: `UndecidedError` says which, and the option that decides.
"""

from collections.abc import Sequence
from difflib import get_close_matches

from kubetune.config.task_columns import SINGLE_LABEL, task_name
from kubetune.errors import ConfigError
from kubetune.tasks.guesses.base import Given, Guess, TaskGuess, UndecidedError
from kubetune.tasks.guesses.columns import classes_of, names_of_columns, normal_name, quoted_names, subject_of
from kubetune.tasks.guesses.seen import Holds, Seen, SeenColumn
from kubetune.tasks.guesses.table import GUESSES
from kubetune.text.shown import one_line


def guess_task(seen: Seen, given: Given) -> Guess:
    """Decide what a file is for.

    Raises:
        UndecidedError: Several columns could be meant, or none, and the person has not said which.
        ConfigError: What the person has said does not fit the file.
    """
    for option in ("text", "text_pair", "label"):
        _named(seen, option, getattr(given, option))
    row, why = _row(seen, given)
    label, why_label = (None, "") if row.truthless else _label(row, seen, given)
    truth = None if label is None else seen.find(label)
    if row.truthless and given.label is not None:
        raise ConfigError(
            f"--label names a truth and {row.name} learns from the texts alone: leave it out, or name another --task."
        )
    if row.sparse and truth is not None and truth.holds is Holds.TAG_NUMBERS and label not in seen.named_numbers:
        raise ConfigError(
            f"{subject_of(truth)} holds tags as numbers, and the file does not say what they mean: write the tags (O, "
            "B-person, I-person, …) into the column, or name another one with --label."
        )
    texts = row.texts(seen, given, label)
    names = tuple(name for name, _ in texts)
    for place, name in enumerate(names):
        if name in (*names[:place], label):
            raise ConfigError(
                f"Column {one_line(name, 60)!r} is named twice: give each text and the label one of its own."
            )
        if (column := seen.find(name)) is not None and column.holds is Holds.NOTHING:
            raise ConfigError(f"Column {one_line(name, 60)!r} is empty: name another one with --text.")
    reasons = {"task": why} | dict(zip(("text", "text_pair"), (why for _, why in texts), strict=False))
    settings = [*row.start.settings, *(() if truth is None else row.settings(truth, given))]
    return Guess(row, names, label, _further(row, seen, names), settings, reasons | {"label": why_label})


def _further(row: TaskGuess, seen: Seen, taken: Sequence[str]) -> dict[str, str]:
    """Return further columns of text by their names, each where there is one alone."""
    found = {}
    for key, names in row.further.items():
        named = [column.name for column in seen.holding(Holds.TEXT) if normal_name(column.name) in names]
        if len(named) == 1 and named[0] not in taken:
            found[key] = named[0]
    return found


def task_kinds() -> list[str]:
    """Return the tasks that can be guessed or named, the plainest first."""
    return [row.name for row in reversed(GUESSES)]


def _named(seen: Seen, option: str, name: str | None) -> None:
    if name is None or seen.find(name) is not None:
        return
    columns = [column.name for column in seen.columns]
    near = get_close_matches(name, columns, n=1, cutoff=0.6)
    hint = f"did you mean {one_line(near[0], 60)!r}? " if near else ""
    raise ConfigError(
        f"--{option.replace('_', '-')} names {one_line(name, 60)!r}, which is no column: {hint}the file has "
        f"{quoted_names(columns)}."
    )


def _row(seen: Seen, given: Given) -> tuple[TaskGuess, str]:
    if given.task is not None:
        name = task_name({"kind": given.task, "problem": given.problem or SINGLE_LABEL})
        found = next((row for row in GUESSES if row.name == name), None)
        if found is None:
            shown = one_line(str(name), 60)
            raise ConfigError(f"--task {shown} is no task: allowed are {', '.join(task_kinds())}.")
        return found, "as --task says"
    rows = [row for row in GUESSES if given.problem in (None, row.problem)]
    if not rows:
        problems = ", ".join(dict.fromkeys(row.problem for row in GUESSES))
        raise ConfigError(f"task.problem={one_line(str(given.problem), 40)} is none: allowed are {problems}.")
    for row in rows:
        if (why := row.speaks(seen, given)) is not None:
            return row, why
    raise UndecidedError("task", "Nothing in the columns says which task they are for", task_kinds())


def _label(row: TaskGuess, seen: Seen, given: Given) -> tuple[str, str]:
    """Return the column of the truth and why it is that."""
    if given.label is not None:
        column = seen.find(given.label)
        if column is not None and (fault := row.fault(column)) is not None:
            raise ConfigError(
                f"{subject_of(column)} {fault}: name another one with --label, or another task with --task."
            )
        return given.label, f"as --label says; {row.truth(column) if column else ''}"
    free = [column for column in seen.columns if column.name not in (given.text, given.text_pair)]
    by_name = [column for column in free if normal_name(column.name) in row.names]
    good = [column for column in by_name if not row.fault(column) and not row.doubt(column)]
    likely = [column for column in free if not row.fault(column) and not row.doubt(column)]
    if len(good) == 1:
        faults = [
            f"; column `{one_line(column.name, 60)}` {row.fault(column)}" for column in by_name if row.fault(column)
        ]
        return good[0].name, f"by its name; {row.truth(good[0])}{''.join(faults)}"
    if (named := _names_of_numbers(good)) is not None:
        return named
    if len(good) > 1:
        raise UndecidedError(
            "label",
            f"Columns {quoted_names([column.name for column in good])} could each be the label",
            names_of_columns(good),
        )
    if by_name:
        column = by_name[0]
        others = [column.name for column in likely]
        also = f", and {quoted_names(others)} could be meant instead" if others else ""
        raise UndecidedError(
            "label",
            f"{subject_of(column)} {row.fault(column) or row.doubt(column)}{also}",
            [*others, *(column.name for column in by_name if not row.fault(column))],
        )
    if len(likely) == 1:
        return likely[0].name, f"the only column that holds such; {row.truth(likely[0])}"
    if likely:
        raise UndecidedError(
            "label",
            f"Columns {quoted_names(names_of_columns(likely))} could each be the label",
            names_of_columns(likely),
        )
    raise _no_label(row, free, given)


def _no_label(row: TaskGuess, free: Sequence[SeenColumn], given: Given) -> UndecidedError:
    faults = [f"{one_line(column.name, 40)!r} {row.fault(column) or row.doubt(column)}" for column in free[:6]]
    return UndecidedError(
        "label",
        f"No column looks like the label: {'; '.join(faults)}{' …' if len(free) > 6 else ''}",
        [column.name for column in free if not row.fault(column)],
        "" if given.task else ", or learn from the texts alone with --task fill-mask",
    )


def _names_of_numbers(columns: Sequence[SeenColumn]) -> tuple[str, str] | None:
    """Return the one of two columns that names the classes whose numbers the other one has, and why it is that."""
    texts = [column for column in columns if column.holds is Holds.TEXT]
    numbers = [column for column in columns if column.holds is Holds.INTEGERS]
    if len(columns) != 2 or len(texts) != 1 or len(numbers) != 1:
        return None
    if list(texts[0].values.values()) != list(numbers[0].values.values()):  # rows of the classes, the most first
        return None
    name, other = one_line(numbers[0].name, 60), classes_of(texts[0])
    return texts[0].name, f"as column `{name}` holds numbers of as many rows each, and this one names; {other}"
