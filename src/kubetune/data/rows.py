"""First pass over the raw rows: clean, check, label. Texts go to disk, digests and numbers stay in memory.

A row costs about 50 bytes of memory, whatever its length, so that millions of rows fit.
"""

import hashlib
import json
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
from kubetune.data.targets.base import TargetCell, TargetReader, Truth
from kubetune.errors import DataError
from kubetune.text.gate import TextGate, Unreadable
from kubetune.text.joining import Joined
from kubetune.text.unicode_forms import normal_form

BATCH = 4096
TRUTH = "truth"
"""Column of the accepted rows with what their target type stores."""
BETWEEN_WORDS = " "
REPLACEMENT, SURROGATE = "\ufffd", "\ud800"
TEXT_REASONS = (*(reason.value for reason in Unreadable), "too-short", "too-long")
"""Rules that reject a row for its texts, in the order in which they are looked at: those of the gate first."""


@dataclass(frozen=True)
class RowRules:
    """What `prepare` asks of a row.

    Attributes:
        texts: The text columns: one, or two for pairs; each a name, or names that are joined.
        label: Name of the column with the truth; None: there is none.
        keep: Further columns.
        cleaning: Names of cleaning steps.
        characters: Fewest and most characters of a cleaned text.
        words: Whether a text may be a list of words, which blanks part.
        documents: What keeps rows in one split beside equal texts: numbers of texts, or a column.
        truth: The recipe's key that names the label, below `data.columns`.
    """

    texts: tuple[str | Joined, ...]
    label: str | None
    keep: tuple[str, ...]
    cleaning: tuple[str, ...]
    characters: tuple[int, int]
    words: bool = False
    documents: tuple[int | str, ...] = ()
    truth: str = "label"

    @cached_property
    def gate(self) -> TextGate:
        """What a text passes; without a bound, as the model reads the beginning of a long one all the same."""
        return TextGate(self.cleaning)

    @property
    def text_columns(self) -> list[str]:
        """Columns that texts are made of, in order."""
        return [name for text in self.texts for name in _columns_of(text)]

    @property
    def group_columns(self) -> list[str]:
        """Columns whose values keep rows together."""
        return [of for of in self.documents if isinstance(of, str)]

    @property
    def columns(self) -> list[str]:
        """All columns that are read, each once."""
        label = (self.label,) if self.label is not None else ()
        return list(dict.fromkeys((*self.text_columns, *label, *self.keep, *self.group_columns)))


@dataclass
class Scan:
    """What is known of all accepted rows, in source order; and where the rejected ones were.

    Attributes:
        split: Index into the names of the raw splits.
        stratum: Class by which rows are divided in proportion.
        truth: Equal for equal truths; empty where the stratum says it all.
        content: 16 bytes a row: digest of the raw cells, from which the row's identity follows.
        normal: 16 bytes a row: digest of the normalised text, equal for duplicates.
        documents: 16 bytes a row, for each of `RowRules.documents`: digest of what keeps rows together.
        reasons: Rules that reject a row, in the order in which they are looked at.
        rejects: Index of the raw split, row in it and number in `reasons`, three numbers a rejected row.
        raw_rows: Rows by raw split.
    """

    split: "array[int]" = field(default_factory=lambda: array("b"))
    stratum: "array[int]" = field(default_factory=lambda: array("i"))
    truth: "array[int]" = field(default_factory=lambda: array("q"))
    content: bytearray = field(default_factory=bytearray)
    normal: bytearray = field(default_factory=bytearray)
    documents: list[bytearray] = field(default_factory=list)
    reasons: tuple[str, ...] = TEXT_REASONS
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
    """An accepted row."""

    raw: tuple[str, ...]
    texts: tuple[str, ...]
    kept: tuple[str | None, ...]
    truth: Truth


def scan_split(source: RawSplit, rules: RowRules, reader: TargetReader, scan: Scan) -> Iterator[pa.RecordBatch]:
    """Judge each row of a raw split; yield the accepted ones in the columns of `accepted_schema`.

    Raises:
        DataError: A column is missing, or the file is not Parquet.
    """
    row = 0
    scan.reasons = (*TEXT_REASONS, *reader.reasons)
    scan.documents = scan.documents or [bytearray() for _ in rules.documents]
    for cells in read_cells(source.path, rules.columns):
        accepted = []
        for values in zip(*(cells[name] for name in rules.columns), strict=True):
            named = dict(zip(rules.columns, values, strict=True))
            judged = _judge(named, rules, reader, source.replaced)
            if isinstance(judged, str):
                scan.rejects.extend((source.number, row, scan.reasons.index(judged)))
            else:
                accepted.append(judged)
                scan.split.append(source.number)
                scan.stratum.append(judged.truth.stratum)
                if reader.stored is not None:
                    scan.truth.append(judged.truth.identity)
                scan.content += _content_digest(named, rules, reader)
                scan.normal += _digest(*map(normal_form, judged.texts))
                for of, digests in zip(rules.documents, scan.documents, strict=True):
                    digests.extend(_document(of, named, judged.texts))
            row += 1
        if accepted:
            yield _to_batch(accepted, rules, reader)
    scan.raw_rows.append(row)


def accepted_schema(rules: RowRules, reader: TargetReader) -> pa.Schema:
    """Return the columns between the two passes."""
    pair = ("", "_pair")[: len(rules.texts)]
    names = [f"raw_text{end}" for end in pair] + [f"text{end}" for end in pair]
    texts = [(name, pa.string()) for name in [*names, *(f"column_{name}" for name in rules.keep)]]
    return pa.schema(texts if reader.stored is None else [*texts, (TRUTH, reader.stored)])


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


def _judge(named: Mapping[str, Any], rules: RowRules, reader: TargetReader, replaced: bool) -> Accepted | str:
    """Return the accepted row, or the rule that it breaks."""
    cells = [_text(named, text, rules.words, replaced) for text in rules.texts]
    texts = rules.gate.read_item(cells)
    if isinstance(texts, Unreadable):
        return texts.value
    raw = tuple(cell for cell in cells if cell is not None)  # all of them, as the gate found none missing
    fewest, most = rules.characters
    if min(map(len, texts)) < fewest:
        return "too-short"
    if max(map(len, texts)) > most:
        return "too-long"
    value = None if rules.label is None else named[rules.label]
    truth = reader.read(TargetCell(value, raw, _words(named, rules.texts[0])))
    if isinstance(truth, str):
        return truth
    kept = tuple(None if named[name] is None else _cell(named, name) for name in rules.keep)
    return Accepted(raw, texts, kept, truth)


def _cell(named: Mapping[str, Any], column: str) -> str:
    return cell_text(named[column], column)


def _columns_of(text: str | Joined) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text.columns


def _text(named: Mapping[str, Any], text: str | Joined, words: bool, replaced: bool) -> str | None:
    """Return a raw text, or None where none of its columns has one; what `ingest` replaced is what it was again."""
    parts = [
        None if named[name] is None else _of_words(named[name], name) if words else _cell(named, name)
        for name in _columns_of(text)
    ]
    if replaced:
        parts = [part and part.replace(REPLACEMENT, SURROGATE) for part in parts]
    return parts[0] if isinstance(text, str) else text.join(parts)


def _of_words(value: Any, column: str) -> str | None:
    """Return a text that may have come as a list of words; None where one of them is missing."""
    if not isinstance(value, list):
        return cell_text(value, column)
    return None if None in value else BETWEEN_WORDS.join(_as_texts(value, column))


def _as_texts(words: list[Any], column: str) -> list[str]:
    """Return words as texts, which they nearly always are."""
    return words if all(type(word) is str for word in words) else [cell_text(word, column) for word in words]


def _words(named: Mapping[str, Any], text: str | Joined) -> list[str] | None:
    """Return the words of a text that came as a list of them."""
    value = named[text] if isinstance(text, str) else None
    return _as_texts(value, str(text)) if isinstance(value, list) else None


def _content_digest(named: Mapping[str, Any], rules: RowRules, reader: TargetReader) -> bytes:
    return _digest(*("\x00" if named[name] is None else _content(named, name, rules, reader) for name in rules.columns))


def _content(named: Mapping[str, Any], column: str, rules: RowRules, reader: TargetReader) -> str:
    """Return a cell as it counts for the row's identity."""
    value = named[column]
    if column == rules.label:
        return reader.content(value)
    if isinstance(value, list):
        return json.dumps(_as_texts(value, column))
    return cell_text(value, column)


def _document(of: int | str, named: Mapping[str, Any], texts: Sequence[str]) -> bytes:
    """Return a digest of what keeps a row with others; a row without a value in a column stands for itself."""
    if isinstance(of, int):
        return _digest(normal_form(texts[of]))
    return _digest(of, *map(normal_form, texts)) if named[of] is None else _digest(_cell(named, of))


def _digest(*texts: str) -> bytes:
    """Return 16 bytes; each text goes in with its length, so that no two lists of texts are alike."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()


def _to_batch(rows: Sequence[Accepted], rules: RowRules, reader: TargetReader) -> pa.RecordBatch:
    columns = [list(column) for column in zip(*((*row.raw, *row.texts, *row.kept) for row in rows), strict=True)]
    if reader.stored is not None:
        columns.append([row.truth.value for row in rows])
    schema = accepted_schema(rules, reader)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
