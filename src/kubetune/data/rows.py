"""First pass over the raw rows: clean, check, label. Texts go to disk, digests and numbers stay in memory.

A row costs 45 bytes of memory, whatever its length, so that millions of rows fit.
"""

import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.data.cells import cell_text
from kubetune.data.label_column import label_text
from kubetune.data.labels import LabelBook
from kubetune.errors import DataError
from kubetune.text.gate import TextGate, Unreadable
from kubetune.text.joining import Joined
from kubetune.text.unicode_forms import normal_form
from kubetune.text.weak_labels import TONE_TAKEN, polarity

BATCH = 4096
REPLACEMENT, SURROGATE = "\ufffd", "\ud800"
REASONS = (
    *(reason.value for reason in Unreadable),
    "too-short",
    "too-long",
    "missing-label",
    "unknown-label",
)
"""Rules that reject a row, in the order in which they are looked at: those of the gate first."""


@dataclass(frozen=True)
class RowRules:
    """What `prepare` asks of a row.

    Attributes:
        texts: The text columns: one, or two for pairs; each a name, or names that are joined.
        label: Name of the label column; None: weak labels.
        keep: Further columns.
        cleaning: Names of cleaning steps.
        characters: Fewest and most characters of a cleaned text.
        polarity: `positive_from` and `negative_to` of weak labels.
        marks: Label cells, case-folded, that mean that a row has no label.
    """

    texts: tuple[str | Joined, ...]
    label: str | None
    keep: tuple[str, ...]
    cleaning: tuple[str, ...]
    characters: tuple[int, int]
    polarity: tuple[float, float] | None = None
    marks: frozenset[str] = frozenset()

    @cached_property
    def gate(self) -> TextGate:
        """What a text passes; without a bound, as the model reads the beginning of a long one all the same."""
        return TextGate(self.cleaning)

    @cached_property
    def labelling(self) -> TextGate:
        """What a text passes for the rules of weak labels."""
        return TextGate(tuple(name for name in self.cleaning if name not in TONE_TAKEN))

    @property
    def text_columns(self) -> list[str]:
        """Columns that texts are made of, in order."""
        return [name for text in self.texts for name in _columns_of(text)]

    @property
    def columns(self) -> list[str]:
        """All columns that are read, each once."""
        label = (self.label,) if self.label is not None else ()
        return list(dict.fromkeys((*self.text_columns, *label, *self.keep)))


@dataclass
class Scan:
    """What is known of all accepted rows, in source order; and where the rejected ones were.

    Attributes:
        split: Index into the names of the raw splits.
        label: Number in the label book.
        content: 16 bytes a row: digest of the raw cells, from which the row's identity follows.
        normal: 16 bytes a row: digest of the normalised text, equal for duplicates.
        rejects: Index of the raw split, row in it and number in `REASONS`, three numbers a rejected row.
        raw_rows: Rows by raw split.
    """

    split: "array[int]" = field(default_factory=lambda: array("b"))
    label: "array[int]" = field(default_factory=lambda: array("i"))
    content: bytearray = field(default_factory=bytearray)
    normal: bytearray = field(default_factory=bytearray)
    rejects: "array[int]" = field(default_factory=lambda: array("q"))
    raw_rows: list[int] = field(default_factory=list)

    def digests(self, of: bytearray) -> np.ndarray:
        """Return digests as an array (rows, 2) of unsigned 64-bit numbers."""
        return np.frombuffer(of, dtype=np.uint64).reshape(-1, 2)


class RawSplit(NamedTuple):
    """One file of artifact `raw`.

    Attributes:
        number: Its place in the scan.
        path: Parquet file.
        replaced: Whether `ingest` put U+FFFD where the source had lone surrogates.
    """

    number: int
    path: Path
    replaced: bool


class Accepted(NamedTuple):
    """Cells of one accepted row."""

    raw: tuple[str, ...]
    texts: tuple[str, ...]
    kept: tuple[str | None, ...]


def scan_split(source: RawSplit, rules: RowRules, book: LabelBook, scan: Scan) -> Iterator[pa.RecordBatch]:
    """Judge each row of a raw split; yield the accepted ones in the columns of `accepted_schema`.

    Raises:
        DataError: A column is missing, or the file is not Parquet.
    """
    row = 0
    for cells in read_cells(source.path, rules.columns):
        accepted = []
        for values in zip(*(cells[name] for name in rules.columns), strict=True):
            named = dict(zip(rules.columns, values, strict=True))
            judged = _judge(named, rules, book, source.replaced)
            if isinstance(judged, str):
                scan.rejects.extend((source.number, row, REASONS.index(judged)))
            else:
                accepted.append(judged[0])
                scan.split.append(source.number)
                scan.label.append(judged[1])
                scan.content += _content_digest(named, rules)
                scan.normal += _digest(*map(normal_form, judged[0].texts))
            row += 1
        if accepted:
            yield _to_batch(accepted, rules)
    scan.raw_rows.append(row)


def accepted_schema(rules: RowRules) -> pa.Schema:
    """Return the columns between the two passes."""
    pair = ("", "_pair")[: len(rules.texts)]
    names = [f"raw_text{end}" for end in pair] + [f"text{end}" for end in pair]
    return pa.schema([(name, pa.string()) for name in [*names, *(f"column_{name}" for name in rules.keep)]])


def read_cells(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, list[Any]]]:
    """Yield column name → values of some thousand rows at a time.

    Raises:
        DataError: The file is not Parquet.
    """
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH, columns=list(columns)):
                yield {name: _to_list(batch.column(name)) for name in columns}
    except pa.ArrowInvalid as error:
        raise DataError("malformed-parquet", f"{path.name} is not a complete Parquet file; ingest it again.") from error


def _to_list(column: pa.Array) -> list[Any]:
    if isinstance(column.type, pa.DictionaryType):
        column = column.dictionary_decode()
    return list(column.to_pylist())


def _judge(named: Mapping[str, Any], rules: RowRules, book: LabelBook, replaced: bool) -> tuple[Accepted, int] | str:
    """Return the accepted row with its label's number, or the rule that it breaks."""
    cells = [_text(named, text, replaced) for text in rules.texts]
    texts = rules.gate.read_item(cells)
    if isinstance(texts, Unreadable):
        return texts.value
    raw = tuple(cell for cell in cells if cell is not None)  # all of them, as the gate found none missing
    fewest, most = rules.characters
    if min(map(len, texts)) < fewest:
        return "too-short"
    if max(map(len, texts)) > most:
        return "too-long"
    label = _label(named, raw, rules)
    if isinstance(label, Unreadable):
        return label.value
    if label is None:
        return "missing-label"
    number = book.number(label)
    kept = tuple(None if named[name] is None else _cell(named, name) for name in rules.keep)
    return "unknown-label" if number is None else (Accepted(raw, texts, kept), number)


def _label(named: Mapping[str, Any], raw: Sequence[str], rules: RowRules) -> str | Unreadable | None:
    if rules.polarity is not None:
        toned = rules.labelling.read(raw[0])
        return toned if isinstance(toned, Unreadable) else polarity(toned, *rules.polarity)
    column = rules.label or ""
    return label_text(named[column], column, rules.marks)


def _cell(named: Mapping[str, Any], column: str) -> str:
    return cell_text(named[column], column)


def _columns_of(text: str | Joined) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text.columns


def _text(named: Mapping[str, Any], text: str | Joined, replaced: bool) -> str | None:
    """Return a raw text, or None where none of its columns has one; what `ingest` replaced is what it was again."""
    parts = [None if named[name] is None else _cell(named, name) for name in _columns_of(text)]
    if replaced:
        parts = [part and part.replace(REPLACEMENT, SURROGATE) for part in parts]
    return parts[0] if isinstance(text, str) else text.join(parts)


def _content_digest(named: Mapping[str, Any], rules: RowRules) -> bytes:
    return _digest(*("\x00" if named[name] is None else _content(named, name, rules) for name in rules.columns))


def _content(named: Mapping[str, Any], column: str, rules: RowRules) -> str:
    """Return a cell as it counts for the row's identity; a list of one label is that label."""
    value = named[column]
    if column == rules.label and isinstance(value, list) and len(value) == 1:
        value = value[0]
    return "\x00" if value is None else cell_text(value, column)


def _digest(*texts: str) -> bytes:
    """Return 16 bytes; each text goes in with its length, so that no two lists of texts are alike."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()


def _to_batch(rows: Sequence[Accepted], rules: RowRules) -> pa.RecordBatch:
    columns = zip(*((*row.raw, *row.texts, *row.kept) for row in rows), strict=True)
    schema = accepted_schema(rules)
    arrays = [pa.array(column, pa.string()) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
