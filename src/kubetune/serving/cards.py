"""Markdown that travels with a model."""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined


def render(template: str, **values: Any) -> str:
    """Return a template of this package filled in.

    Args:
        template: File name.
        values: What the template names; filter `plain` makes untrusted text fit for one line of Markdown.
    """
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    environment.filters["plain"] = plain
    text = (files("kubetune.serving") / template).read_text(encoding="utf-8")
    return environment.from_string(text).render(**values)


def plain(text: str) -> str:
    """Labels are data: no mark-up, no control characters, one line."""
    kept = "".join(character if character.isprintable() and character not in "`|<>" else " " for character in text)
    return " ".join(kept.split())[:60]
