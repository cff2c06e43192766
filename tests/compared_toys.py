"""Simulated artifacts that `compare` reads: two models' answers on the same rows, without any model."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import served_toys
import toys
from kubetune.comparison.report_parts import CONTENTS, SECTIONS
from kubetune.config.promotion import PromotionSection
from kubetune.contract import Result
from kubetune.stages import compare

PAGE = f"<html><body><ul>{CONTENTS}</ul>{SECTIONS}</body></html>"
KIND = "text-classification"
PLACES = ("here", "there")


def right(rows: int, chance: float | Sequence[float], seed: int) -> np.ndarray:
    """Whether each row is answered rightly, (rows,); rows lie alternately `here` and `there`, with a chance each."""
    chances = np.resize(np.asarray(chance, dtype=float), rows)
    return np.random.default_rng(seed).random(rows) < chances


@dataclass
class World:
    """The inputs of one comparison, in `folder`."""

    folder: Path
    archive: Path
    inputs: dict[str, Path] = field(default_factory=dict)

    def candidate(self, hits: np.ndarray, **more: Any) -> "World":
        self.inputs["report"] = write_report(self.folder / "report", hits, **more)
        self.inputs.setdefault("behaviour", served_toys.write_behaviour(self.folder / "behaviour"))
        return self.nobody() if "champion" not in self.inputs else self

    def champion(self, hits: np.ndarray | None, earlier: int = 0, cases: Sequence[Any] = (), **more: Any) -> "World":
        folder = self.inputs["champion"] = self.folder / "champion"
        shutil.rmtree(folder, ignore_errors=True)
        if hits is not None:
            write_report(folder / "report", hits, **more)
        served_toys.write_behaviour(folder / "behaviour", cases, suite_digest="ab" if cases else None)
        (folder / "archive").symlink_to(self.archive)
        return self.note(version=3, run="former", archive="cd" * 32, earlier=earlier)

    def nobody(self) -> "World":
        (self.folder / "champion").mkdir()
        self.inputs["champion"] = self.folder / "champion"
        return self.note(version=None, run=None, archive=None, earlier=0)

    def note(self, **values: Any) -> "World":
        values = {"format": 1, "name": "toys", "model": None} | values
        (self.inputs["champion"] / "champion.json").write_text(json.dumps(values))
        return self

    def behave(self, cases: Sequence[Any] = (), **more: Any) -> "World":
        shutil.rmtree(self.folder / "behaviour", ignore_errors=True)
        self.inputs["behaviour"] = served_toys.write_behaviour(
            self.folder / "behaviour", cases, suite_digest="ab" if cases else None, **more
        )
        return self

    def run(
        self, context: Any = None, kind: str = "text-classification", **rules: Any
    ) -> tuple[Result, dict[str, Any]]:
        """Return the result and `decision.json`."""
        out = self.folder / "decision"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        section = PromotionSection.model_validate({"resamples": 400, **rules})
        config = SimpleNamespace(task=SimpleNamespace(kind=kind, name=kind), promotion=section)
        context = context or served_toys.Quiet(self.folder)
        result = compare.run(config, self.inputs, {"decision": out}, context)
        return result, json.loads((out / "decision.json").read_text(encoding="utf-8"))


def write_report(
    folder: Path,
    hits: np.ndarray,
    labels: Sequence[str] = toys.LABELS,
    texts: Sequence[str] | None = None,
    ids: str = "row",
    order: int | None = None,
    verdict: dict[str, Any] | None = None,
    groups: np.ndarray | None = None,
) -> Path:
    """Write what `compare` reads of a report; row n is labelled by n // 2, whatever the order of `labels`."""
    folder.mkdir(parents=True)
    rows = len(hits)
    names = [toys.LABELS[number // 2 % 2] for number in range(rows)]
    wrong = [toys.LABELS[1 - number // 2 % 2] for number in range(rows)]
    said = [name if hit else other for name, other, hit in zip(names, wrong, hits, strict=True)]
    confidence = np.where(hits, 0.95, 0.7) + 0.01 * (np.arange(rows) % 5)
    table = pa.table(
        {
            "row_id": [f"{ids}-{number}" for number in range(rows)],
            "raw_text": list(texts) if texts else [row["text"] for row in toys.toy_rows(rows)],
            "text_group": pa.array(np.arange(rows) if groups is None else groups, pa.int32()),
            "label": pa.array([list(labels).index(name) for name in names], pa.int32()),
            "prediction": pa.array([list(labels).index(name) for name in said], pa.int32()),
            "confidence": pa.array(confidence.astype(np.float32)),
            "length": pa.array([4 + number % 9 for number in range(rows)], pa.int32()),
            "column_place": [PLACES[number % 2] for number in range(rows)],
        }
    )
    if order is not None:
        table = table.take(np.random.default_rng(order).permutation(rows))
    pq.write_table(table, folder / "predictions.parquet")
    document = {"labels": list(labels), "rows": rows, "verdict": verdict or {"code": 0, "reasons": []}}
    (folder / "metrics.json").write_text(json.dumps(document))
    (folder / "report.html").write_text(PAGE)
    return folder
