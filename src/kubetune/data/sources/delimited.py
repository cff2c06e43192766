"""CSV and TSV as RFC 4180 has them, read strictly: a row that does not fit stops the run and is named."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from kubetune.data.bounds import STANDARD, Bounds
from kubetune.data.sources.batches import check_columns, in_batches
from kubetune.data.sources.text_lines import LONGEST_LINE, read_lines
from kubetune.errors import DataError

DELIMITERS = {"csv": ",", "tsv": "\t"}


def read_delimited(
    path: Path, name: str, encoding: str, layout: str, quotes: bool, bounds: Bounds = STANDARD
) -> Iterator[pa.RecordBatch]:
    """Stream the rows of a file with a header; every value is a string, an empty field an empty string.

    Args:
        path: The file.
        name: Its name for messages; `.gz` at its end is unpacked.
        encoding: Its encoding.
        layout: `csv` or `tsv`.
        quotes: Whether a field may be enclosed in `"`, inside which `""` is one quote.
        bounds: How much it may become.

    Raises:
        DataError: A row has another number of fields than the header, a quote is not closed, a column is named
            twice, … Messages name the line; blank lines are no rows.
    """
    rows = _rows(read_lines(path, name, encoding, bounds), name, layout, quotes)
    header = next(rows, None)
    if header is None:
        raise DataError("empty-file", f"{name} has no header: the first line must name the columns.")
    _, columns = header
    check_columns(columns, name)
    schema = pa.schema([(column, pa.string()) for column in columns])
    yield from in_batches(_values(rows, columns, name), schema, as_strings=True)


def _values(rows: Iterator[tuple[int, list[str]]], columns: list[str], name: str) -> Iterator[list[str]]:
    for line, row in rows:
        if len(row) != len(columns):
            raise DataError(
                "ragged-row",
                f"{name} line {line} has {len(row)} fields and the header has {len(columns)}: give every row as many "
                "fields as the header, quoted where they hold the delimiter.",
            )
        yield row


def _rows(lines: Iterator[str], name: str, layout: str, quotes: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield (line on which the row starts, fields)."""
    csv.field_size_limit(LONGEST_LINE)
    options: dict[str, Any] = {"delimiter": DELIMITERS[layout], "strict": True}
    options["quoting"] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(lines, **options)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise _malformed(name, line, str(error)) from None
        if row is None:
            return
        if row:
            yield line, row


def _malformed(name: str, line: int, reason: str) -> DataError:
    if "unexpected end" in reason or "field limit" in reason:
        return DataError(
            "unclosed-quote",
            f"{name}: a quote that opens in the row at line {line} is not closed within {LONGEST_LINE >> 20} Mi "
            'characters or the file\'s end: close it, double quotes inside a field (""), or set quotes=false.',
        )
    return DataError(
        "malformed-row",
        f"{name}: the row at line {line} is malformed ({reason}): enclose the field in quotes and double those inside "
        '(""), or set quotes=false.',
    )
