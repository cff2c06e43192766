"""YAML → a validated suite, with every error reported at once."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from kubetune.behaviour.joining import ROW_PERTURBATIONS
from kubetune.behaviour.lexicons import shipped_lexicons
from kubetune.behaviour.perturbations import PAIR_PERTURBATIONS, PERTURBATIONS, ListPerturbation
from kubetune.behaviour.renaming import ITEM_PERTURBATIONS, RENAME
from kubetune.behaviour.suite import (
    TRIPLE,
    AnyTest,
    Capability,
    ChosenLabels,
    Direction,
    Invariance,
    Kept,
    MinimumFunctionality,
    Perturbed,
    RowInputs,
    Similar,
    Suite,
    Template,
)
from kubetune.behaviour.suites import shipped_suites
from kubetune.behaviour.templates import placeholders, template_problem
from kubetune.errors import ConfigError
from kubetune.redaction import listed, quoted
from kubetune.schema.section import is_secret
from kubetune.schema.yaml_text import YamlTextError, read_yaml

KINDS: Mapping[str, type[BaseModel]] = {
    "mft": MinimumFunctionality,
    "inv": Invariance,
    "dir": Direction,
    "kept": Kept,
    "similar": Similar,
    "chosen": ChosenLabels,
}
OF_ITEMS: Mapping[type[BaseModel], tuple[str, ...]] = {Kept: ITEM_PERTURBATIONS, ChosenLabels: ROW_PERTURBATIONS}
"""Perturbations of whole items that a kind of test takes beside those of a text; other kinds take those of a pair."""
TEST: TypeAdapter[AnyTest] = TypeAdapter(AnyTest)


def load_suite(name_or_path: str) -> Suite:
    """Return the suite of a shipped name or of a YAML file.

    Raises:
        ConfigError: It cannot be found or read, or has errors; all of them are listed.
    """
    shipped = shipped_suites()
    if name_or_path in shipped:
        return parse_suite(shipped[name_or_path], name_or_path)
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        raise ConfigError(
            f"Suite {quoted(name_or_path)} does not exist: shipped are {', '.join(shipped)}; a suite of your own is "
            "given as a path ending in .yaml."
        )
    try:
        return parse_suite(path.read_text(encoding="utf-8"), name_or_path)
    except OSError as error:
        raise ConfigError(f"Suite file {path} cannot be read: {error.strerror}; give an existing file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"Suite file {path} is not UTF-8 at byte {error.start}; save it as UTF-8.") from error


def parse_suite(text: str, origin: str = "suite") -> Suite:
    """Return the suite of a YAML text.

    Raises:
        ConfigError: It is no mapping, or breaks the schema, or names what does not exist; all errors are listed.
    """
    try:
        document = read_yaml(text)
    except YamlTextError as error:
        raise ConfigError(f"{origin} is not YAML: {error}; correct the text.") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{origin} holds a {type(document).__name__}: a suite is a mapping.")
    return suite_of(document, origin)


def suite_of(document: Mapping[str, Any], origin: str) -> Suite:
    """Return the suite of a mapping.

    Raises:
        ConfigError: It breaks the schema, or names what does not exist; all errors are listed.
    """
    suite, lines = None, []
    try:
        suite = Suite.model_validate(document)
    except ValidationError as error:
        lines += [_explain(item) for item in error.errors()]
    lines += _unknown_names(document)
    if suite is None or lines:
        raise ConfigError(f"{origin} has {listed(lines)}")
    return suite


def _explain(item: Mapping[str, Any]) -> str:
    location = [part for part in item["loc"] if part not in KINDS]  # a person wrote the kind as a key, not as a step
    where = ".".join(map(str, location)) or "suite"
    if item["type"] == "extra_forbidden":
        known = _keys_at(item["loc"][:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`? " if near else ""
        return f"`{where}` is not a known key: {hint}allowed are {', '.join(known)}"
    if item["type"] == "missing":
        return f"`{where}` is missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    if is_secret(item):
        return f"`{where}`: {message}"
    found = item.get("input")
    repeated = "" if isinstance(found, (dict, BaseModel)) else f" (found {quoted(found)})"
    return f"`{where}`: {message[0].lower()}{message[1:]}{repeated}"


def _keys_at(location: tuple[Any, ...]) -> list[str]:
    if location and location[0] == "capabilities":
        return list(Capability.model_fields)
    if "rows" in location:
        return list(RowInputs.model_fields)
    model = next((KINDS[part] for part in location if part in KINDS), Suite)
    return list(model.model_fields)


def _unknown_names(document: Mapping[str, Any]) -> list[str]:
    """Return what the parts name and no other part has; parts that break the schema are reported there."""
    valid: list[tuple[int, AnyTest]] = []
    tests = document.get("tests")
    for number, item in enumerate(tests if isinstance(tests, list) else ()):
        try:
            valid.append((number, TEST.validate_python(item)))
        except ValidationError:
            continue
    labels = _names(document, "labels") | _names(document, "optional_labels")
    lexicons = _names(document, "lexicons") | set(shipped_lexicons())
    capabilities = _names(document, "capabilities")
    lines, seen = [], set()
    for number, test in valid:
        where = f"tests.{number}"
        if test.name in seen:
            lines.append(f"`{where}.name` {test.name!r} is given twice: each test has a name of its own")
        seen.add(test.name)
        lines += _unknown(f"{where}.capability", [test.capability], capabilities)
        lines += _unknown(f"{where}.{_label_field(test)}", _labels_of(test), labels)
        lines += list(_template_problems(where, test.templates, lexicons))
        if getattr(test, "perturb", "") is not None and any(_texts(each) == TRIPLE for each in test.templates):
            lines.append(f"`{where}.templates` of three texts are for kind similar without `perturb`: give one or two")
        if isinstance(test, Perturbed):
            lines += list(_perturb_problems(where, test, lexicons))
    used = {test.capability for _, test in valid}
    unused = sorted(capabilities - used) if isinstance(tests, list) and len(valid) == len(tests) else []
    return lines + [f"`capabilities.{name}` has no test: write one, or leave it out" for name in unused]


def _names(document: Mapping[str, Any], key: str) -> set[str]:
    value = document.get(key)
    return {str(name) for name in value} if isinstance(value, (dict, list)) else set()


def _label_field(test: AnyTest) -> str:
    return "expect" if isinstance(test, MinimumFunctionality) else "label"


def _labels_of(test: AnyTest) -> list[str]:
    if isinstance(test, MinimumFunctionality):
        return test.expect
    return [test.label] if isinstance(test, Direction) else []


def _unknown(where: str, names: Iterable[str], known: Iterable[str]) -> list[str]:
    allowed = sorted(known)
    return [
        f"`{where}` {name!r} is not declared: allowed are {', '.join(allowed) or 'none'}"
        for name in names
        if name not in allowed
    ]


def _template_problems(where: str, templates: Iterable[Template], lexicons: set[str]) -> Iterator[str]:
    for number, template in enumerate(templates):
        for text in (template,) if isinstance(template, str) else template:
            problem = template_problem(text)
            if problem is not None:
                yield f"`{where}.templates.{number}`: {problem} (found {quoted(text)})"
            yield from _unknown(f"{where}.templates.{number}", [name for name, _ in placeholders(text)], lexicons)


def _texts(template: Template) -> int:
    return 1 if isinstance(template, str) else len(template)


def _perturb_problems(where: str, test: Perturbed, lexicons: set[str]) -> Iterator[str]:
    known = (*PERTURBATIONS, *OF_ITEMS.get(type(test), PAIR_PERTURBATIONS))
    if isinstance(test, Similar) and test.perturb is None:
        if test.using is not None:
            yield f"`{where}.using`: there is no perturbation to draw for: leave `using` out"
        return
    if test.perturb not in known:
        yield from _unknown(f"{where}.perturb", [test.perturb], known)
        return
    chosen = PERTURBATIONS.get(test.perturb)
    if test.using is not None:
        yield from _unknown(f"{where}.using", [test.using], lexicons)
        if not isinstance(chosen, ListPerturbation) and test.perturb != RENAME:
            yield f"`{where}.using`: {test.perturb} takes no list: leave `using` out"
    elif isinstance(chosen, ListPerturbation) and chosen.lexicon is None:
        yield f"`{where}.using` is missing: {test.perturb} draws from a lexicon of the suite"
