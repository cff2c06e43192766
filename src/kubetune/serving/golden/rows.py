"""Which test rows become golden vectors: few, deterministic, and each there for a reason."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kubetune.errors import DataError, KubetuneError
from kubetune.serving.golden.vectors import BF16_FACTOR, Vector
from kubetune.tasks import dataset_texts
from kubetune.tasks.base import Task
from kubetune.text.gate import TextGate, Unreadable

MAX_LABELS = 32
"""Label vectors; more would slow every readiness check without catching another kind of fault."""
CANDIDATES = 8
"""Rows that are tried for one purpose where answers can flip."""
STEADY = 4 * BF16_FACTOR
"""Tolerances by which an answer must be away from another one."""

Items = Sequence[tuple[str, ...]]
"""Raw texts of rows."""


class Asked(Protocol):
    """A model as it was evaluated."""

    def predictions(self, items: Items, labels: Sequence[str]) -> Sequence[Any]:
        """Return a prediction an item."""

    def margins(self, items: Items) -> Sequence[float]:
        """Return by how much probability each answer is away from another one."""


def pick(
    predictions: Path,
    task: Task,
    labels: Sequence[str],
    gate: TextGate,
    model: Asked | None = None,
    tolerance: float = 0.0,
) -> tuple[Vector, ...]:
    """Pick rows from `predictions.parquet`.

    A server in bf16 may find the other of two nearly equal tags best and lose a whole entity, though each number is
    within its tolerance, and would never be ready. So a row whose answer can flip becomes golden only where its
    numbers are some tolerances apart; where none of a purpose's candidates is so, the one with the widest margin is.

    Args:
        predictions: The file.
        task: Of the model.
        labels: Class names by class number.
        gate: Of the server: what it would refuse cannot be golden.
        model: Says how steady an answer is, where answers flip, and what it is, where predictions are not stored; None:
            neither is so.
        tolerance: Absolute difference of a probability that is allowed at fp32.

    Returns:
        `ordinary` (median length), `longest`, `shortest`, where there is one `cleaned` (most of it is cleaned away)
        and `non-ascii`, and one row for each kind of answer (classification: predicted label); a row that serves two
        purposes is taken once.

    Raises:
        DataError: No row can be served.
        KubetuneError: The model that is asked does not give what was stored of the rows.
    """
    facts = _facts(predictions, task, gate)
    if facts.num_rows == 0:
        raise DataError(
            "golden-rows",
            f"No test row can be read and is at most serving.max_characters={gate.most} characters long, so nothing "
            "can prove that a server answers right: raise it",
        )
    choices = _choices(facts, task, labels)
    if model is not None and task.form.flips:
        choices = _steady(choices, predictions, task, model, STEADY * tolerance)
    chosen: dict[int, str] = {}
    for name, rows in choices:
        chosen.setdefault(rows[0], name)
    asked = None
    if model is not None and not task.form.stored_in:
        asked = _as_stored(partial(model.predictions, labels=labels), task, tolerance)
    return _vectors(predictions, chosen, task, labels, asked)


def _facts(predictions: Path, task: Task, gate: TextGate) -> pa.Table:
    """Row number, id, length, kind of answer and whether it is ASCII, for rows that a server accepts."""
    facts = list(dict.fromkeys(["row_id", "length", "confidence", *task.form.grouped_by]))
    columns = dataset_texts(task.columns)
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


def _choices(facts: pa.Table, task: Task, labels: Sequence[str]) -> list[tuple[str, list[int]]]:
    """(name, row numbers, the best first); ties go to the smaller row id.

    The row of middling confidence stands for a group: the surest one would hardly move under a fault, the least sure
    one moves most when a server merely computes in bf16.
    """
    by_length = facts.sort_by([("length", "ascending"), ("row_id", "ascending")])["row"].to_pylist()
    found = [("ordinary", _outward(by_length)), ("longest", by_length[::-1]), ("shortest", by_length)]
    by_confidence = facts.sort_by([("confidence", "descending"), ("row_id", "ascending")])
    by_removed = facts.filter(facts["changed"]).sort_by([("removed", "descending"), ("row_id", "ascending")])
    found.append(("cleaned", by_removed["row"].to_pylist()))
    groups = {"non-ascii": pc.invert(by_confidence["ascii"]), **task.form.groups(by_confidence, labels)}
    for name, mask in list(groups.items())[: 1 + MAX_LABELS]:
        found.append((name, _outward(by_confidence.filter(mask)["row"].to_pylist())))
    return [(name, rows[:CANDIDATES]) for name, rows in found if rows]


def _outward(rows: list[int]) -> list[int]:
    """Return the first few rows by their distance from the middle one."""
    middle = len(rows) // 2
    near = range(max(0, middle - CANDIDATES), min(len(rows), middle + CANDIDATES))
    return [rows[place] for place in sorted(near, key=lambda place: abs(place - middle))]


def _steady(
    choices: Sequence[tuple[str, list[int]]], predictions: Path, task: Task, model: Asked, wanted: float
) -> list[tuple[str, list[int]]]:
    """Return the choices with the first candidate in front that is steady, or else the steadiest."""
    rows = sorted({row for _, candidates in choices for row in candidates})
    raw = [f"raw_{name}" for name in dataset_texts(task.columns)]
    items = [tuple(values[name] for name in raw) for values in _read(predictions, rows, raw).values()]
    margin = dict(zip(rows, model.margins(items), strict=True))
    found = []
    for name, candidates in choices:
        steady = [row for row in candidates if margin[row] >= wanted]
        found.append((name, steady or sorted(candidates, key=lambda row: -margin[row])))
    return found


Answers = Callable[[pa.Table], Sequence[Any]]


def _as_stored(ask: Callable[[Items], Sequence[Any]], task: Task, tolerance: float) -> Answers:
    """Return what answers rows of the file by a model whose `confidence` on them must be the stored one."""

    def answers(table: pa.Table) -> Sequence[Any]:
        raw = [table[f"raw_{name}"].to_pylist() for name in dataset_texts(task.columns)]
        items = list(zip(*raw, strict=True))
        found = ask(items)
        before, now = (each["confidence"].to_numpy() for each in (table, pa.table(task.form.columns(found))))
        if float(abs(before - now).max(initial=0)) > tolerance:
            raise KubetuneError("The model does not give what the report holds of its rows: evaluate the run again.")
        requests = [task.golden(item) for item in items]
        return found if requests == items else ask([_one(task, request) for request in requests])

    return answers


def _one(task: Task, request: tuple[str, ...]) -> tuple[str, ...]:
    """Return the item that the model is asked for a golden request."""
    found = task.asked(request, {})
    if isinstance(found, str):
        raise KubetuneError(f"A golden row is no request ({found}): this is a bug of kubetune.")
    return tuple(map(str, found[0]))


def _vectors(
    predictions: Path, chosen: Mapping[int, str], task: Task, labels: Sequence[str], asked: Answers | None
) -> tuple[Vector, ...]:
    names = dataset_texts(task.columns)
    columns = ["row_id", "confidence", *task.form.stored_in, *(f"raw_{name}" for name in names)]
    rows = _read(predictions, sorted(chosen), list(dict.fromkeys(columns)))
    table = pa.Table.from_pylist(list(rows.values()))
    answers = asked(table) if asked is not None else task.form.stored(table)

    def asked_as(row: Mapping[str, Any]) -> tuple[str, ...]:
        return task.golden(tuple(row[f"raw_{name}"] for name in names))

    decoded = (task.form.decode(found, labels, {}) for found in answers)
    found = {
        number: Vector(
            chosen[number],
            row["row_id"],
            {name: text for name, text in zip(task.columns, asked_as(row), strict=True) if name in task.served},
            task.form.expectation(answer),
        )
        for (number, row), answer in zip(rows.items(), decoded, strict=True)
    }
    return tuple(found[number] for number in chosen)


def _read(predictions: Path, rows: Sequence[int], columns: Sequence[str]) -> dict[int, dict[str, Any]]:
    """Read these rows, which are in order, and no others; the file may hold millions."""
    found: dict[int, dict[str, Any]] = {}
    start = 0
    for batch in pq.ParquetFile(predictions).iter_batches(columns=list(columns)):
        here = [row for row in rows if start <= row < start + batch.num_rows]
        read = batch.take(pa.array([row - start for row in here], pa.int64())).to_pylist()
        found |= zip(here, read, strict=True)
        start += batch.num_rows
    return found
