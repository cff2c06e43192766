"""How a delimited file is written: what the recipe says of it, and the delimiter where it says nothing."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

DELIMITERS = {"csv": ",", "tsv": "\t"}
CANDIDATES = (",", ";", "\t", "|")
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
SAMPLE_LINES, SAMPLE_CHARACTERS = 1000, 1 << 18
"""How much of a file the choice of its delimiter looks at."""
AGREEMENT = 0.9
"""Share of the rows looked at that must have as many fields as the header."""
SEP_LINE = re.compile(r'"?sep=(.)"?[\r\n]*\Z', re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Dialect:
    """What the recipe says of text files.

    Attributes:
        layout: `csv`, `tsv`, `jsonl`, `json`, `parquet`, `conll` or `auto`, which asks each file's suffix.
        encoding: Of text files.
        delimiter: The character between fields; None: found for each file.
        quotes: Whether fields may be enclosed in quotes; None: unless tabs separate them.
        quoted_lines: Most lines of a quoted field; None: the usual bound.
        header: Whether the first line names the columns; False: their numbers do; a list: these names do, in order.
        records: Key of the outermost object under which the rows of JSON lie; None: outermost, or under `data`.
    """

    layout: str = "auto"
    encoding: str = "utf-8"
    delimiter: str | None = None
    quotes: bool | None = None
    quoted_lines: int | None = None
    header: bool | Sequence[str] = True
    records: str | None = None

    @classmethod
    def of(cls, source: Any, encoding: str) -> "Dialect":
        """Return what a section `data.source` of files says."""
        quoting = source.delimiter, source.quotes, source.quoted_lines
        return cls(source.format, encoding, *quoting, source.header, source.records)

    def quoted(self, delimiter: str) -> bool:
        """Whether fields may be enclosed in quotes where this delimiter separates them."""
        return delimiter != "\t" if self.quotes is None else self.quotes


@dataclass(frozen=True)
class Delimiter:
    """What separates the fields of a file, and how that is known.

    Attributes:
        character: The delimiter.
        reason: Words for a sentence: where it was found.
        sep_line: Whether the first line is a `sep=` line of Excel and no header.
    """

    character: str
    reason: str
    sep_line: bool = False


def delimiter_of(sample: Sequence[str], dialect: Dialect, layout: str, *, whole: bool) -> Delimiter:
    """Choose the delimiter of a file.

    The rule, as `csv.Sniffer` weighs frequencies of any character and is led astray by texts: the recipe decides, then
    a line `sep=;` as Excel writes it. Else a candidate (comma, semicolon, tab, `|`) must separate the header outside
    quotes. Where more than one does, one is consistent if at least nine in ten of the rows looked at, parsed with
    quotes respected, have as many fields as the header; of those the one with most columns is taken, then the one
    that more rows agree with, then the one that the suffix names. So neither an odd row nor a decimal comma decides.

    Args:
        sample: The first lines, with their ends.
        dialect: What the recipe says.
        layout: `csv` or `tsv`, from the suffix.
        whole: Whether the sample is the whole file, so that its last row is complete.
    """
    marked = SEP_LINE.match(sample[0]) if sample else None
    if dialect.delimiter is not None:
        return Delimiter(dialect.delimiter, "as data.source.delimiter says", marked is not None)
    if marked is not None and marked[1] not in '"\r\n':
        return Delimiter(marked[1], "as its first line sep= says", sep_line=True)
    usual = DELIMITERS[layout]
    chosen, reason = usual, ""
    best = (False, -1, 0.0, False)
    for candidate in CANDIDATES:
        rows = _rows(sample, candidate, quotes=dialect.quoted(candidate))
        columns = len(next(rows, []))
        if columns < 2:
            continue
        body = list(rows)
        body = body if whole else body[:-1]
        agree = sum(_fits(row, columns) for row in body)
        share = agree / len(body) if body else 1.0
        consistent = share >= AGREEMENT
        rank = (consistent, columns if consistent else 0, share, candidate == usual)
        if rank > best:
            best, chosen = rank, candidate
            reason = f"on which its header and {agree:,} of the first {len(body):,} rows agree"
    return Delimiter(chosen, reason or "though its header has none, so that it is one column")


def _fits(row: Sequence[str], columns: int) -> bool:
    return len(row) == columns or (len(row) > columns and not any(row[columns:]))


def _rows(sample: Sequence[str], delimiter: str, *, quotes: bool) -> Iterator[list[str]]:
    """Yield the rows of a sample that are not blank, leniently: what is malformed is refused when it is read."""
    try:
        rows = csv.reader(sample, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE)
        yield from (row for row in rows if row)
    except csv.Error:
        return
