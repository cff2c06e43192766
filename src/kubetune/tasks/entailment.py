"""Which class of an NLI model says that a hypothesis follows, and which that it cannot be."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kubetune.errors import DataError
from kubetune.tasks.named import ClassNames
from kubetune.text.label_names import label_name
from kubetune.text.shown import one_line

ENTAILMENT, CONTRADICTION = "entailment", "contradiction"
BEGINNINGS: Mapping[str, str] = {ENTAILMENT: "entail", CONTRADICTION: "contradict"}
"""Of names, in any case: data sets spell the same class `entailment`, `ENTAILMENT`, `entails` or `entailed`."""


class RolePlaces(NamedTuple):
    """Class numbers.

    Attributes:
        entailment: Of the class of hypotheses that follow.
        contradiction: Of the class of those that are excluded.
    """

    entailment: int
    contradiction: int


def places(names: Sequence[str]) -> RolePlaces | str:
    """Return the two classes by their names, or a sentence that says which one is not found.

    Args:
        names: By class number.
    """
    follows, excluded = (_spelt(names, role) for role in (ENTAILMENT, CONTRADICTION))
    if len(follows) != 1:
        return _unsaid(names, ENTAILMENT, follows)
    if not excluded and len(names) == 2:  # `not_entailment`, as in RTE
        excluded = [1 - follows[0]]
    if len(excluded) != 1:
        return _unsaid(names, CONTRADICTION, excluded)
    return RolePlaces(follows[0], excluded[0])


def named(labels: Sequence[str], roles: Mapping[str, str]) -> ClassNames:
    """Return what a model calls the classes of its data: one that the recipe names for a role is called by it.

    So whoever reads the model finds both classes, `transformers.pipeline` too, which looks for `entail…` in `label2id`
    and takes the first class (where that is it, the last) for the contradiction.

    Args:
        labels: By class number.
        roles: Role → the class that the recipe names for it.

    Raises:
        DataError: A role has no class or several, or the pipeline would take another one for the contradiction.
    """
    names = list(labels)
    for role, given in roles.items():
        wanted = label_name(given)
        if wanted not in labels:
            raise DataError(
                "nli-classes",
                f"task.{role} names {one_line(given, 60)!r} and the classes are {_listed(labels)}: name one of them",
            )
        number = labels.index(wanted)
        names = [f"other {name}" if place in _spelt(labels, role) else name for place, name in enumerate(names)]
        names[number] = role
    found = places(names)
    if isinstance(found, str):
        raise DataError("nli-classes", found)
    follows, excluded = found
    if excluded != (len(names) - 1 if follows == 0 else 0):
        rest = [name for number, name in enumerate(labels) if number not in found]
        order = ", ".join(one_line(name, 60) for name in (labels[follows], *rest, labels[excluded]))
        raise DataError(
            "nli-classes",
            f"Class {one_line(labels[excluded], 60)} is number {excluded}, and transformers.pipeline takes another one "
            f"for the contradiction: set data.labels=[{order}]",
        )
    said = [
        f"Class {one_line(old, 60)} is called {one_line(new, 60)} in the model."
        for old, new in zip(labels, names, strict=True)
        if old != new
    ]
    shown = f"{one_line(labels[follows], 60)}, against {one_line(labels[excluded], 60)}"
    return ClassNames(names, (*said, f"Labels that a request names are scored by class {shown}."))


def _spelt(names: Sequence[str], role: str) -> list[int]:
    return [number for number, name in enumerate(names) if name.casefold().startswith(BEGINNINGS[role])]


def _unsaid(names: Sequence[str], role: str, found: Sequence[int]) -> str:
    what = "no class is" if not found else f"{' and '.join(one_line(names[number], 60) for number in found)} are"
    return (
        f"Of the classes {_listed(names)} {what} called {BEGINNINGS[role]}…, so the one of {role} is not known: set "
        f"task.{role} to its name, or name numbers by data.labels"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(one_line(name, 60) for name in names[:20])
