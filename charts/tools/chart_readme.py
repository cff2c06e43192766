"""Write the chart's README: every value with its default, and what values.yaml or else the schema says of it."""

import sys
from collections.abc import Iterator
from typing import Any

import schema
import yaml
from chart_helm import CHART

SOURCE, TARGET = CHART / "values.yaml", CHART / "README.md"
HEAD = CHART / "README.head.md"
INLINE = 60
"""A default that is longer is shown by its kind."""


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield path, default and comment of each value that has no values below it."""
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    comments = _comments(lines)
    whole = schema.schema()
    described = dict(_described(whole, "", whole["definitions"]))
    for path, default, comment in _below(yaml.compose("\n".join(lines)), "", comments):
        if path in described:  # what lies below a free map is an example, not a value of its own
            yield path, default, comment or described[path]


def _comments(lines: list[str]) -> dict[int, str]:
    """Comment above each line; one marked `--` tells about the value, another about the block."""
    found: dict[int, str] = {}
    pending: list[str] = []
    for number, line in enumerate(lines):
        stripped = line.strip()
        if stripped.startswith("#"):
            pending.append(stripped.lstrip("#").strip().removeprefix("--").strip())
        else:
            if stripped and pending:
                found[number] = " ".join(pending)
            pending = []
    return found


def _described(node: dict[str, Any], path: str, definitions: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Description of each value in the schema."""
    for key, child in _resolved(node, definitions).get("properties", {}).items():
        whole = _resolved(child, definitions)
        name = f"{path}.{key}" if path else key
        yield name, whole.get("description", "")
        yield from _described(child, name, definitions)


def _resolved(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in (*node.get("allOf", ()), node):
        if "$ref" in part:
            found |= _resolved(definitions[part["$ref"].rpartition("/")[2]], definitions)
        found |= part
    return found


def _below(node: yaml.MappingNode, path: str, comments: dict[int, str]) -> Iterator[tuple[str, str, str]]:
    for key, value in node.value:
        name = f"{path}.{key.value}" if path else key.value
        comment = comments.get(key.start_mark.line, "")
        block = isinstance(value, yaml.MappingNode) and value.value and not value.flow_style
        if block:
            if comment:
                yield name, "", comment
            yield from _below(value, name, comments)
        else:
            yield name, _shown(value), comment


def _shown(node: yaml.Node) -> str:
    text = node.start_mark.buffer[node.start_mark.pointer : node.end_mark.pointer].strip()  # type: ignore[union-attr,index]
    return text if len(text) <= INLINE and "\n" not in text else f"{text[: INLINE - 1].splitlines()[0]}…"


def text() -> str:
    """Return the whole page."""
    lines = [HEAD.read_text(encoding="utf-8").rstrip(), "", "| value | default | |", "| --- | --- | --- |"]
    for path, default, comment in rows():
        shown = f"`{default}`".replace("|", "\\|") if default else ""
        lines.append(f"| `{path}` | {shown} | {comment.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv and TARGET.read_text(encoding="utf-8") != text():
        sys.exit("charts/kubetune/README.md is not what values.yaml says: run `make manifests`.")
    TARGET.write_text(text(), encoding="utf-8")
