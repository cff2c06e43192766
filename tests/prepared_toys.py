"""The body of `prepare` over raw rows that a test writes down, with a real tokenizer, and what it left behind."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.config.load import parse_recipe
from kubetune.config.recipe import view
from kubetune.contract import Result
from kubetune.stages import BY_NAME
from kubetune.stages.prepare import run

RECIPE = """
name: toy
data:
  source: {kind: files, paths: {all: rows.csv}}
  splits: {validation: 0.2, test: 0.3}
model:
  source: {kind: path, path: model}
  max_length: 32
"""
SPLITS = ("train", "validation", "test")


class Prepared:
    """What one call of the body left behind."""

    def __init__(self, folder: Path, result: Result, notes: list[str]) -> None:
        self.folder, self.result, self.notes = folder, result, notes
        self.report = json.loads((folder / "data_report.json").read_text(encoding="utf-8"))
        self.document = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        self.rows = {split: pq.read_table(folder / f"{split}.parquet").to_pylist() for split in SPLITS}
        self.rejects = pq.read_table(folder / "rejects.parquet").to_pylist()

    def texts(self, split: str) -> list[str]:
        return [row["text"] for row in self.rows[split]]

    def digests(self) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(self.folder.iterdir())}

    def named(self) -> dict[str, str]:
        """Text → the name of its class, of all splits."""
        names = self.document["labels"]
        return {row["raw_text"]: names[row["label"]] for split in SPLITS for row in self.rows[split]}


def preparer(tmp_path: Path, toy_model: Path) -> Callable[..., Prepared]:
    """Call the body on raw rows by split: `prepare({"all": rows}, "section.key=value", …)`."""
    calls = iter(range(100))

    def call(
        raw: dict[str, Any],
        *overrides: str,
        source: dict[str, Any] | None = None,
        stop: bool = False,
        tokenizer: Path = toy_model,
    ) -> Prepared:
        folder = tmp_path / f"call-{next(calls)}"
        for name in ("raw", "dataset", "scratch"):
            (folder / name).mkdir(parents=True)
        for split, rows in raw.items():
            table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows))
            pq.write_table(table, folder / "raw" / f"{split}.parquet", row_group_size=50)
        (folder / "raw" / "source.json").write_text(json.dumps(source or {}), encoding="utf-8")
        notes: list[str] = []
        config = view(parse_recipe(RECIPE, overrides), BY_NAME["prepare"].sections)
        quiet = SimpleNamespace(
            start=lambda what, total=None: None, advance=lambda by=1, **facts: None, note=notes.append
        )
        context: Any = SimpleNamespace(progress=quiet, scratch=folder / "scratch", should_stop=lambda: stop)
        inputs = {"raw": folder / "raw", "tokenizer": tokenizer}
        result = run(config, inputs, {"dataset": folder / "dataset"}, context)
        return Prepared(folder / "dataset", result, notes)

    return call
