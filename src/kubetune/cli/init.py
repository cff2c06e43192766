"""`kubetune init`: a file of one's own → a recipe that runs, each choice said with its reason."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetune.cli.common import Overrides, next_lines, print_table, say

if TYPE_CHECKING:
    from kubetune.config.settings import Settings
    from kubetune.tasks.guesses.base import Given, Guess, UndecidedError
    from kubetune.tasks.guesses.seen import Seen

SHOWN_COLUMNS = 40
CELL = 44
"""Characters of a shown cell."""
WHAT = 18
"""Characters of the column with what was decided."""
SUFFIXES = (".yaml", ".yml")


def init(
    file: Annotated[str, typer.Argument(help="CSV, TSV, JSON, JSON lines, Parquet, CoNLL or SQuAD; may end in .gz.")],
    overrides: Overrides = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the recipe is written.")] = Path("recipe.yaml"),
    task: Annotated[str | None, typer.Option("--task", help="Task kind; default: as the columns say.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="Column of the text, or of the question.")] = None,
    text_pair: Annotated[
        str | None, typer.Option("--text-pair", help="Column of the second text, or of the context.")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="Column of the label, the tags or the answers.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="A name on the Hub, or a folder.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="The recipe's name; default: the file's.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the output.")] = False,
) -> None:
    """Look at a file, guess what it is for and write a recipe. Asks at a terminal what it cannot decide.

    Format, delimiter and encoding are set as in a recipe: `kubetune init my.txt data.source.format=csv
    data.encoding=cp1252`.
    """
    from kubetune.api.opening import settings_for
    from kubetune.api.starting import asked_for, first_recipe, with_asked
    from kubetune.tasks.guesses.base import Given

    check_output(output, force)
    settings = settings_for(None)
    seen, changes = _look(file, list(overrides or ()), settings)
    show_seen(file, seen)
    asked = asked_for(file, changes)
    given = with_asked(Given(task, text, text_pair, label, model), asked)
    guess, given = _decide(seen, given)
    written = first_recipe(seen, guess, given, name, asked["data"], changes)
    output.write_text(written.text, encoding="utf-8")
    for what, why in written.said.items():
        say_folded(what.replace("_", " "), why)
    for sentence in written.warnings:
        say_folded("note", sentence)
    say()
    say(f"{output}: the recipe is valid; each choice stands in it with its reason.")
    next_lines(settings, ["data", str(output)], ["run", str(output), "--until", "evaluate"])


def check_output(output: Path, force: bool) -> None:
    """Refuse a place where the recipe cannot be written, before the file is read.

    Raises:
        ConfigError: It has another suffix, is in no folder, or is there and may not be overwritten.
    """
    from kubetune.errors import ConfigError

    if output.suffix not in SUFFIXES:
        raise ConfigError(f"--output {output} does not end in .yaml: a recipe is known by that.")
    if output.is_dir() or not output.parent.is_dir():
        raise ConfigError(f"--output {output} cannot be written: name a file in a folder that exists.")
    if output.exists() and not force:
        if sys.stdin.isatty() and typer.confirm(f"{output} exists. Overwrite it?"):
            return
        raise ConfigError(
            f"{output} exists and was left as it is: overwrite it with --force, or name another --output."
        )


def _look(file: str, changes: list[str], settings: "Settings") -> "tuple[Seen, list[str]]":
    """Read the file; at a terminal its encoding is asked for where it is not the one assumed."""
    from kubetune.api.starting import asked_for, look_into
    from kubetune.errors import DataError

    while True:
        try:
            return look_into(asked_for(file, changes)["data"], settings), changes
        except DataError as error:
            if error.rule != "encoding" or not sys.stdin.isatty():
                raise
            say(str(error))
            changes = [*changes, f"data.encoding={typer.prompt('encoding', default='cp1252')}"]


def _decide(seen: "Seen", given: "Given") -> "tuple[Guess, Given]":
    """Guess; at a terminal a person is asked what cannot be decided."""
    from dataclasses import replace

    from kubetune.tasks.guesses.base import UndecidedError
    from kubetune.tasks.guesses.deciding import guess_task

    while True:
        try:
            return guess_task(seen, given), given
        except UndecidedError as undecided:
            if not sys.stdin.isatty() or not undecided.choices:
                raise
            answered: dict[str, Any] = {undecided.option: _ask(undecided)}
            given = replace(given, **answered)


def _ask(undecided: "UndecidedError") -> str:
    """Ask for one of the choices, by its number or name."""
    say_folded("", f"{undecided.question}.", indent=0)
    for number, choice in enumerate(undecided.choices, start=1):
        say(f"{number:>3}  {_cut(choice, 60)}")
    while True:
        answer: Any = typer.prompt(undecided.option.replace("_", "-")).strip()
        if answer in undecided.choices:
            return str(answer)
        if answer.isdecimal() and 0 < int(answer) <= len(undecided.choices):
            return undecided.choices[int(answer) - 1]
        say(f"Answer with a number from 1 to {len(undecided.choices)}, or a name.")


def show_seen(file: str, seen: "Seen") -> None:
    """Print what the file holds: a line a column, with its cells of the first rows."""
    from kubetune.tasks.guesses.seen import Holds

    say(f"{_cut(file, 80)}: {'' if seen.whole else 'the first '}{seen.rows:,} rows, {len(seen.columns):,} columns")
    for sentence in seen.decisions:
        say_folded("", sentence, indent=2)
    if not sys.stdout.isatty():
        say()  # a drawn table brings its own
    rows = []
    single = (Holds.TEXT, Holds.INTEGERS, Holds.NUMBERS, Holds.TRUTH_VALUES)
    for place, column in enumerate(seen.columns[:SHOWN_COLUMNS]):
        holds = str(column.holds) + (f", {column.distinct:,} different" if column.holds in single else "")
        holds += f", {column.missing:,} empty" if column.missing and column.filled else ""
        rows.append([_cut(column.name, 30), holds, *(_cut(row[place], CELL) for row in seen.first[:2])])
    print_table(["column", "holds", "first row", "second row"][: 2 + min(len(seen.first), 2)], rows)
    if len(seen.columns) > SHOWN_COLUMNS:
        say(f"and {len(seen.columns) - SHOWN_COLUMNS:,} further columns")
    say()


def say_folded(what: str, sentence: str, indent: int = WHAT) -> None:
    """Print a sentence behind a word, in a terminal folded between words; elsewhere on one line, to be searched."""
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns - indent if sys.stdout.isatty() else 0
    folded = textwrap.wrap(sentence, max(width, 20), break_long_words=False) if width else [sentence]
    for number, line in enumerate(folded):
        say(f"{what if number == 0 else '':<{indent}}{line}")


def _cut(text: str, most: int) -> str:
    from kubetune.text.shown import one_line

    return one_line(text, most)
