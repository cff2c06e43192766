"""Files of any format as one stream of record batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from kubetune.data.bounds import STANDARD, SourceBounds
from kubetune.data.sources.base import Facts, FileFact
from kubetune.data.sources.batches import check_columns, in_batches
from kubetune.data.sources.conll import read_conll
from kubetune.data.sources.delimited import read_delimited
from kubetune.data.sources.dialect import Dialect
from kubetune.data.sources.json_documents import read_documents
from kubetune.data.sources.json_lines import read_objects
from kubetune.data.sources.json_types import Types, values
from kubetune.data.sources.text_lines import read_bytes
from kubetune.errors import ConfigError, DataError, TemporaryError
from kubetune.layout import file_digest

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
}

JSON = frozenset({"jsonl", "json"})
DELIMITED = frozenset({"csv", "tsv"})


@dataclass(frozen=True)
class TableFile:
    """A file on this machine's disk.

    Attributes:
        split: Split that its rows belong to.
        name: Its name without folders; the suffix says how it is read.
        path: Where it lies now.
    """

    split: str
    name: str
    path: Path


@dataclass(frozen=True)
class TableReader:
    """Reads files as a recipe says.

    Attributes:
        dialect: What the recipe says of their format and text.
        scratch: Folder for unpacked Parquet.
        facts: Filled with the files that were read.
        bounds: How much a file may become when it is read.
    """

    dialect: Dialect
    scratch: Path
    facts: Facts
    bounds: SourceBounds = STANDARD

    def read(self, files: Sequence[TableFile]) -> "Iterator[tuple[str, pa.RecordBatch]]":
        """Stream the rows of files in their order.

        Raises:
            DataError: A file breaks a rule, or two files of a split have different columns.
            ConfigError: A suffix says nothing and no format is given.
            TemporaryError: A file was changed meanwhile.
        """
        layouts = [self.layout_of(file.name) for file in files]
        self.check_read(files, layouts)
        marks = [_mark(file.path) for file in files]
        types = Types()
        for file, layout in zip(files, layouts, strict=True):
            if layout in JSON:
                types.learn(file.split, self.objects(file, layout), file.name)
        schemas: dict[str, tuple[str, pa.Schema]] = {}
        for file, layout, mark in zip(files, layouts, marks, strict=True):
            digest, rows = file_digest(file.path), 0
            for batch in self.batches(file, layout, types):
                first, schema = schemas.setdefault(file.split, (file.name, batch.schema))
                yield file.split, _as(batch, schema, file.name, first)
                rows += batch.num_rows
            if _mark(file.path) != mark:
                raise TemporaryError(f"{file.name} was changed while it was read: run the same command again.")
            self.facts.files.append(FileFact(file.name, digest, file.path.stat().st_size, rows))

    def check_read(self, files: Sequence[TableFile], layouts: Sequence[str]) -> None:
        """Refuse what the recipe says of a format that no file has.

        Raises:
            ConfigError: Names the setting.
        """
        said = {"header": (self.dialect.header is not True, DELIMITED), "records": (self.dialect.records, {"json"})}
        for setting, (given, of) in said.items():
            if given and not of & set(layouts):
                raise ConfigError(
                    f"data.source.{setting} is of {' and '.join(sorted(of))}, and {files[0].name} is read as "
                    f"{layouts[0]}: leave it out, or set data.source.format."
                )

    def layout_of(self, name: str) -> str:
        """Return the format of a file."""
        if self.dialect.layout != "auto":
            return self.dialect.layout
        suffix = Path(name.removesuffix(".gz")).suffix.lower()
        if suffix not in FORMATS:
            raise ConfigError(
                f"The suffix of {name} does not say what it is: set data.source.format to csv, tsv, jsonl, json, "
                f"parquet or conll (known suffixes: {', '.join(FORMATS)}, each with or without .gz)."
            )
        return FORMATS[suffix]

    def batches(self, file: TableFile, layout: str, types: Types) -> Iterator[pa.RecordBatch]:
        """Stream one file."""
        if layout == "parquet":
            return self.parquet(file)
        if layout in JSON:
            schema = types.schema(file.split)
            check_columns(schema.names, file.name)
            rows = self.objects(file, layout, self.facts)
            return in_batches((values(row, schema) for _, row in rows), schema)
        if layout == "conll":
            return read_conll(file.path, file.name, self.dialect.encoding, self.facts, self.bounds)
        return read_delimited(file.path, file.name, layout, self.dialect, self.facts, self.bounds)

    def objects(self, file: TableFile, layout: str, facts: Facts | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Stream the objects of a file of JSON."""
        given = file.path, file.name, self.dialect.encoding, facts, self.bounds
        return read_objects(*given) if layout == "jsonl" else read_documents(*given, self.dialect.records)

    def parquet(self, file: TableFile) -> Iterator[pa.RecordBatch]:
        """Stream a Parquet file; dictionaries are resolved, strings are checked to be UTF-8."""
        from kubetune.data.sources.parquet import read_parquet

        path = self.unpacked(file) if file.name.endswith(".gz") else file.path
        try:
            yield from read_parquet(path, file.name, file.path.stat().st_size, self.bounds)
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0][:200]
            raise DataError("parquet", f"{file.name} is no readable Parquet file ({reason}): write it again.") from None
        finally:
            if path != file.path:
                path.unlink()

    def unpacked(self, file: TableFile) -> Path:
        """Unpack a gzip file into scratch, as Parquet is read from its end."""
        path = self.scratch / "unpacked.parquet"
        with path.open("wb") as stream:
            stream.writelines(read_bytes(file.path, file.name, self.bounds))
        return path


def _mark(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _as(batch: pa.RecordBatch, schema: pa.Schema, name: str, first: str) -> pa.RecordBatch:
    if batch.schema == schema:
        return batch
    if set(batch.schema.names) == set(schema.names):
        batch = batch.select(schema.names)
        if batch.schema == schema:
            return batch
    raise DataError(
        "columns-differ",
        f"{name} and {first} belong to one split and have different columns or types: give them the same ones "
        f"({', '.join(schema.names[:8])}).",
    )
