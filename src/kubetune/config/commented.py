"""A recipe as text for a person: each section on its lines, and above a value why it is what it is."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from kubetune.text.shown import one_line

WIDTH = 118
BLOCKS = frozenset({"thresholds"})
"""Lists that have a line an item."""


def recipe_text(document: Mapping[str, Any], comments: Mapping[str, Sequence[str]]) -> str:
    """Return the YAML of a recipe.

    Args:
        document: Its sections, as `load_recipe` reads them.
        comments: Dotted path of a value, of at most two keys → lines that stand above it; the empty path: at the top.
            They may quote what others wrote.
    """
    lines = list(_comments(comments.get("", ()), ""))
    for section, values in document.items():
        lines += _comments(comments.get(section, ()), "")
        if not isinstance(values, Mapping) or not values:
            lines.append(f"{section}: {_flow(values)}")
            continue
        lines.append(f"{section}:")
        for key, value in values.items():
            lines += _comments(comments.get(f"{section}.{key}", ()), "  ")
            if key in BLOCKS and value:
                lines += [f"  {key}:", *(f"    - {_flow(item)}" for item in value)]
            else:
                lines.append(f"  {key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _comments(said: Sequence[str], indent: str) -> Iterator[str]:
    """Yield a line a sentence; nothing in one can end the comment."""
    yield from (f"{indent}# {one_line(sentence, 2 * WIDTH)}" for sentence in said)


def _flow(value: Any) -> str:
    """Return a value on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1 << 30)
    return text.removesuffix("\n").removesuffix("\n...").strip()
