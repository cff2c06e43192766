"""The values of cells as text: one rule for every source. A cell is a scalar, or it is refused; never its repr."""

import json
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from kubetune.errors import DataError
from kubetune.text.shown import one_line

BOM = b"\xef\xbb\xbf"


def cell_text(value: Any, column: str) -> str:
    """Return a cell's value in its usual notation; bytes are read as UTF-8.

    Numbers and truth values are written as in JSON, dates and times as in ISO 8601.

    Args:
        value: A scalar, not None.
        column: Its column, for the sentence.

    Raises:
        DataError: The value is bytes that are no UTF-8, a list, a map, or of another kind that has no text.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return decoded_cell(bytes(value), column)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise nested(value, column)


def decoded_cell(value: bytes, column: str) -> str:
    """Return bytes as UTF-8 text.

    Raises:
        DataError: They are none.
    """
    try:
        return value.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            "binary-value",
            f"Column {one_line(column, 80)!r} holds bytes that are no UTF-8 text (byte {value[error.start]:#04x} at "
            f"{error.start} of {len(value)}): write the column as text, or as UTF-8.",
        ) from None


def nested(value: Any, column: str) -> DataError:
    """Return the refusal of a value that is no scalar."""
    kind = "maps" if isinstance(value, dict) else f"{type(value).__name__} values"
    kind = "lists" if isinstance(value, list | tuple) else kind
    return DataError(
        "nested-value",
        f"Column {one_line(column, 80)!r} holds {kind}: allowed are texts, numbers, dates and truth values, one a "
        "cell; write what is meant into a column of its own.",
    )


def multi_label(column: str, size: int) -> DataError:
    """Return the refusal of a label cell with several labels.

    Args:
        column: The label column.
        size: Labels in the cell.
    """
    return DataError(
        "multi-label",
        f"Column {one_line(column, 80)!r} is multi-label: a cell of it is a list of {size} labels, and a row has "
        "exactly one here; keep the rows with one label, or make a column for each class and fine-tune on one of them.",
    )
