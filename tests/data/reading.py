"""Read a source as `ingest` does, into plain rows."""

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from pydantic import TypeAdapter

from kubetune.config.data_sources import DataSource
from kubetune.data.sources import load_source
from kubetune.data.sources.base import Facts


def source_of(**values: Any) -> Any:
    """A validated section `data.source`."""
    return TypeAdapter(DataSource).validate_python(values)


def files_of(*paths: Any, **values: Any) -> Any:
    """A `files` source of one pool."""
    return source_of(kind="files", paths={"all": [str(path) for path in paths]}, **values)


def read(
    source: Any, folder: Path, encoding: str = "utf-8", **platform: Any
) -> tuple[dict[str, list[dict[str, Any]]], Facts]:
    """Return split → rows, and the facts."""
    reading = load_source(source.kind).read(source, encoding, platform, Path(mkdtemp(dir=folder)))
    rows: dict[str, list[dict[str, Any]]] = {}
    for split, batch in reading.batches:
        rows.setdefault(split, []).extend(batch.to_pylist())
    return rows, reading.facts
