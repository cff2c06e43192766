"""The reference of all recipe keys as Markdown, made from the models, so that it cannot be out of step."""

import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kubetune.config.load import models_in
from kubetune.config.recipe import Recipe


def reference() -> str:
    """Return a Markdown page with one table a section: key, allowed, default, meaning."""
    lines = [
        "# Recipe reference",
        "",
        "Every key of a recipe. `kubetune validate` checks a file against it and reports all errors at once; an",
        "unknown key is an error. A key is overridden on the command line as `section.key=value`.",
        "",
    ]
    _section(lines, "", Recipe)
    return "\n".join(lines).rstrip() + "\n"


def _section(lines: list[str], path: str, model: type[BaseModel]) -> None:
    title = f"`{path}`" if path else "Top level"
    lines += [f"## {title}", "", *(model.__doc__ or "").strip().splitlines()[:1], ""]
    lines += ["| key | allowed | default | meaning |", "| --- | --- | --- | --- |"]
    below: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        key = f"{path}.{name}" if path else name
        models = models_in(field.annotation)
        for choice in models:
            kind = choice.model_fields.get("kind")
            suffix = f" (kind: {kind.default})" if kind is not None and len(models) > 1 else ""
            below.append((key + suffix, choice))
        lines.append(f"| `{name}` | {_allowed(field, models)} | {_default(field, models)} | {_meaning(field)} |")
    lines.append("")
    seen: set[type[BaseModel]] = set()
    for key, choice in below:
        if choice in seen:
            continue
        seen.add(choice)
        _section(lines, "resources.<stage>" if path == "resources" else key, choice)


def _allowed(field: FieldInfo, models: list[type[BaseModel]]) -> str:
    if models:
        kinds = [model.model_fields["kind"].default for model in models if "kind" in model.model_fields]
        return " or ".join(f"`{kind}`" for kind in kinds) if len(kinds) > 1 else "a mapping, below"
    text = _type(field.annotation)
    for item in field.metadata:
        for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            bound = getattr(item, attribute, None)
            if bound is not None:
                text += f", {sign} {bound}"
    return text


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (list, dict):
        inner = _type(arguments[-1])
        return f"list of {inner}" if origin is list else f"mapping of {_type(arguments[0])} to {inner}"
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is not None:
        return " or ".join(_type(item) for item in arguments)
    names = {str: "text", int: "integer", float: "number", bool: "true or false", type(None): "null"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo, models: list[type[BaseModel]]) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if models and value is not None else f"`{'null' if value is None else value}`".replace("``", "`''`")


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("|", "\\|")
