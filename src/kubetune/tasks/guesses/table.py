"""The table: a row a task, the first that its columns speak for is taken. A new task is a row."""

from collections.abc import Callable

from kubetune.tasks.guesses.base import Given, Start, TaskGuess
from kubetune.tasks.guesses.columns import (
    LABELS,
    TAGS,
    class_doubt,
    class_fault,
    classes_of,
    names_of_columns,
    normal_name,
    quoted_names,
)
from kubetune.tasks.guesses.seen import Holds, Seen, SeenColumn
from kubetune.tasks.guesses.texts import one_text, pair_by_name, question_and_context, text_of_spans, two_texts
from kubetune.text.shown import one_line


def _holds(*kinds: Holds) -> Callable[[SeenColumn], str | None]:
    wanted = " or ".join(kinds[:2])

    def fault(column: SeenColumn) -> str | None:
        what = f"holds {column.holds}" if column.holds is not Holds.NOTHING else "is empty"
        return None if column.holds in kinds else f"{what} and no {wanted}"

    return fault


def _speaks(*kinds: Holds) -> Callable[[Seen, Given], str | None]:
    def speaks(seen: Seen, given: Given) -> str | None:
        found = [column for column in seen.holding(*kinds) if given.label in (None, column.name)]
        return f"column {one_line(found[0].name, 60)!r} holds {found[0].holds}" if found else None

    return speaks


def _entities_speak(seen: Seen, given: Given) -> str | None:
    if (why := _speaks(Holds.TAGS, Holds.SPANS)(seen, given)) is not None:
        return why
    words, numbers = seen.holding(Holds.WORDS), seen.holding(Holds.TAG_NUMBERS)
    named = [column for column in numbers if normal_name(column.name) in TAGS]
    return (
        f"columns {quoted_names(names_of_columns([*words[:1], *named[:1]]))} are words and their tags"
        if words and named
        else None
    )


def _pair_speaks(seen: Seen, given: Given) -> str | None:
    if given.text_pair is not None:
        return "as there is a second text"
    pair = pair_by_name(seen, given)
    return None if pair is None else f"columns {quoted_names(pair)} are two texts by their names"


def _no_doubt(column: SeenColumn) -> str | None:
    del column
    return None


def _of(column: SeenColumn) -> str:
    return f"{column.holds} in {column.filled:,} rows"


GUESSES: tuple[TaskGuess, ...] = (
    TaskGuess(
        kind="question-answering",
        speaks=_speaks(Holds.ANSWERS),
        texts=question_and_context,
        fault=_holds(Holds.ANSWERS),
        doubt=_no_doubt,
        names=frozenset({"answers"}),
        truth=_of,
        start=Start(
            "distilbert/distilbert-base-uncased", 2, 3e-5, 384, ({"metric": "f1", "above_baseline": "overlap"},),
            {"serving": {"max_characters": 20_000}},
        ),
        windows=True,
    ),
    TaskGuess(
        kind="token-classification",
        speaks=_entities_speak,
        texts=text_of_spans,
        fault=_holds(Holds.TAGS, Holds.SPANS, Holds.TAG_NUMBERS),
        doubt=_no_doubt,
        names=TAGS,
        truth=_of,
        start=Start(
            "distilbert/distilbert-base-cased", 4, 5e-5, 256, ({"metric": "f1", "above_baseline": "gazetteer"},)
        ),
    ),
    TaskGuess(
        kind="pair-classification",
        speaks=_pair_speaks,
        texts=two_texts,
        fault=class_fault,
        doubt=class_doubt,
        names=LABELS,
        truth=classes_of,
        start=Start(
            "distilbert/distilbert-base-uncased", 3, 5e-5, 256, ({"metric": "macro_f1", "above_baseline": "tfidf"},)
        ),
        classes=True,
    ),
    TaskGuess(
        kind="text-classification",
        speaks=lambda seen, given: "as neither spans, answers nor a pair of texts are there",
        texts=one_text,
        fault=class_fault,
        doubt=class_doubt,
        names=LABELS,
        truth=classes_of,
        start=Start(
            "distilbert/distilbert-base-uncased", 3, 5e-5, 256, ({"metric": "macro_f1", "above_baseline": "tfidf"},)
        ),
        classes=True,
    ),
)  # fmt: skip
"""What is looked for first stands first; a new task is a row."""
