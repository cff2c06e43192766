"""The data report: what went in, what came out, what left and why, as JSON and as one page for a person."""

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from kubetune.data.labels import LabelBook
from kubetune.data.rejects import reject_counts, reject_rows
from kubetune.data.rows import Scan
from kubetune.data.selection import Selection
from kubetune.data.splits import SPLITS, TRAIN
from kubetune.data.summary import class_findings, data_line
from kubetune.data.tokens import Lengths, grouped_order, padding_ratio, random_order
from kubetune.text.shown import one_line

BATCH = 32
"""Rows a batch of the stated padding ratios."""
EXAMPLES = 3
"""Examples a class."""
WANTED = 10
"""Positions named for each reason, and unknown labels listed."""


class Gathered(NamedTuple):
    """What the two passes found out.

    Attributes:
        scan: Of the first pass.
        selection: Between the passes.
        raw_splits: Names of the raw splits.
        book: Labels met.
        unused: Rows by raw split that no step reads.
        decisions: What was decided about the cells, a sentence each.
        rare: A class with fewer rows of train is rare.
    """

    scan: Scan
    selection: Selection
    raw_splits: Sequence[str]
    book: LabelBook
    unused: Mapping[str, int]
    decisions: Sequence[str]
    rare: int


def data_report(folder: Path, gathered: Gathered, lengths: Lengths, max_length: int) -> dict[str, Any]:
    """Return the report as JSON-able data.

    Args:
        folder: Where the written splits are; examples are read from train.
        gathered: What is known of the rows.
        lengths: Tokens of the written rows.
        max_length: Most tokens a row.
    """
    report = rows_report(gathered) | {
        "lengths": {name: _lengths(lengths.of(name)) for name in SPLITS},
        "truncation": {name: _truncation(lengths, name) for name in SPLITS},
        "unknown_tokens": {name: _unknown(lengths, name) for name in SPLITS},
        "padding": _padding(lengths.of("train"), max_length),
        "examples": _examples(folder / "train.parquet", gathered.selection.labels),
    }
    return report | {"line": data_line(report)}


def rows_report(gathered: Gathered) -> dict[str, Any]:
    """Return the part of the report for which no tokenizer is needed, with its line.

    Args:
        gathered: What is known of the rows.
    """
    scan, selection = gathered.scan, gathered.selection
    counts = selection.counts()
    unknown = gathered.book.unknown.most_common(WANTED)
    report: dict[str, Any] = {
        "format": 1,
        "said": list(gathered.decisions),
        "rows": {
            "raw": dict(zip(gathered.raw_splits, scan.raw_rows, strict=True)),
            "total": sum(scan.raw_rows),
            "rejected": len(scan.rejects) // 3,
            "removed_from_train": {reason: int(rows.sum()) for reason, rows in selection.removed.items()},
            "left_out_by_limit": selection.facts["left_out_by_limit"],
            "splits": {name: sum(count) for name, count in counts.items()},
            "unused": dict(gathered.unused),
        },
        "labels": {
            name: {split: count[number] for split, count in counts.items()}
            for number, name in enumerate(selection.labels)
        },
        "label_order": selection.labels,
        "rejects": {
            reason: {"rows": count, "first": reject_rows(scan, gathered.raw_splits, reason, WANTED)}
            for reason, count in reject_counts(scan).items()
        },
        "unknown_labels": {one_line(name, 60): count for name, count in unknown},
        "missing_labels": {one_line(mark, 60): count for mark, count in gathered.book.missing.most_common(WANTED)},
        "left": {name: selection.facts[name] for name in ("duplicates_left", "conflicts_left", "shared_texts_left")},
    }
    report["classes"] = class_findings(report, gathered.rare)
    return report | {"line": data_line(report)}


def render_data_report(report: Mapping[str, Any]) -> str:
    """Return the page: self-contained, everything from the data escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"count": lambda value: f"{value:,}", "pct": lambda value: f"{value:.1%}"}
    template = resources.files("kubetune.data").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(report=report, splits=SPLITS, labels=report["label_order"])


def first_rows(accepted: Path, selection: Selection, a_class: int = 2, most: int = 12) -> list[dict[str, str]]:
    """Return the first train rows of each class, fit to be shown: `label`, `text`, and `cleaned` where it differs.

    Args:
        accepted: Parquet file of the accepted rows, in the order of the selection.
        selection: Which of them are in train.
        a_class: Rows of each class.
        most: Rows of all classes.
    """
    found: list[dict[str, str]] = []
    shown: Counter[int] = Counter()
    first = 0
    with pq.ParquetFile(accepted) as file:
        ends = [end for end in ("", "_pair") if f"text{end}" in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=1024):
            for row in np.flatnonzero(selection.split[first : first + len(batch)] == TRAIN).tolist():
                label = int(selection.label[first + row])
                if shown[label] < a_class and len(found) < most:
                    shown[label] += 1
                    given, cleaned = (
                        " ⁄ ".join(one_line(batch.column(f"{kind}{end}")[row].as_py(), 100) for end in ends)
                        for kind in ("raw_text", "text")
                    )
                    item = {"label": one_line(selection.labels[label], 60), "text": given}
                    found.append(item | ({"cleaned": cleaned} if cleaned != given else {}))
            first += len(batch)
            if len(found) >= min(most, a_class * len(selection.labels)):
                break
    return found


def _lengths(tokens: np.ndarray) -> dict[str, float]:
    """Return tokens a row: mean, median, 95th percentile and most."""
    p50, p95 = np.percentile(tokens, [50, 95], method="lower")
    return {"mean": round(float(tokens.mean()), 2), "p50": int(p50), "p95": int(p95), "max": int(tokens.max())}


def _truncation(lengths: Lengths, split: str) -> dict[str, float]:
    rows = lengths.truncated[split]
    return {"rows": rows, "share": round(rows / max(1, len(lengths.of(split))), 6)}


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


def _examples(path: Path, labels: Sequence[str]) -> dict[str, list[str]]:
    """Return the first train texts of each class, before cleaning, fit to be shown."""
    found: dict[str, list[str]] = {name: [] for name in labels}
    with pq.ParquetFile(path) as file:
        names = [name for name in ("raw_text", "raw_text_pair") if name in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=1024, columns=[*names, "label"]):
            columns = [batch.column(name).to_pylist() for name in names]
            for number, *texts in zip(batch.column("label").to_pylist(), *columns, strict=True):
                shown = found[labels[number]]
                if len(shown) < EXAMPLES:
                    shown.append(" ⁄ ".join(one_line(text) for text in texts))
            if all(len(shown) == EXAMPLES for shown in found.values()):
                break
    return found
