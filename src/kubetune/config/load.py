"""YAML and overrides → a validated recipe, with every error reported at once."""

import copy
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from kubetune.config.recipe import NAME_RULE, Recipe
from kubetune.errors import ConfigError
from kubetune.redaction import listed, quoted
from kubetune.schema.section import is_secret
from kubetune.schema.yaml_text import MOST_CHARACTERS, YamlTextError, read_yaml

DEEPEST_KEY = 16


def shipped_recipes() -> dict[str, str]:
    """Return the YAML text of each recipe in the package, by name."""
    folder = resources.files("kubetune.recipes")
    return {
        item.name.removesuffix(".yaml"): item.read_text(encoding="utf-8")
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.name.endswith(".yaml")
    }


def load_recipe(name_or_path: str, overrides: Iterable[str] = ()) -> Recipe:
    """Return the recipe of a shipped name or of a YAML file, with overrides applied.

    Args:
        name_or_path: Name of a shipped recipe, or a path (it has a suffix or a separator).
        overrides: `section.key=value`; the value is YAML.

    Raises:
        ConfigError: The recipe cannot be found or read, or has errors; all of them are listed.
    """
    return parse_recipe(_read(name_or_path), overrides, origin=name_or_path)


def parse_recipe(text: str, overrides: Iterable[str] = (), origin: str = "recipe") -> Recipe:
    """Return the recipe of a YAML (or JSON) text, with overrides applied.

    Raises:
        ConfigError: It is no mapping, or breaks the schema; all errors are listed.
    """
    try:
        document = read_yaml(text)
    except YamlTextError as error:
        raise ConfigError(f"{origin} is not YAML: {error}; correct the text.") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{origin} holds a {type(document).__name__}: a recipe is a mapping of sections.")
    return recipe_of(with_overrides(document, overrides), origin)


def with_overrides(document: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return a recipe's document with overrides applied; the given one is left as it is.

    Args:
        document: As it was written; the schema is not asked.
        overrides: `section.key=value`; the value is YAML.

    Raises:
        ConfigError: An override is not understood.
    """
    changes, changed = list(overrides), copy.deepcopy(document)
    if sum(map(len, changes)) > MOST_CHARACTERS:
        raise ConfigError(f"The overrides have more than {MOST_CHARACTERS:,} characters: write a recipe of your own.")
    for key, value in sorted(map(_parse_override, changes), key=lambda pair: _kinds_first(pair[0])):
        _apply(changed, key, value)
    return changed


def recipe_of(document: Mapping[str, Any], origin: str) -> Recipe:
    """Return the recipe of a mapping, for example of a stored run's.

    Raises:
        ConfigError: It breaks the schema; all errors are listed.
    """
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{origin} has {listed([_explain(item) for item in error.errors()])}") from None


def canonical(recipe: Recipe) -> dict[str, Any]:
    """Return the whole recipe, defaults included, as JSON-able data."""
    return recipe.model_dump(mode="json")


def _read(name_or_path: str) -> str:
    shipped = shipped_recipes()
    if name_or_path in shipped:
        return shipped[name_or_path]
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml", ".json"} and not path.exists():
        near = difflib.get_close_matches(name_or_path, shipped, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"Recipe {quoted(name_or_path)} does not exist: {hint}shipped are {', '.join(shipped)}; "
            "a recipe of your own is given as a path ending in .yaml."
        )
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"Recipe file {path} cannot be read: {error.strerror}; give an existing file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"Recipe file {path} is not UTF-8 at byte {error.start}; save it as UTF-8.") from error


def _parse_override(item: str) -> tuple[tuple[str, ...], Any]:
    key, separator, value = item.partition("=")
    parts = tuple(key.strip().split("."))
    if not separator or not all(parts) or len(parts) > DEEPEST_KEY:
        raise ConfigError(f"Override {quoted(item)} is not understood: write section.key=value.")
    try:
        return parts, read_yaml(value)
    except YamlTextError as error:
        raise ConfigError(f"The value of override {quoted(key)} is not YAML: {error}.") from None


def _kinds_first(key: tuple[str, ...]) -> tuple[bool, int]:
    return key[-1] != "kind", len(key)


def _apply(document: dict[str, Any], key: tuple[str, ...], value: Any) -> None:
    node = document
    for part in key[:-1]:
        child = node.get(part)
        if not isinstance(child, dict):
            child = node[part] = {}
        node = child
    if key[-1] == "kind" and node.get("kind", value) != value:
        node.clear()  # another kind has other keys: what belonged to the former one goes
    node[key[-1]] = value


def _explain(item: Mapping[str, Any]) -> str:
    location = tuple(item["loc"])
    where = ".".join(str(part) for part in _without_tags(location)) or "recipe"
    message = str(item["msg"]).removeprefix("Value error, ")
    if is_secret(item):
        return f"`{where}`: {message}"
    if item["type"] == "extra_forbidden":
        known = _keys_at(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`? " if near else ""
        return f"`{where}` is not a known key: {hint}allowed are {', '.join(known)}"
    if item["type"] == "missing":
        return f"`{where}` is missing"
    if where == "name" and item["type"] == "string_pattern_mismatch":
        message = f"allowed are {NAME_RULE}"
    found = item.get("input")
    repeated = "" if isinstance(found, (dict, BaseModel)) else f" (found {quoted(found)})"
    return f"`{where}`: {message[0].lower()}{message[1:]}{repeated}"


def _without_tags(location: tuple[Any, ...]) -> list[Any]:
    """Drop the discriminator values that pydantic puts into a location, as a person did not write them."""
    model: Any = Recipe
    kept = []
    for part in location:
        choices = models_in(model)
        tagged = {_kind(choice): choice for choice in choices} if len(choices) > 1 else {}
        if part in tagged:
            model = tagged[part]
            continue
        kept.append(part)
        fields = choices[0].model_fields if choices else {}
        model = fields[part].annotation if part in fields else None
    return kept


def _keys_at(location: tuple[Any, ...]) -> list[str]:
    model: Any = Recipe
    for part in location:
        choices = models_in(model)
        tagged = {_kind(choice): choice for choice in choices} if len(choices) > 1 else {}
        if part in tagged:
            model = tagged[part]
        elif choices and part in choices[0].model_fields:
            model = choices[0].model_fields[part].annotation
    return [name for choice in models_in(model)[:1] for name in choice.model_fields]


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the pydantic models that an annotation can hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, list, typing.Annotated):
        return [model for argument in typing.get_args(annotation) for model in models_in(argument)]
    return []


def _kind(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("kind")
    return field.default if field is not None else None
