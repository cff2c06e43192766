"""YAML that others wrote, read at a cost that its size bounds: no aliases, no repeated keys, no depth, no bombs."""

from collections.abc import Hashable
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from kubetune.redaction import redact

MOST_CHARACTERS = 64 << 10
"""The largest recipe or suite. A shipped one has 6,000; PyYAML reads about 50,000 a second."""
MOST_CLUSTER_CHARACTERS = 1 << 20
"""The largest ConfigMap, which an administrator writes."""
DEEPEST = 24
"""Lists and maps inside each other."""
LARGEST_NUMBER_BITS = 256
"""Python refuses to write out integers of more than 4,300 digits, which a hexadecimal one of 64 KiB exceeds."""


class YamlTextError(ValueError):
    """A text is no YAML that is read here; the message says where, and quotes nothing but names."""


def read_yaml(text: str, most: int = MOST_CHARACTERS) -> Any:
    """Return the value of a YAML (or JSON) text of plain lists, maps, texts and numbers.

    Args:
        text: What somebody wrote.
        most: Characters that are read at all.

    Raises:
        YamlTextError: It is no YAML, longer, deeper than `DEEPEST`, repeats a key, or has an alias: an alias costs
            nothing to write, and the value that it stands for can be of any size.
    """
    if len(text) > most:
        raise YamlTextError(f"it has {len(text):,} characters and {most:,} are allowed")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise YamlTextError(_explained(error)) from None
    except yaml.YAMLError as error:
        raise YamlTextError(" ".join(str(error).split())[:200]) from None
    except RecursionError:
        raise YamlTextError("it is nested too deeply") from None
    # What PyYAML's constructors raise for a value that its tag does not fit: a 99th day, `!!int ""`, `!!bool maybe`.
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise YamlTextError(f"a value does not fit its type ({redact(str(error))[:120]}); quote a text") from None


def _explained(error: yaml.MarkedYAMLError) -> str:
    """Say what is wrong and where; PyYAML's own text also repeats the line, which may hold a secret."""
    mark = error.problem_mark or error.context_mark
    where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return redact(" ".join(str(error.problem or error.context or "it cannot be read").split()))[:200] + where


class _Loader(yaml.SafeLoader):
    """YAML's safe loader within bounds; a key given twice is an error instead of silently the last one."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Build one node; refuses aliases and depth before anything below is read."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ConstructorError(None, None, "an alias (*name) is not allowed, write the value out", mark)
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ConstructorError(None, None, f"more than {DEEPEST} lists and maps inside each other", mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build one mapping; raises on a repeated key."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(getattr(key_node, "value", key_node))
            if key in seen and key != "<<":
                raise ConstructorError(None, None, f"key {redact(key)[:80]!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Build one integer; raises on one that could not be written out again."""
        value: int = super().construct_yaml_int(node)
        if value.bit_length() > LARGEST_NUMBER_BITS:
            raise ConstructorError(None, None, "a number of that many digits is not allowed", node.start_mark)
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
