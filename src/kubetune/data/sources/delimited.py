"""CSV and TSV as RFC 4180 has them, read strictly: a row that does not fit stops the run and is named."""

import csv
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from kubetune.data.bounds import STANDARD, SourceBounds
from kubetune.data.sources.base import Facts
from kubetune.data.sources.batches import check_columns, in_batches
from kubetune.data.sources.dialect import NAMES, SAMPLE_CHARACTERS, SAMPLE_LINES, Delimiter, Dialect, delimiter_of
from kubetune.data.sources.text_lines import LONGEST_LINE, read_lines
from kubetune.errors import DataError
from kubetune.text.shown import one_line

MARK = "\ufeff"
MOST_QUOTED_LINES = 100
LIKE_ROWS = 5
"""From so many lines on, a quoted field whose inner lines all look like rows is a quote that was not meant."""


def read_delimited(
    path: Path, name: str, layout: str, dialect: Dialect, facts: Facts, bounds: SourceBounds = STANDARD
) -> Iterator[pa.RecordBatch]:
    """Stream the rows of a file; every value is a string, an empty field an empty string.

    Columns without a name are not read. A field beyond the header's is, if it is empty, what a spreadsheet leaves.

    Args:
        path: The file.
        name: Its name for messages; `.gz` at its end is unpacked.
        layout: `csv` or `tsv`.
        dialect: What the recipe says of encoding, delimiter and quotes.
        facts: Where it is kept what was decided.
        bounds: How much it may become.

    Raises:
        DataError: A row has another number of fields than the header or is the header again, a quote is not closed,
            a column is named twice, … Messages name the line; blank lines are no rows.
    """
    csv.field_size_limit(LONGEST_LINE)
    lines = read_lines(path, name, dialect.encoding, bounds, facts)
    sample, whole = _sample(lines)
    chosen = delimiter_of(sample, dialect, layout, whole=whole)
    rows = _Rows(itertools.chain(sample, lines), name, chosen, dialect)
    if chosen.sep_line:
        rows.skip_line()
    first = next(rows, None)
    if first is None:
        raise DataError("empty-file", f"{name} has no header: the first line must name the columns.")
    table = _Table.of(name, first, dialect.header)
    check_columns(table.columns, name)
    rows.delimiters = len(first) - 1
    schema = pa.schema([(column, pa.string()) for column in table.columns])
    body = rows if dialect.header is True else itertools.chain([first], rows)
    yield from in_batches((table.values(row, rows.begin) for row in body), schema, as_strings=True)
    _say(facts, name, chosen, rows, table)


def _sample(lines: Iterator[str]) -> tuple[list[str], bool]:
    """Take the first lines, and whether they are the whole file."""
    found: list[str] = []
    characters = 0
    for line in lines:
        found.append(line)
        characters += len(line)
        if len(found) >= SAMPLE_LINES or characters >= SAMPLE_CHARACTERS:
            return found, False
    return found, True


class _Rows:
    """The rows of a file and the line on which each begins.

    The lines go through this object on their way to `csv.reader`, as it alone knows at which line a row begins.

    Attributes:
        begin: Line on which the last row begins.
        delimiters: How many of them a row has; 0: not known, or only one column.
        marks: Byte order marks inside the file that were removed.
        spanning: Rows that hold line ends.
        longest: First and last line of the longest of them.
        enclosed: Lines with a field that begins and ends with a quote, where a quote is a character.
    """

    def __init__(self, lines: Iterator[str], name: str, delimiter: Delimiter, dialect: Dialect) -> None:
        self.name, self.lines, self.delimiter = name, lines, delimiter.character
        self.quotes = dialect.quoted(self.delimiter)
        self.guesses_quotes = dialect.quotes is None
        self.most_lines = dialect.quoted_lines or MOST_QUOTED_LINES
        self.guesses_lines = dialect.quoted_lines is None
        self.reader = csv.reader(
            self._given(),
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            strict=True,
        )
        self.line = self.begin = self.delimiters = self.marks = self.spanning = self.enclosed = 0
        self.inside = self.like_rows = 0  # lines inside the row that are neither its first nor its last
        self.last = ""
        self.longest = (0, 0)

    def __iter__(self) -> "_Rows":
        return self

    def __next__(self) -> list[str]:
        while True:
            self.begin = self.line + 1
            self.inside = self.like_rows = 0
            try:
                row = next(self.reader)
            except csv.Error as error:
                raise self.malformed(str(error)) from None
            if row:
                if self.line > self.begin:
                    self.check_spanning(row)
                return row

    def skip_line(self) -> None:
        """Leave out a line that is no row."""
        next(self.lines)
        self.line += 1

    def _given(self) -> Iterator[str]:
        """Yield the lines to the reader, counting."""
        for line in self.lines:
            self.line += 1
            given = line
            if self.line == self.begin:
                if line.startswith(MARK):  # files joined one after another
                    given = line.lstrip(MARK)
                    self.marks += 1
                if not self.quotes and '"' in line:
                    self.enclosed += any(len(part) > 1 and part[0] == part[-1] == '"' for part in self.parts(line))
            elif self.line - self.begin >= self.most_lines * (self.delimiters + 1):
                raise self.unclosed(self.begin, self.line)
            elif self.line - self.begin > 1:
                self.inside += 1
                self.like_rows += self.last.count(self.delimiter) == self.delimiters
            self.last = given
            yield given

    def parts(self, line: str) -> list[str]:
        return line.rstrip("\r\n").split(self.delimiter)

    def check_spanning(self, row: list[str]) -> None:
        """Refuse a row of which a quote took too many lines, or other rows."""
        begin = self.begin
        for value in row:
            ends = _line_ends(value)
            if ends >= self.most_lines:
                raise self.unclosed(begin, begin + ends)
            begin += ends
        if self.guesses_lines and self.delimiters and self.inside >= LIKE_ROWS and self.like_rows == self.inside:
            raise DataError(
                "unclosed-quote",
                f"{self.name}: a quote opens in the row at line {self.begin} and closes in line {self.line}, and each "
                'line between them has the fields of a row: close or double it (""), set data.source.quotes=false if '
                f"quotes are characters, or data.source.quoted_lines={self.line - self.begin + 1} if it is one text.",
            )
        self.spanning += 1
        if self.line - self.begin > self.longest[1] - self.longest[0]:
            self.longest = (self.begin, self.line)

    def unclosed(self, begin: int, end: int) -> DataError:
        return DataError(
            "unclosed-quote",
            f"{self.name}: a quote that opens in the row at line {begin} is not closed before line {end}, and "
            f'{self.most_lines} lines are allowed in one field: close it, double quotes inside a field (""), set '
            "data.source.quotes=false, or raise data.source.quoted_lines.",
        )

    def malformed(self, reason: str) -> DataError:
        if "unexpected end" in reason or "field limit" in reason:
            return DataError(
                "unclosed-quote",
                f"{self.name}: a quote that opens in the row at line {self.begin} is not closed within "
                f"{LONGEST_LINE >> 20} Mi characters or the file's end at line {self.line}: close it, double quotes "
                'inside a field (""), or set data.source.quotes=false.',
            )
        return DataError(
            "malformed-row",
            f"{self.name}: the row at line {self.begin} is malformed ({reason}): enclose the field in quotes and "
            'double those inside (""), or set data.source.quotes=false.',
        )


def _line_ends(value: str) -> int:
    return value.count("\n") + value.count("\r") - value.count("\r\n")


class _Table:
    """The named columns of a file.

    Attributes:
        columns: Their names.
        unnamed: Columns without a name.
        unnamed_values: Rows that hold something in one of them.
        first_value: Line of the first of those rows.
        beyond: Rows with empty fields beyond the header's.
    """

    def __init__(self, name: str, header: list[str], named_by: str, sentence: str = "") -> None:
        self.name, self.header, self.named_by, self.sentence = name, header, named_by, sentence
        self.places = [place for place, column in enumerate(header) if column.strip()]
        self.columns = [header[place] for place in self.places]
        self.least = self.places[-1] + 1 if self.places else 0
        self.unnamed = len(header) - len(self.columns)
        self.unnamed_values = self.first_value = self.beyond = 0

    @classmethod
    def of(cls, name: str, first: list[str], header: bool | Sequence[str]) -> "_Table":
        """Return the table of a file whose first row is given, see `Dialect.header`."""
        if header is True:
            return cls(name, first, "the header")
        if header is False:
            numbers = [str(number) for number in range(1, len(first) + 1)]
            what = f"its first line is a row, as data.source.header says: columns are named 1 to {len(first)}"
            return cls(name, numbers, "the first row", what)
        shown = ", ".join(one_line(column, 40) or "(not read)" for column in header)
        what = f"its first line is a row, and columns are named by data.source.header: {shown}"
        return cls(name, list(header), "data.source.header", what)

    def values(self, row: list[str], line: int) -> list[str]:
        """Return the values of the named columns."""
        if len(row) != len(self.header):
            self.check_length(row, line)
        if row == self.header and len(row) > 1 and self.named_by != "the first row":
            if self.sentence:
                raise DataError(
                    "repeated-header",
                    f"{self.name} line {line} has the very names of data.source.header: leave that out where the first "
                    "line names the columns.",
                )
            raise DataError(
                "repeated-header",
                f"{self.name} line {line} is the header again, as where files were joined one after another: remove "
                "that line, or name each file of its own in data.source.paths.",
            )
        if not self.unnamed:
            return row[: len(self.header)]
        values = [row[place] for place in self.places]
        if sum(map(bool, row)) > sum(map(bool, values)):
            self.unnamed_values += 1
            self.first_value = self.first_value or line
        return values

    def check_length(self, row: list[str], line: int) -> None:
        """Refuse a row that lacks a named column, or has something beyond the header."""
        if len(row) > len(self.header) and not any(row[len(self.header) :]):
            self.beyond += 1
            return
        if self.least <= len(row) < len(self.header):
            return  # what it lacks are columns without a name
        raise DataError(
            "ragged-row",
            f"{self.name} line {line} has {len(row)} fields and {self.named_by} has {len(self.header)}: give every row "
            "as many fields, quoted where they hold the delimiter, or set data.source.delimiter or data.source.quotes "
            "if it is written otherwise.",
        )


def _say(facts: Facts, name: str, chosen: Delimiter, rows: _Rows, table: _Table) -> None:
    """Keep what was decided, and what of the file a reader might have read otherwise."""
    separated = NAMES.get(chosen.character, repr(chosen.character))
    quotes = "quotes enclose fields" if rows.quotes else "quotes are characters"
    facts.decided(name, f"fields are separated by {separated}, {chosen.reason}; {quotes}")
    if table.sentence:
        facts.decided(name, table.sentence)
    if table.unnamed:
        held = f"{table.unnamed_values:,} rows hold something there, the first at line {table.first_value}"
        held = held if table.unnamed_values else "all of them empty"
        facts.decided(name, f"columns without a name are not read: {table.unnamed} ({held})")
    if table.beyond:
        facts.decided(name, f"rows with further empty fields, which are not read: {table.beyond:,}")
    if rows.marks:
        facts.decided(name, f"byte order marks inside the file, which are removed: {rows.marks:,}")
    if rows.spanning:
        first, last = rows.longest
        facts.decided(
            name, f"rows with line ends inside quotes: {rows.spanning:,}, the longest in lines {first} to {last}"
        )
    if rows.enclosed and rows.guesses_quotes:
        facts.decided(
            name,
            f"rows with a field in quotes, which are kept: {rows.enclosed:,}; data.source.quotes=true removes them",
        )
