"""JSON that is not one object a line: an array of objects, objects one after another, or `{"data": [objects]}`.

Read a piece at a time, so that memory holds one object and not the file.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubetune.data.bounds import STANDARD, SourceBounds
from kubetune.data.sources.base import Facts
from kubetune.data.sources.json_lines import DECODER, plain_row
from kubetune.data.sources.squad import is_article, questions
from kubetune.data.sources.text_lines import LONGEST_LINE, decoded
from kubetune.errors import DataError

BLANK = " \t\r\n\ufeff"
ROWS = "data"
LONGEST_TOKEN = 16
"""Characters that the end of a piece may cut off an escape, a number or a word; an error further back is one."""
LONGEST_SUFFIX = 4
"""Characters that may stand behind what looks like a whole number in a piece and belong to it: `e-1`."""
ALLOWED = 'allowed are an array of objects, objects one after another, or {"data": [objects]}'


def read_documents(
    path: Path,
    name: str,
    encoding: str,
    facts: Facts | None = None,
    bounds: SourceBounds = STANDARD,
    records: str | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Stream (line on which it begins, object).

    Args:
        path: The file.
        name: Its name for messages; `.gz` at its end is unpacked.
        encoding: Its encoding.
        facts: Where replaced surrogates and the layout are kept.
        bounds: How much it may become.
        records: Key of the outermost object under which the rows lie, whatever else it holds; None: the known layouts.

    Raises:
        DataError: It is no JSON or in no layout that has rows; names the line.
    """
    text = _Text(decoded(path, name, encoding, bounds, facts), name)
    layout = "objects one after another"
    if records is not None:
        layout, found = f"the objects under {records!r:.80}", _under(text, records)
    elif text.peek() == "[":
        layout, found = "an array of objects", _array(text)
    elif text.peek() == "{":
        found = _objects(text)
    else:
        raise text.error("json-layout", f"does not begin with an object or an array: {ALLOWED}")
    squad = False
    for line, row, source in found:
        plain = plain_row(row, source, facts)
        if is_article(plain):
            squad = True
            yield from ((line, question) for question in questions(plain, name, line))
        else:
            yield line, plain
    if text.peek():
        raise text.error("malformed-json", f"has something after the end of its rows: {ALLOWED}")
    if facts is not None:
        layout = '{"data": [objects]}' if text.wrapped and records is None else layout
        facts.decided(name, "read as " + ("the articles of SQuAD, a row a question" if squad else layout))


Found = Iterator[tuple[int, dict[str, Any], str]]


def _array(text: "_Text") -> Found:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.row()
        if text.take(",]") == "]":
            return


def _under(text: "_Text", records: str) -> Found:
    """Yield the objects under one key of the outermost object; what stands under others is left out."""
    if text.peek() != "{":
        raise text.error("json-layout", "does not begin with an object, of which data.source.records names a key")
    line, found = text.line(), False
    text.take("{")
    while text.peek() == '"':
        key, _ = text.value()
        text.take(":")
        if key == records and not found and text.peek() == "[":
            found = text.wrapped = True
            yield from _array(text)
        else:
            text.value()
        if text.take(",}") == "}":
            break
    else:
        text.take("}")
    if not found:
        raise DataError(
            "json-layout",
            f"{text.name} line {line} has no list of objects under {records!r:.80}, which data.source.records names: "
            "name the key under which the rows lie.",
        )


def _objects(text: "_Text") -> Found:
    """Yield objects until the end; the first is looked at key by key, as it may be around all rows."""
    line = text.line()
    row: dict[str, Any] = {}
    text.take("{")
    while text.peek() != "}":
        key, _ = text.value() if text.peek() == '"' else (None, "")
        if key is None:
            raise text.error("malformed-json", "has no name in quotes where an object needs one")
        text.take(":")
        if key == ROWS and not text.wrapped and text.peek() == "[":
            text.wrapped = True
            yield from _array(text)
        elif text.peek() in "[{" and not text.wrapped:
            what = "a list" if text.peek() == "[" else "an object"
            raise text.error(
                "json-layout",
                f"has {what} in {key!r:.80}: {ALLOWED}, the first of which has no lists or objects; set "
                "data.source.format=jsonl for one object a line",
            )
        elif key in row:
            raise text.error("malformed-json", "has a key twice in one object")
        else:
            row[key], _ = text.value()
        if text.take(",}") == "}":
            break
    else:
        text.take("}")
    if text.wrapped:
        return
    yield line, row, "\\u"
    while text.peek() == "{":
        yield text.row()


class _Text:
    """Decoded text as a stream of tokens.

    Attributes:
        wrapped: Whether rows were found inside an object.
    """

    def __init__(self, pieces: Iterator[str], name: str) -> None:
        self.name = name
        self.wrapped = False
        self._pieces, self._text, self._at, self._ended = pieces, "", 0, False
        self._lines, self._counted = 1, 0  # line at `_counted`

    def peek(self) -> str:
        """Return the next character that is not blank, or nothing at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in BLANK:
                    return self._text[self._at]
                self._at += 1
            if not self._fill(1):
                return ""

    def take(self, allowed: str) -> str:
        """Step over one of some characters.

        Raises:
            DataError: Another one comes.
        """
        found = self.peek()
        if not found or found not in allowed:
            wanted = " or ".join(f"`{character}`" for character in allowed)
            what = f"`{found}`" if found.isprintable() and found else "the end"
            raise self.error("malformed-json", f"is not JSON ({wanted} is expected and {what} comes)")
        self._at += 1
        return found

    def row(self) -> tuple[int, dict[str, Any], str]:
        """Return line, value and source of an object.

        Raises:
            DataError: Something else comes.
        """
        if self.peek() != "{":
            raise self.error("not-an-object", f"has something else than an object where a row must be: {ALLOWED}")
        line = self.line()
        value, source = self.value()
        return line, value, source

    def value(self) -> tuple[Any, str]:
        """Return the next value and its source, however many pieces it takes.

        Raises:
            DataError: It is malformed, or longer than a line may be.
        """
        self.peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = "Unterminated string" in error.msg or error.pos > len(self._text) - LONGEST_TOKEN
                if not cut or not self._fill(len(self._text) - self._at):
                    raise self._malformed(error.msg, error.pos) from None
                continue
            except (ValueError, RecursionError) as error:
                raise self._malformed(str(error), self._at) from None
            if isinstance(value, int | float) and len(self._text) - end < LONGEST_SUFFIX and self._fill(LONGEST_SUFFIX):
                continue  # a number may go on
            source, self._at = self._text[self._at : end], end
            return value, source

    def line(self) -> int:
        """Return the line on which the next character is."""
        self._lines += _line_ends(self._text[self._counted : self._at])
        self._counted = self._at
        return self._lines

    def error(self, rule: str, sentence: str) -> DataError:
        return DataError(rule, f"{self.name} line {self.line()} {sentence}.")

    def _malformed(self, reason: str, place: int) -> DataError:
        self.line()
        self._at = max(self._at, place)
        return self.error("malformed-json", f"is not JSON ({reason}): repair it")

    def _fill(self, least: int) -> bool:
        """Take in at least so many further characters; False where there are none."""
        if self._ended:
            return False
        if len(self._text) - self._at > LONGEST_LINE:
            raise self.error(
                "long-line", f"begins an object of more than {LONGEST_LINE >> 20} Mi characters: rows are needed"
            )
        self.line()
        kept = [self._text[self._at :]]
        added = 0
        while added < least:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
                break
            kept.append(piece)
            added += len(piece)
        self._text, self._at, self._counted = "".join(kept), 0, 0
        return added > 0


def _line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")
