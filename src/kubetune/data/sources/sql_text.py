"""Is a text one query that only reads? Decided before it is sent, whatever database it is for, in linear time.

Databases disagree where a text or a comment ends. So the query is read in each way in which any of them does, and
refused where one of these finds a second statement.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kubetune.errors import ConfigError

MARK = re.compile(r"--|/\*|[#;'\"`(]|\$(?:[A-Za-z_]\w*)?\$|[A-Za-z_][\w$]*")
EXECUTED = re.compile(r"/\*M?!", re.IGNORECASE)
"""What MySQL and MariaDB run although it looks like a comment."""
FIRST = frozenset({"SELECT", "WITH", "("})


@dataclass(frozen=True)
class SqlReading:
    """One way of reading SQL.

    Attributes:
        backslashes: A backslash takes the next character of a text as it is (MySQL).
        dollars: `$$` and `$tag$` enclose texts (PostgreSQL).
        hashes: `#` begins a comment (MySQL).
        spaced: `--` begins one only before white space (MySQL).
        nested: Comments `/* */` may hold others (PostgreSQL).
        returns: A carriage return ends a line too (PostgreSQL).
    """

    backslashes: bool
    dollars: bool
    hashes: bool
    spaced: bool
    nested: bool
    returns: bool


def check_query(query: str) -> None:
    """Refuse what is not one query that only reads.

    What no text shows (a function that writes) is left to the transaction, which is read-only where the database
    knows that, and never committed; and to the rights of the user.

    Raises:
        ConfigError: It begins with something else, has a second statement, or `INTO`, which writes files and tables.
    """
    if EXECUTED.search(query):
        raise ConfigError("data.source.query has a comment /*! that some databases run: remove it.")
    for reading in _readings(query):
        marks = _marks(query, reading)
        if next(marks, None) not in FIRST:
            raise ConfigError("data.source.query is no SELECT: allowed is one query that only reads.")
        for mark in marks:
            if mark == ";" and next(marks, None) is not None:
                raise ConfigError(
                    "data.source.query has more than one statement: allowed is one SELECT, with `;` at its end only."
                )
            if mark == "INTO":
                raise ConfigError(
                    "data.source.query has INTO, which writes a table or a file: allowed is one query that only reads."
                )


def _readings(query: str) -> Iterator[SqlReading]:
    """Yield the ways that may differ for this query."""
    signs = ("\\", "$", "#", "--", "/*", "\r")
    for values in itertools.product(*((False, True) if sign in query else (False,) for sign in signs)):
        yield SqlReading(*values)


def _marks(query: str, how: SqlReading) -> Iterator[str]:
    """Yield the words in capitals, `;` and `(` that stand outside of texts, quoted names and comments."""
    place = 0
    while (found := MARK.search(query, place)) is not None:
        mark, place = found[0], found.end()
        if mark in "'\"`":
            place = _after_text(query, place, mark, how)
        elif mark == "/*":
            place = _after_comment(query, place, how)
        elif mark == "--" or (mark == "#" and how.hashes):
            if mark == "#" or not how.spaced or query[place : place + 1].isspace():
                place = _after_line(query, place, how)
        elif mark.startswith("$"):
            place = _after(query, mark, place) if how.dollars else found.start() + 1
        elif mark != "#":
            yield mark.upper()


def _after(query: str, end: str, place: int) -> int:
    at = query.find(end, place)
    return len(query) if at < 0 else at + len(end)


def _after_line(query: str, place: int, how: SqlReading) -> int:
    ends = [query.find(end, place) for end in ("\n", "\r")[: 1 + how.returns]]
    return min((end for end in ends if end >= 0), default=len(query))


def _after_text(query: str, place: int, quote: str, how: SqlReading) -> int:
    while True:
        at = query.find(quote, place)
        if at < 0:
            return len(query)
        if how.backslashes and quote != "`":
            before = at - len(query[place:at].rstrip("\\")) - place
            if before % 2:
                place = at + 1
                continue
        return at + 1  # a doubled quote begins the next text at once, which is the same


def _after_comment(query: str, place: int, how: SqlReading) -> int:
    depth = 1
    for found in re.finditer(r"/\*|\*/", query[place:]):
        depth += (1 if how.nested else 0) if found[0] == "/*" else -1
        if depth == 0:
            return place + found.end()
    return len(query)
