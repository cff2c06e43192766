"""Generated dialects: what a spreadsheet would read is what is read, or a refusal that names the line.

The writer and the reader of the spreadsheet below are our own few lines and share nothing with the code under test.
"""

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from data.reading import files_of, read
from kubetune.errors import DataError

SEEDS = [pytest.param(range(60), id="few"), pytest.param(range(60, 1000), id="many", marks=pytest.mark.slow)]
PIECES = (
    *"abcxyz019",
    " ",
    "é",
    "ß",
    ",",
    ";",
    "|",
    "\t",
    '"',
    '""',
    "'",
    "\\",
    "#",
    "=",
    ".",
    "0,5",
    "\u00a0",
    "\x0b",
)
LINE_ENDS = ("\n", "\r\n", "\r")
WIDE_PIECES = ("😀", "漢字", "\u2028", "\u200b", "\x85", "a\ufeffb", "\x1c")
ENCODINGS = {  # how the recipe names it, and the mark of the file
    "utf-8": ("utf-8", b""),
    "utf-8 with mark": ("utf-8", b"\xef\xbb\xbf"),
    "utf-16-le": ("utf-8", b"\xff\xfe"),
    "utf-16-be": ("utf-8", b"\xfe\xff"),
    "latin-1": ("latin-1", b""),
    "cp1252": ("cp1252", b""),
    "mac_roman": ("mac_roman", b""),
}


@dataclass(frozen=True)
class Case:
    """A table, how it is written, and what the recipe says."""

    header: list[str]
    rows: list[list[str]]
    unnamed: int
    delimiter: str
    quotes: str
    line_end: str
    encoding: str
    sep_line: bool
    last_line_ends: bool

    @property
    def suffix(self) -> str:
        return "tsv" if self.delimiter == "\t" else "csv"

    @property
    def recipe(self) -> dict[str, Any]:
        return {"quotes": True} if self.delimiter == "\t" and self.quotes != "none" else {}

    @property
    def text(self) -> str:
        lines = [[*row, *[""] * self.unnamed] for row in [self.header, *self.rows]]
        written = self.line_end.join(self.delimiter.join(map(self.field, line)) for line in lines)
        first = f"sep={self.delimiter}{self.line_end}" if self.sep_line else ""
        return first + written + self.line_end * self.last_line_ends

    def field(self, value: str) -> str:
        needs = any(mark in value for mark in (self.delimiter, '"', "\r", "\n"))
        if self.quotes == "none" or (self.quotes == "minimal" and not needs):
            return value
        return '"' + value.replace('"', '""') + '"'

    def write(self, folder: Path, text: str | None = None) -> Path:
        _, mark = ENCODINGS[self.encoding]
        path = folder / f"case.{self.suffix}"
        path.write_bytes(mark + (self.text if text is None else text).encode(self.encoding.removesuffix(" with mark")))
        return path


def drawn(draw: random.Random) -> Case:
    """A table in a dialect that can hold it."""
    encoding, delimiter = draw.choice(list(ENCODINGS)), draw.choice(",;\t|")
    quotes = draw.choice(["minimal", "all", *["none"] * (delimiter == "\t")])
    pieces = [*PIECES, *(LINE_ENDS if quotes != "none" else ()), *(WIDE_PIECES if encoding.startswith("utf") else ())]
    if encoding == "mac_roman":  # it lacks some
        pieces = [piece for piece in pieces if piece.isascii() or piece in "éß"]
    if quotes == "none":
        pieces = [piece for piece in pieces if "\t" not in piece]
    columns = draw.randint(1 if quotes == "all" else 2, 5)
    header = [f"column {n}" for n in range(columns)]
    rows = [[value(draw, pieces) for _ in header] for _ in range(draw.choice([1, 2, 5, 40]))]
    if len(rows) == 40 and columns > 2:  # enough rows to tell a second candidate in the header from the delimiter
        header[0] = draw.choice(["text, raw", "text; raw", "text | raw", "te\nxt" if quotes != "none" else "text"])
    return Case(
        header=header,
        rows=rows,
        unnamed=draw.choice([0, 0, 1, 3]),
        delimiter=delimiter,
        quotes=quotes,
        line_end=draw.choice(LINE_ENDS),
        encoding=encoding,
        sep_line=draw.random() < 0.2,
        last_line_ends=draw.random() < 0.7,
    )


def value(draw: random.Random, pieces: list[str]) -> str:
    return "".join(draw.choice(pieces) for _ in range(draw.choice([0, 1, 3, 12, 40])))


def spreadsheet(text: str, delimiter: str, quotes: bool) -> list[list[str]]:
    """Read cells as a spreadsheet does: a character at a time, lenient; blank lines are no rows."""
    rows: list[list[str]] = [[]]
    cell, inside, place, quoted = "", False, 0, False
    while place < len(text):
        character = text[place]
        if inside and character == '"' and text[place + 1 : place + 2] == '"':
            cell, place = cell + '"', place + 1
        elif character == '"' and quotes and (inside or (not cell and not quoted)):
            inside, quoted = not inside, True
        elif inside or character not in (delimiter, "\r", "\n"):
            cell += character
        else:
            rows[-1].append(cell)
            blank, cell, quoted = rows[-1] == [""] and not quoted, "", False
            if character != delimiter:
                place += text[place : place + 2] == "\r\n"
                rows[-1:] = [[]] if blank else [rows[-1], []]
        place += 1
    if cell or quoted or rows[-1]:
        rows[-1].append(cell)
    return [row for row in rows if row]


def found(case: Case, folder: Path, text: str | None = None) -> list[list[str]]:
    encoding, _ = ENCODINGS[case.encoding]
    rows, _ = read(files_of(case.write(folder, text), **case.recipe), folder, encoding=encoding)
    return [list(row.values()) for row in rows["all"]]


@pytest.mark.parametrize("seeds", SEEDS)
def test_a_well_formed_table_of_any_dialect_is_read_as_it_was_written(tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        case = drawn(random.Random(seed))
        cells = spreadsheet(case.text, case.delimiter, case.quotes != "none")[case.sep_line :]
        as_written = [row for row in case.rows if row != [""] or case.quotes == "all"]
        assert [row[: len(case.header)] for row in cells] == [case.header, *as_written], f"the spreadsheet, seed {seed}"
        try:
            rows = found(case, tmp_path)
        except DataError as error:
            pytest.fail(f"seed {seed}, {case}: {error}")
        assert rows == as_written, f"seed {seed}, {case}"


def damaged(draw: random.Random, text: str, delimiter: str) -> str:
    """Break something behind the header, as other people's files are broken."""
    begin = len(re.match(r"[^\r\n]*(\r\n|\r|\n)", text)[0])  # type: ignore[index]
    for _ in range(draw.choice([1, 1, 2])):
        place = draw.randint(begin, len(text))
        cut = text[:place], text[place:]
        text = draw.choice(
            [
                cut[0] + '"' + cut[1],
                cut[0] + delimiter + cut[1],
                cut[0] + cut[1][1:],
                cut[0] + draw.choice(LINE_ENDS) + cut[1],
                cut[0],
                text + text,
                text + "\ufeff" + text,
            ]
        )
    return text


@pytest.mark.parametrize("seeds", SEEDS)
def test_a_damaged_table_is_read_as_a_spreadsheet_would_or_refused_with_its_line(tmp_path: Path, seeds: range) -> None:
    refused = 0
    for seed in seeds:
        draw = random.Random(seed)
        case = drawn(draw)
        if "\n" in case.header[0] or case.sep_line or len(case.header) == 1 or not case.encoding.startswith("utf"):
            continue
        text = damaged(draw, case.text, case.delimiter)
        try:
            rows = found(case, tmp_path, text)
        except DataError as error:
            refused += 1
            assert re.search(r"\bline \d+", str(error)), f"seed {seed}: {error}"
            continue
        cells = spreadsheet(text, case.delimiter, case.quotes != "none")[1:]
        wide = len(case.header)
        read_cells = [[row[0].lstrip("\ufeff"), *row[1:], *[""] * wide][:wide] for row in cells]  # joined files
        assert rows == read_cells, f"seed {seed}, {case}, {text!r}"
        assert not any(any(row[wide + case.unnamed :]) for row in cells), f"seed {seed}"
    assert refused > len(seeds) / 8, "the damage must be seen"
