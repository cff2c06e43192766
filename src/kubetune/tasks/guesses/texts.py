"""Finds the texts of an item, each with why: by what a person has said, by their names, or as the longest."""

from collections.abc import Sequence

from kubetune.errors import ConfigError
from kubetune.tasks.guesses.base import Given, UndecidedError
from kubetune.tasks.guesses.columns import (
    BELONGING,
    CONTEXTS,
    PAIRS,
    QUESTIONS,
    TOKENS,
    close_to_longest,
    names_of_columns,
    normal_name,
    quoted_names,
)
from kubetune.tasks.guesses.seen import Holds, Seen


def one_text(seen: Seen, given: Given, label: str | None) -> list[tuple[str, str]]:
    """Find the text of a task with one: the longest column of text."""
    if given.text_pair is not None:
        raise ConfigError("--text-pair names a second text and the task has one: leave it out, or name another --task.")
    if given.text is not None:
        return [_given_text(given.text)]
    close, why = close_to_longest(seen, label)
    if len(close) > 1:
        raise UndecidedError(
            "text",
            f"Columns {quoted_names(names_of_columns(close))} are about as long, and each could be the text",
            names_of_columns(close),
        )
    if not close:
        raise UndecidedError("text", "No column holds text", [])
    return [(close[0].name, why)]


def two_texts(seen: Seen, given: Given, label: str | None) -> list[tuple[str, str]]:
    """Find the texts of a task with two: a pair by their names, or as a person says."""
    pair = pair_by_name(seen, given)
    found = []
    for place, (option, said) in enumerate((("text", given.text), ("text_pair", given.text_pair))):
        if said is None and pair is None:
            names = [c.name for c in seen.holding(Holds.TEXT) if c.name not in (label, given.text, given.text_pair)]
            what = ("first", "second")[place]
            raise UndecidedError(option, f"Which column is the {what} text of a pair is not said by its name", names)
        name = option.replace("_", "-")
        found.append((pair[place], "by its name") if said is None and pair else _given_text(str(said), name))
    return found


def pair_by_name(
    seen: Seen, given: Given, pairs: Sequence[tuple[str, str]] = (*PAIRS, *BELONGING)
) -> tuple[str, str] | None:
    """Return the two columns whose names say that they are a pair; None: there is none, or a person names others."""
    names = {normal_name(column.name): column.name for column in seen.holding(Holds.TEXT)}
    for first, second in pairs:
        if first in names and second in names:
            found = names[first], names[second]
            if given.text in (None, found[0]) and given.text_pair in (None, found[1]) and given.label not in found:
                return found
    return None


def text_of_spans(seen: Seen, given: Given, label: str | None) -> list[tuple[str, str]]:
    """Find the text of entities: the words that tags are of, else the longest text."""
    truth = None if label is None else seen.find(label)
    words = seen.holding(Holds.WORDS)
    if (
        given.text is not None
        or given.text_pair is not None
        or truth is None
        or truth.holds is Holds.SPANS
        or not words
    ):
        return one_text(seen, given, label)
    named = [column for column in words if normal_name(column.name) in TOKENS]
    found = named if len(named) == 1 else words
    if len(found) > 1:
        raise UndecidedError(
            "text", f"Columns {quoted_names(names_of_columns(found))} each hold lists of words", names_of_columns(found)
        )
    return [(found[0].name, "lists of words, as many as there are tags")]


def question_and_context(seen: Seen, given: Given, label: str | None) -> list[tuple[str, str]]:
    """Find the question and the context by their names."""
    del label
    found = []
    roles = (("text", given.text, QUESTIONS, "question"), ("text_pair", given.text_pair, CONTEXTS, "context"))
    for option, said, names, what in roles:
        if said is not None:
            found.append(_given_text(said, option.replace("_", "-")))
            continue
        named = [column.name for column in seen.holding(Holds.TEXT) if normal_name(column.name) in names]
        if len(named) != 1:
            choices = named or [column.name for column in seen.holding(Holds.TEXT)]
            raise UndecidedError(option, f"Which column is the {what} is not said by one name alone", choices)
        found.append((named[0], f"the {what}, by its name"))
    return found


def _given_text(given: str, option: str = "text") -> tuple[str, str]:
    return given, f"as --{option} says"
