"""What speaks for a row of the table: columns by what they hold and how they are called."""

from collections.abc import Callable

from kubetune.config.data import DataSection
from kubetune.errors import ConfigError
from kubetune.tasks.guesses.base import Given, Setting, UndecidedError
from kubetune.tasks.guesses.columns import (
    BELONGING,
    PROSE,
    TAGS,
    names_of_columns,
    normal_name,
    quoted_names,
    subject_of,
)
from kubetune.tasks.guesses.problems import NUMBER, SCORES, number_fault, problem_of
from kubetune.tasks.guesses.seen import Holds, Seen, SeenColumn
from kubetune.tasks.guesses.texts import pair_by_name
from kubetune.text.shown import one_line

SENTENCES = (("sentence1", "sentence2"), ("sentencea", "sentenceb"))
"""Names of two texts that data sets give a score for what they have in common."""
MOST_INFERENCES = 5
"""Classes of pairs of which one text follows from the other."""
UNAGREED = "-"
"""Label of SNLI's pairs on which annotators did not agree."""


def holds_one_of(*kinds: Holds) -> Callable[[SeenColumn], str | None]:
    """Return a judge of columns that cannot be the truth unless they hold one of these."""
    wanted = " or ".join(kinds[:2])

    def fault(column: SeenColumn) -> str | None:
        what = f"holds {column.holds}" if column.holds is not Holds.NOTHING else "is empty"
        return None if column.holds in kinds else f"{what} and no {wanted}"

    return fault


def holding_speaks(*kinds: Holds) -> Callable[[Seen, Given], str | None]:
    """Return what speaks for a task whose truth is of these."""

    def speaks(seen: Seen, given: Given) -> str | None:
        found = [column for column in seen.holding(*kinds) if given.label in (None, column.name)]
        return f"column {one_line(found[0].name, 60)!r} holds {found[0].holds}" if found else None

    return speaks


def entities_speak(seen: Seen, given: Given) -> str | None:
    """Tags and spans speak for entities, and so do words beside numbers of tags."""
    if (why := holding_speaks(Holds.TAGS, Holds.SPANS)(seen, given)) is not None:
        return why
    words, numbers = seen.holding(Holds.WORDS), seen.holding(Holds.TAG_NUMBERS)
    named = [column for column in numbers if normal_name(column.name) in TAGS]
    return (
        f"columns {quoted_names(names_of_columns([*words[:1], *named[:1]]))} are words and their tags"
        if words and named
        else None
    )


def _pair(seen: Seen, given: Given) -> str | None:
    """Return why there are two texts, or None."""
    if given.text_pair is not None:
        return "as there is a second text"
    pair = pair_by_name(seen, given)
    return None if pair is None else f"columns {quoted_names(pair)} are two texts by their names"


def problem_speaks(problem: str, *, pair: bool) -> Callable[[Seen, Given], str | None]:
    """Return what speaks for texts, or pairs of them, with such a truth."""

    def speaks(seen: Seen, given: Given) -> str | None:
        two = _pair(seen, given)
        found, why = problem_of(seen, given)
        if found != problem or (pair and two is None):
            return None
        return ", and ".join(filter(None, [two, why]))

    return speaks


def scored_pairs_speak(seen: Seen, given: Given) -> str | None:
    """Two sentences and a score can be learnt by vectors, or as a number that a model gives to a pair."""
    two = _pair(seen, given)
    if given.problem == "scored-pairs":
        return "as task.problem says"
    if two is None or problem_of(seen, given)[0] != NUMBER or given.problem is not None:
        return None
    scores = [column for column in seen.columns if normal_name(column.name) in SCORES and not number_fault(column)]
    if pair_by_name(seen, given, SENTENCES) and len(scores) == 1 and given.label in (None, scores[0].name):
        return (
            f"{two}, and {one_line(scores[0].name, 60)!r} is their score; task.problem=regression learns it as a number"
        )
    raise UndecidedError(
        "task",
        f"{two[0].upper()}{two[1:]}, and a number belongs to each pair: it is learnt by vectors of single texts, or as "
        "what a model says of both",
        ["feature-extraction-scored-pairs", "pair-classification-regression"],
    )


def belonging_speak(seen: Seen, given: Given) -> str | None:
    """Two texts that belong together speak for vectors of them."""
    pair = pair_by_name(seen, given, BELONGING)
    if pair is None or given.label is not None or given.problem is not None:
        return None
    return f"columns {quoted_names(pair)} are texts that belong together by their names"


def texts_alone_speak(seen: Seen, given: Given) -> str | None:
    """Texts and nothing beside them can teach the language that they are written in."""
    only = seen.columns[0]
    if len(seen.columns) > 1 or only.holds is not Holds.TEXT or only.prose < PROSE:
        return None
    if given.label is not None or given.text_pair is not None or given.problem is not None:
        return None
    return f"as column {one_line(only.name, 60)!r} is the only one: a model learns the language of its texts"


def inference_speaks(seen: Seen, given: Given) -> str | None:
    """Pairs of which one follows from the other serve two tasks: their classes, or labels that a request names."""
    pair = pair_by_name(seen, given)
    classes = [column for column in seen.columns if given.label in (None, column.name) and _entails(column)]
    if pair is None or not classes or given.problem is not None:
        return None
    raise UndecidedError(
        "task",
        f"{subject_of(classes[0])} says what follows from what in pairs of texts: a model answers with these classes, "
        "or, asked with a text and labels that a request names, with one of those",
        ["pair-classification", "zero-shot-classification"],
    )


def _entails(column: SeenColumn) -> bool:
    few = column.holds is Holds.TEXT and column.distinct <= MOST_INFERENCES
    return few and any(name.casefold().startswith("entail") for name in column.values)


def inference_settings(column: SeenColumn, given: Given) -> list[Setting]:
    """Leave out pairs on which annotators did not agree.

    Raises:
        ConfigError: The classes do not say which of them is the entailment.
    """
    if not _entails(column) and not given.entails:
        raise ConfigError(
            f"{subject_of(column)} has no class whose name begins with `entail`, and a model that is asked with labels "
            "needs it: add task.entailment=NAME and task.contradiction=NAME, or name numbers in their order with "
            "data.labels=[entailment, neutral, contradiction]."
        )
    return agreed_settings(column, given)


def agreed_settings(column: SeenColumn, given: Given) -> list[Setting]:
    """Leave out pairs on which annotators did not agree."""
    del given
    if UNAGREED not in column.values or not _entails(column):
        return []
    known: list[str] = DataSection.model_fields["missing_labels"].default
    why = f"with `{UNAGREED}`, which {column.values[UNAGREED]:,} pairs have on which annotators did not agree"
    return [Setting("missing_labels", [*known, UNAGREED], why)]


def class_number_notes(column: SeenColumn) -> list[str]:
    """Say that numbers are taken for classes without an order."""
    if column.holds is not Holds.INTEGERS or column.distinct <= 2:
        return []
    return [
        f"Labels are whole numbers, taken for {column.distinct:,} classes without an order; where they measure "
        "something, add task.problem=regression to the command."
    ]


def no_objection(column: SeenColumn) -> str | None:
    """Take any column."""
    del column
    return None


def cells_of(column: SeenColumn) -> str:
    """Say what a column holds."""
    return f"{column.holds} in {column.filled:,} rows"
