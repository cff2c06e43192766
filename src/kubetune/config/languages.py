"""What follows from the languages that a recipe names: a slice for each, and no English step on other texts."""

from typing import Any

from kubetune.config.behaviour import BehaviourSection
from kubetune.config.data import DataSection
from kubetune.config.evaluation import EvaluationSection
from kubetune.text.languages import COLUMN, ENGLISH, primary

ENGLISH_CLEANING = ("emoji-spell",)
"""Cleaning steps that write English words."""


def with_language_slice(document: Any) -> Any:
    """Return a recipe's document in which a kept column `language` is a slice, unless it says its slices.

    Args:
        document: As it was written; whatever is malformed is left to the schema.
    """
    data = document.get("data") if isinstance(document, dict) else None
    columns = data.get("columns") if isinstance(data, dict) else None
    keep = columns.get("keep") if isinstance(columns, dict) else None
    evaluation = document.get("evaluation", {}) if isinstance(document, dict) else None
    if not isinstance(keep, list) or COLUMN not in keep or not isinstance(evaluation, dict) or "slices" in evaluation:
        return document
    return {**document, "evaluation": {**evaluation, "slices": [*EvaluationSection().slices, COLUMN]}}


def language_problems(data: DataSection, behaviour: BehaviourSection) -> list[str]:
    """Return what of a recipe is made for one language and would meet texts of others."""
    named = data.languages or []
    foreign = ", ".join(tag for tag in named if primary(tag) != ENGLISH)
    problems = [
        f"data.cleaning names {step}, which writes English words, and data.languages names {foreign}: leave it out"
        for step in ENGLISH_CLEANING
        if foreign and step in data.cleaning
    ]
    if foreign and data.weak_labels is not None:
        problems.append(
            f"data.weak_labels={data.weak_labels.kind} knows English words alone, and data.languages names {foreign}: "
            "label those texts, or leave them out"
        )
    spoken = behaviour.language() if named else None
    others = [tag for tag in named if spoken is not None and primary(tag) != primary(spoken)]
    if others and len(others) == len(named):
        problems.append(
            f"behaviour.suite is in {spoken} and data.languages names {', '.join(named)}: set behaviour={{}}, or write "
            "a suite in one of them"
        )
    elif others and COLUMN not in data.columns.keep and behaviour.takes_rows():
        problems.append(
            f"behaviour.suite is in {spoken} and tests rows, and data.languages names {', '.join(others)} too: keep a "
            f"column `{COLUMN}` (data.columns.keep) that says which rows are in {spoken}, or set behaviour={{}}"
        )
    return problems
