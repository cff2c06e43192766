"""The data report: what went in, what came out, what left and why, as JSON and as one page for a person."""

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.data.lengths import Lengths, grouped_order, padding_ratio, random_order
from kubetune.data.rejects import reject_counts, reject_rows
from kubetune.data.rows import TRUTH, Scan
from kubetune.data.selection import Selection
from kubetune.data.splits import SPLITS, TRAIN
from kubetune.data.summary import data_line
from kubetune.data.targets.base import TargetReader
from kubetune.text.shown import one_line

BATCH = 32
"""Rows a batch of the stated padding ratios."""
EXAMPLES = 3
"""Examples a class."""
WANTED = 10
"""Positions named for each reason."""


class Gathered(NamedTuple):
    """What the two passes found out.

    Attributes:
        scan: Of the first pass.
        selection: Between the passes.
        raw_splits: Names of the raw splits.
        reader: Knows the truths.
        unused: Rows by raw split that no step reads.
        decisions: What was decided about the cells, a sentence each.
        rare: A class with fewer rows of train is rare.
    """

    scan: Scan
    selection: Selection
    raw_splits: Sequence[str]
    reader: TargetReader
    unused: Mapping[str, int]
    decisions: Sequence[str]
    rare: int


def data_report(folder: Path, gathered: Gathered, lengths: Lengths, max_length: int) -> dict[str, Any]:
    """Return the report as JSON-able data.

    Args:
        folder: Where the written splits are; examples are read from train.
        gathered: What is known of the rows.
        lengths: Tokens of the written rows.
        max_length: Most tokens a feature.
    """
    report = rows_report(gathered) | {
        "lengths": {name: _lengths(lengths.of(name)) for name in SPLITS},
        "truncation": {name: _truncation(lengths, name) for name in SPLITS},
        "unknown_tokens": {name: _unknown(lengths, name) for name in SPLITS},
        "padding": _padding(lengths.of("train"), max_length),
        "examples": _examples(folder / "train.parquet", gathered),
    }
    if any(lengths.longest.values()):
        report["windows"] = {name: _windows(lengths, name) for name in SPLITS}
    if any(lengths.lost.values()):
        report["out_of_reach"] = dict(lengths.lost)
    return report | {"line": data_line(report)}


def rows_report(gathered: Gathered) -> dict[str, Any]:
    """Return the part of the report for which no tokenizer is needed, with its line.

    Args:
        gathered: What is known of the rows.
    """
    scan, selection = gathered.scan, gathered.selection
    report: dict[str, Any] = {
        "format": 1,
        "said": list(gathered.decisions),
        "rows": {
            "raw": dict(zip(gathered.raw_splits, scan.raw_rows, strict=True)),
            "total": sum(scan.raw_rows),
            "rejected": len(scan.rejects) // 3,
            "removed_from_train": {reason: int(rows.sum()) for reason, rows in selection.removed.items()},
            "left_out_by_limit": selection.facts["left_out_by_limit"],
            "splits": selection.rows(),
            "unused": dict(gathered.unused),
        },
        "rejects": _rejected(gathered),
        "left": {name: of for name, of in selection.facts.items() if name != "left_out_by_limit"},
    }
    report |= gathered.reader.findings(selection.settled, gathered.rare)
    return report | {"line": data_line(report)}


def _rejected(gathered: Gathered) -> dict[str, dict[str, Any]]:
    """Return reason → rows, where the first ones were, and, where the target type says it, what was wrong there."""
    examples = gathered.reader.examples()
    return {
        reason: {"rows": count, "first": reject_rows(gathered.scan, gathered.raw_splits, reason, WANTED)}
        | ({"examples": list(examples[reason])} if reason in examples else {})
        for reason, count in reject_counts(gathered.scan).items()
    }


def render_data_report(report: Mapping[str, Any]) -> str:
    """Return the page: self-contained, everything from the data escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"count": lambda value: f"{value:,}", "pct": lambda value: f"{value:.1%}"}
    template = resources.files("kubetune.data").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(report=report, splits=SPLITS)


def first_rows(accepted: Path, gathered: Gathered, a_class: int = 2, most: int = 12) -> list[dict[str, str]]:
    """Return the first train rows of each class, fit to be shown: `label`, `text`, and `cleaned` where it differs.

    Args:
        accepted: Parquet file of the accepted rows, in the order of the selection.
        gathered: Says which of them are in train, and what their truths are.
        a_class: Rows of each class.
        most: Rows of all classes.
    """
    found: list[dict[str, str]] = []
    shown: Counter[int] = Counter()
    reader, split = gathered.reader, gathered.selection.split
    names = reader.groups(gathered.selection.settled.labels)
    strata = np.frombuffer(gathered.scan.stratum, dtype=np.int32)
    first = 0
    with pq.ParquetFile(accepted) as file:
        ends = [end for end in ("", "_pair") if f"text{end}" in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=1024):
            stored = batch.column(TRUTH) if TRUTH in batch.schema.names else pa.nulls(len(batch))
            truths = reader.column(strata[first : first + len(batch)], stored).to_pylist()
            for row in np.flatnonzero(split[first : first + len(batch)] == TRAIN).tolist():
                groups = [group for group in reader.groups_of(truths[row]) if shown[group] < a_class]
                if groups and len(found) < most:
                    shown[groups[0]] += 1
                    texts = [batch.column(f"raw_text{end}")[row].as_py() for end in ends]
                    cleaned = [batch.column(f"text{end}")[row].as_py() for end in ends]
                    label = reader.shown(truths[row], texts) or one_line(names[groups[0]], 60)
                    item = {"label": label, "text": _joined(texts, 100)}
                    found.append(item | ({"cleaned": _joined(cleaned, 100)} if cleaned != texts else {}))
            first += len(batch)
            if len(found) >= min(most, a_class * len(names)):
                break
    return found


def _joined(texts: Sequence[str], most: int = 200) -> str:
    return " \u2044 ".join(one_line(text, most) for text in texts)


def _windows(lengths: Lengths, split: str) -> dict[str, float]:
    """Return features of a split, of a row on average, and at most."""
    features, rows = len(lengths.of(split)), lengths.rows[split]
    return {"features": features, "mean": round(features / max(1, rows), 3), "most": lengths.longest[split]}


def _lengths(tokens: np.ndarray) -> dict[str, float]:
    """Return tokens a feature: mean, median, 95th percentile and most."""
    p50, p95 = np.percentile(tokens, [50, 95], method="lower")
    return {"mean": round(float(tokens.mean()), 2), "p50": int(p50), "p95": int(p95), "max": int(tokens.max())}


def _truncation(lengths: Lengths, split: str) -> dict[str, float]:
    rows = lengths.truncated[split]
    return {"rows": rows, "share": round(rows / max(1, lengths.rows[split]), 6)}


def _unknown(lengths: Lengths, split: str) -> dict[str, float]:
    tokens, unknown = lengths.words[split], lengths.unknown[split]
    return {"tokens": tokens, "unknown": unknown, "share": round(unknown / max(1, tokens), 6)}


def _padding(tokens: np.ndarray, max_length: int) -> dict[str, float]:
    """Return computed ÷ real tokens of train: random batches, batches of similar length, and all at full length."""
    return {
        "batch": BATCH,
        "random": round(padding_ratio(tokens, BATCH, random_order), 4),
        "grouped": round(padding_ratio(tokens, BATCH, grouped_order), 4),
        "max_length": round(max_length * len(tokens) / int(tokens.sum()), 4),
    }


def _examples(path: Path, gathered: Gathered) -> dict[str, list[str]]:
    """Return the first train texts of each class, before cleaning, fit to be shown."""
    reader = gathered.reader
    names = reader.groups(gathered.selection.settled.labels)
    found: dict[str, list[str]] = {name: [] for name in names}
    with pq.ParquetFile(path) as file:
        columns = [name for name in ("raw_text", "raw_text_pair") if name in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=1024, columns=[*columns, "label"]):
            rows = zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
            for value, texts in zip(batch.column("label").to_pylist(), rows, strict=True):
                wanting = [found[names[group]] for group in reader.groups_of(value)]
                for shown in wanting:
                    if len(shown) < EXAMPLES:
                        truth = reader.shown(value, texts)
                        shown.append(_joined(texts) + (f" \u2192 {truth}" if truth else ""))
            if all(len(shown) == EXAMPLES for shown in found.values()):
                break
    return found
