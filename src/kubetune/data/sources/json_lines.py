"""JSON lines: one object a line."""

import json
import re
from collections.abc import Iterator
from typing import Any

from kubetune.data.bounds import STANDARD, SourceBounds
from kubetune.data.sources.base import Facts
from kubetune.data.sources.text_lines import read_lines
from kubetune.errors import DataError

SURROGATE = re.compile("[\ud800-\udfff]")


def read_objects(
    path: Any, name: str, encoding: str, facts: Facts | None = None, bounds: SourceBounds = STANDARD
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Stream (line, object); blank lines are no rows.

    Args:
        path: The file.
        name: Its name for messages; `.gz` at its end is unpacked.
        encoding: Its encoding.
        facts: Where replaced surrogates are counted.
        bounds: How much it may become.

    Raises:
        DataError: A line is no JSON or no object; names the line.
    """
    for number, line in enumerate(read_lines(path, name, encoding, bounds, facts), start=1):
        if not line.strip(" \t\r\n"):
            continue
        row = _object(line.lstrip("\ufeff"), name, number)  # a mark inside: files joined one after another
        yield number, plain_row(row, line, facts)


def plain_row(row: dict[str, Any], source: str, facts: Facts | None) -> dict[str, Any]:
    """Return a row whose texts are Unicode.

    Args:
        row: As it was decoded.
        source: What it was decoded from.
        facts: Where replaced surrogates are counted.
    """
    if "\\u" in source:  # the only way in which a lone surrogate can stand in decoded text
        replaced = _Replaced()
        row = replaced.value(row)
        if facts is not None:
            facts.surrogates += replaced.characters
    return row


def _object(line: str, name: str, number: int) -> dict[str, Any]:
    try:
        row = DECODER.decode(line)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    else:
        if isinstance(row, dict):
            return row
        raise DataError(
            "not-an-object",
            f"{name} line {number} is JSON but no object: every line must be one object, {{column: value}}; set "
            "data.source.format=json for an array of objects.",
        )
    hint = ", or set data.source.format=json if objects take several lines" if number == 1 else ""
    raise DataError("malformed-json", f"{name} line {number} is not JSON ({reason}): repair or remove the line{hint}.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


class _Replaced:
    """Puts U+FFFD where lone surrogates stand, which no UTF-8 file can hold.

    Attributes:
        characters: How many.
    """

    def __init__(self) -> None:
        self.characters = 0

    def value(self, value: Any) -> Any:
        """Return a value of any depth, without them."""
        if isinstance(value, str):
            plain, found = SURROGATE.subn("\ufffd", value)
            self.characters += found
            return plain
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.value(name): self.value(item) for name, item in value.items()}
        return value
