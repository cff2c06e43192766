"""Which test rows become golden vectors: few, deterministic, and each there for a reason."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kubetune.errors import DataError
from kubetune.serving.golden.vectors import Vector
from kubetune.text.gate import TextGate, Unreadable

MAX_LABELS = 32
"""Label vectors; more would slow every readiness check without catching another kind of fault."""


def pick(predictions: Path, labels: Sequence[str], columns: Sequence[str], gate: TextGate) -> tuple[Vector, ...]:
    """Pick rows from `predictions.parquet`.

    Args:
        predictions: The file.
        labels: Class names by class number.
        columns: Text columns of the task.
        gate: Of the server: what it would refuse cannot be golden.

    Returns:
        `ordinary` (median length), `longest`, `shortest`, where there is one `cleaned` (most of it is cleaned away)
        and `non-ascii`, and one row for each predicted label; a row that serves two purposes is taken once.

    Raises:
        DataError: No row can be served.
    """
    facts = _facts(predictions, columns, gate)
    if facts.num_rows == 0:
        raise DataError(
            "golden-rows",
            f"No test row can be read and is at most serving.max_characters={gate.most} characters long, so nothing "
            "can prove that a server answers right: raise it",
        )
    chosen: dict[int, str] = {}
    for name, row in _choices(facts, len(labels)):
        chosen.setdefault(row, name)
    return _vectors(predictions, chosen, labels, columns)


def _facts(predictions: Path, columns: Sequence[str], gate: TextGate) -> pa.Table:
    """Row number, id, length, prediction, confidence and whether it is ASCII, for rows that a server accepts."""
    facts = ["row_id", "length", "prediction", "confidence"]
    raw = [f"raw_{name}" for name in columns]
    parts, start = [], 0
    for batch in pq.ParquetFile(predictions).iter_batches(columns=[*facts, *raw, *columns]):
        items = zip(*(batch[name].to_pylist() for name in raw), strict=True)
        answered = pa.array([not isinstance(gate.read_item(item), Unreadable) for item in items], pa.bool_())
        table = pa.table(
            {
                "row": pa.array(range(start, start + batch.num_rows), pa.int64()),
                **{name: batch[name] for name in facts},
                "ascii": _all(pc.string_is_ascii(batch[name]) for name in raw),
                "changed": pc.invert(_all(pc.equal(batch[f"raw_{name}"], batch[name]) for name in columns)),
                "removed": _removed(batch[raw[0]], batch[columns[0]]),
            }
        )
        parts.append(table.filter(answered))
        start += batch.num_rows
    return pa.concat_tables(parts) if parts else pa.table({"row": pa.array([], pa.int64())})


def _removed(raw: pa.Array, cleaned: pa.Array) -> pa.Array:
    """Share of a text's characters that cleaning took away (negative: it added some)."""
    before = pc.cast(pc.utf8_length(raw), pa.float64())
    return pc.divide(pc.subtract(before, pc.cast(pc.utf8_length(cleaned), pa.float64())), before)


def _all(masks: Iterable[pa.Array]) -> pa.Array:
    return reduce(pc.and_, masks)


def _choices(facts: pa.Table, classes: int) -> list[tuple[str, int]]:
    """(name, row number); ties go to the smaller row id.

    The row of middling confidence stands for a group: the surest one would hardly move under a fault, the least sure
    one moves most when a server merely computes in bf16.
    """
    by_length = facts.sort_by([("length", "ascending"), ("row_id", "ascending")])["row"].to_pylist()
    found = [("ordinary", by_length[len(by_length) // 2]), ("longest", by_length[-1]), ("shortest", by_length[0])]
    by_confidence = facts.sort_by([("confidence", "descending"), ("row_id", "ascending")])
    by_removed = facts.filter(facts["changed"]).sort_by([("removed", "descending"), ("row_id", "ascending")])
    found += [("cleaned", row) for row in by_removed["row"].slice(0, 1).to_pylist()]
    groups = {"non-ascii": pc.invert(by_confidence["ascii"])}
    groups |= {f"label-{number}": pc.equal(by_confidence["prediction"], number) for number in range(classes)}
    for name, mask in list(groups.items())[: 1 + MAX_LABELS]:
        rows = by_confidence.filter(mask)["row"].to_pylist()
        found += [(name, rows[len(rows) // 2])] if rows else []
    return found


def _vectors(
    predictions: Path, chosen: Mapping[int, str], labels: Sequence[str], columns: Sequence[str]
) -> tuple[Vector, ...]:
    """Read the chosen rows only; the file may hold millions."""
    wanted = ["row_id", "probabilities", *(f"raw_{name}" for name in columns)]
    found: dict[str, Vector] = {}
    start = 0
    for batch in pq.ParquetFile(predictions).iter_batches(columns=wanted):
        here = sorted(row for row in chosen if start <= row < start + batch.num_rows)
        rows: list[dict[str, Any]] = batch.take(pa.array([row - start for row in here], pa.int64())).to_pylist()
        for number, row in zip(here, rows, strict=True):
            scores = {label: float(value) for label, value in zip(labels, row["probabilities"], strict=True)}
            item = {name: row[f"raw_{name}"] for name in columns}
            found[chosen[number]] = Vector(chosen[number], row["row_id"], item, scores)
        start += batch.num_rows
    return tuple(found[name] for name in chosen.values())
