"""Stage `ingest`: a data source → Parquet files with digests, frozen for everything after it."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.contract import Context, Result
from kubetune.data.sources import load_source
from kubetune.data.sources.base import Facts
from kubetune.errors import DataError, InterruptedRunError

# Fixed, so that equal rows give equal bytes whatever a library's default becomes.
WRITER: Mapping[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "version": "2.6",
    "data_page_version": "1.0",
    "use_dictionary": True,
    "write_statistics": True,
    "store_schema": True,
}


def run(config: Any, inputs: Mapping[str, Path], outputs: Mapping[str, Path], context: Context) -> Result:
    """Write artifact `raw`; see `StageBody`.

    Raises:
        DataError: The source does not exist, breaks a rule or has a split without rows.
        ConfigError: The source cannot be reached as configured.
        TemporaryError: The source did not deliver.
        InterruptedRunError: The stage was asked to stop.
    """
    source, out = config.data.source, outputs["raw"]
    started = time.monotonic()
    context.progress.start("reading rows")
    reading = load_source(source.kind).read(source, config.data.encoding, context.platform, context.scratch)
    rows, columns = _write(reading.batches, out, context)
    empty = [split for split in getattr(source, "given_splits", ()) if split not in rows]
    if empty or not rows:
        where = f", split {empty[0]} of it," if empty and rows else ""
        raise DataError("no-rows", f"The {source.kind} source{where} has no rows: at least one row is needed.")
    for fact in reading.facts.files:
        context.telemetry.record("read", name=fact.name, rows=fact.rows, bytes=fact.size)
    context.telemetry.record("ingested", rows=sum(rows.values()), seconds=time.monotonic() - started)
    for sentence in reading.facts.sentences():
        context.progress.note(sentence)
    described = _describe(source.kind, reading.facts, rows)
    (out / "source.json").write_text(json.dumps(described, sort_keys=True, indent=2) + "\n", encoding="utf-8")
    return Result(
        metrics={"rows": float(sum(rows.values()))},
        facts={name: described[name] for name in ("identity", "revision", "licence")} | {"columns": columns},
    )


def _write(
    batches: Iterator[tuple[str, pa.RecordBatch]], out: Path, context: Context
) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Write each split's batches as row groups; returns split → rows and split → names of columns."""
    rows: dict[str, int] = {}
    writers: dict[str, pq.ParquetWriter] = {}
    with ExitStack() as open_files:
        for split, batch in batches:
            if context.should_stop():
                raise InterruptedRunError("Reading was stopped before its end: run the same command again.")
            bare = batch.replace_schema_metadata(None)
            if split not in writers:
                writer = pq.ParquetWriter(out / f"{split}.parquet", bare.schema, **WRITER)
                writers[split] = open_files.enter_context(writer)
            writers[split].write_batch(bare)
            rows[split] = rows.get(split, 0) + batch.num_rows
            context.progress.advance(batch.num_rows)
    return rows, {split: list(writer.schema.names) for split, writer in writers.items()}


def _describe(kind: str, facts: Facts, rows: Mapping[str, int]) -> dict[str, Any]:
    """Return the content of `source.json`."""
    described: dict[str, Any] = {
        "kind": kind,
        "identity": facts.identity,
        "revision": facts.revision,
        "licence": facts.licence,
        "files": [asdict(fact) for fact in facts.files],
        "splits": dict(rows),
        "surrogates": facts.surrogates,
    }
    further = {"class_names": facts.class_names, "decisions": facts.sentences(), "decoded": sorted(facts.decoded)}
    return described | {name: value for name, value in further.items() if value}
