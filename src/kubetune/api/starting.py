"""A first recipe for a file: what it is for is guessed, and each choice is told with its reason."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubetune.api.first_values import FirstValues
from kubetune.config.commented import recipe_text
from kubetune.config.data import DataSection
from kubetune.config.load import parse_recipe, with_overrides
from kubetune.config.recipe import NAME_PATTERN
from kubetune.config.task_columns import SINGLE_LABEL
from kubetune.errors import ConfigError
from kubetune.tasks.guesses.base import Given, Guess
from kubetune.tasks.guesses.seen import Seen
from kubetune.text.shown import one_line

if TYPE_CHECKING:
    from kubetune.config.settings import Settings

LONGEST_NAME = 40
NAMELESS = "mine"
COMMON = frozenset({"train", "data", "dataset", "all", "part"})
"""Names of files that say nothing: the folder's says more."""
KEYS = {
    "task": "task",
    "text": "data.columns",
    "text_pair": "data.columns",
    "label": "data.columns",
    "negative": "data.columns",
    "splits": "data.splits",
    "max_reject_share": "data.max_reject_share",
    "label_separator": "data.label_separator",
    "empty_labels": "data.empty_labels",
    "missing_labels": "data.missing_labels",
    "group_by": "data.group_by",
    "model": "model.source",
    "max_length": "model.max_length",
    "epochs": "training.epochs",
    "class_weights": "training.class_weights",
    "threshold": "evaluation.thresholds",
    "name": "name",
}
"""What is decided → where the recipe has it."""


@dataclass(frozen=True)
class FirstRecipe:
    """A recipe for a file, and what was decided on the way.

    Attributes:
        text: The YAML.
        said: What was decided → the choice and why.
        warnings: What a person should know of these rows, a sentence each.
    """

    text: str
    said: Mapping[str, str]
    warnings: Sequence[str]


def asked_for(address: str, overrides: Iterable[str]) -> dict[str, Any]:
    """Return what is known of a recipe for a file before it is looked at: its address, and what overrides say.

    Raises:
        ConfigError: An override is not understood.
    """
    return with_overrides({"data": {"source": {"kind": "files", "paths": {"all": address}}}}, overrides)


def with_asked(given: Given, document: Mapping[str, Any]) -> Given:
    """Return what a person has said by options, and by overrides of the task, its columns and labels.

    Args:
        given: By options.
        document: Of `asked_for`.

    Raises:
        ConfigError: An option and an override name different tasks.
    """
    data, task = document["data"], document.get("task")
    columns, task = data.get("columns"), task if isinstance(task, dict) else {}
    said = {role: columns.get(role) for role in ("text", "text_pair", "label")} if isinstance(columns, dict) else {}
    said |= {"task": task.get("kind"), "problem": task.get("problem"), "separator": data.get("label_separator")}
    if given.task is not None and said["task"] not in (None, given.task):
        raise ConfigError(
            f"--task is {one_line(given.task, 40)} and task.kind {one_line(str(said['task']), 40)}: give one of them."
        )
    labels = data.get("labels") if isinstance(data.get("labels"), list) else []
    entails = bool(task.get("entailment")) or any(str(name).casefold().startswith("entail") for name in labels)
    open_ones = {role: name for role, name in said.items() if isinstance(name, str) and getattr(given, role) is None}
    return replace(given, **open_ones, entails=entails)


def look_into(data: Mapping[str, Any], settings: "Settings") -> Seen:
    """Read the first rows of a file by the readers of `ingest`.

    Args:
        data: Section `data` of `asked_for`.
        settings: Deployment settings.

    Raises:
        DataError: The file does not exist, has no rows or breaks a rule.
        ConfigError: It cannot be read as asked.
        TemporaryError: It was not delivered.
    """
    from kubetune.config.environment import environment
    from kubetune.config.settings import stage_environment
    from kubetune.data.looking import look_at
    from kubetune.execution.platform import outside

    section = _section(data)
    with (
        tempfile.TemporaryDirectory(prefix="kubetune-look-", ignore_cleanup_errors=True) as folder,
        environment(stage_environment(settings, outside=True)),
    ):
        return look_at(section, outside(settings), Path(folder))


def _section(data: Mapping[str, Any]) -> DataSection:
    """Return section `data` as far as reading asks for it."""
    from pydantic import ValidationError

    known = {name: data[name] for name in ("source", "encoding", "missing_labels") if name in data}
    try:
        return DataSection.model_validate(known)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["data", *(str(part) for part in first["loc"] if part != "files")])
        raise ConfigError(f"`{where}`: {str(first['msg']).removeprefix('Value error, ')}.") from None


def first_recipe(
    seen: Seen, guess: Guess, given: Given, name: str | None, data: Mapping[str, Any], overrides: Sequence[str]
) -> FirstRecipe:
    """Write the recipe.

    Args:
        seen: The file.
        guess: What it is for.
        given: What a person has said; its model is taken.
        name: The recipe's name; None: after the file.
        data: Section `data` of `asked_for`.
        overrides: Changes that a person asked for.

    Raises:
        ConfigError: The name, the model or an override breaks the schema.
    """
    values = FirstValues(seen, guess)
    called, why_called = (name, "as --name says") if name is not None else _name_of(data)
    model, why_model = values.model(given.model)
    chosen = values.data()
    document: dict[str, Any] = {
        "name": called,
        "task": {"kind": guess.row.kind}
        | ({} if guess.row.problem == SINGLE_LABEL else {"problem": guess.row.problem}),
        "data": {**data, **chosen},
        "model": {"source": model, "max_length": values.max_length},
        "training": values.training(),
        "evaluation": {"thresholds": [dict(bar) for bar in guess.row.start.thresholds]},
        **{section: dict(further) for section, further in (guess.row.start.sections or {}).items()},
    }
    document = with_overrides(document, overrides)
    said = dict(_said(guess)) | {"model": why_model} | dict(values.sizes())
    said["name"] = f"{called}, {why_called}; also the endpoint's"
    warnings = values.warnings()
    text = recipe_text(document, _comments(said, warnings))
    parse_recipe(text, origin="The recipe for this file")
    return FirstRecipe(text, said, warnings)


def _said(guess: Guess) -> Iterator[tuple[str, str]]:
    yield "task", f"{guess.row.name}, {guess.reasons['task']}; set with --task"
    truth = () if guess.label is None else (("label", guess.label),)
    for option, name in (*zip(("text", "text_pair"), guess.texts, strict=False), *truth):
        shown = one_line(name, 60)
        yield option, f"column `{shown}`, {guess.reasons[option]}; set with --{option.replace('_', '-')}"
    for key, name in guess.further.items():
        yield key, f"column `{one_line(name, 60)}`, by its name; set with data.columns.{key}"


def _comments(said: Mapping[str, str], warnings: Sequence[str]) -> dict[str, list[str]]:
    comments: dict[str, list[str]] = {
        "": ["Written by `kubetune init`; each line says what was decided and why.", *warnings]
    }
    for what, why in said.items():
        comments.setdefault(KEYS[what], []).append(f"{what}: {why}")
    return comments


def _name_of(data: Mapping[str, Any]) -> tuple[str, str]:
    """Return a recipe's name after its file's."""
    paths = data["source"].get("paths") if isinstance(data.get("source"), dict) else None
    address = str(paths.get("all", "")) if isinstance(paths, dict) else ""
    path = Path(address)
    stem = path.name.split(".")[0].lower()
    for of, after in ((stem, "file"), (path.parent.name.lower(), "folder")):
        name = re.sub(r"[^a-z0-9]+", "-", of)[:LONGEST_NAME].strip("-").removeprefix("token").strip("-")
        if re.fullmatch(NAME_PATTERN, name) and name not in COMMON:
            return name, f"after the {after}, set with --name"
    return NAMELESS, "as neither file nor folder gives one, set with --name"
