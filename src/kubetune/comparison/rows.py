"""What `compare` and the runner read of reports and behaviour folders. Imports pyarrow and nothing else heavy.

The runner counts comparisons by `test_digest_of` before a body runs, so this must not load torch.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.errors import DataError, KubetuneError
from kubetune.evaluation.predictions import TEXT_GROUP, test_rows_digest, truths

FORMAT = 1
PARTS = ("archive", "report", "behaviour")


@dataclass(frozen=True)
class Champion:
    """The version that serves, or nobody.

    Attributes:
        name: Of the registered model.
        version: None: there is no champion.
        run: That made it.
        archive: Digest of its archive.
        earlier: Comparisons already made on the candidate's test rows, this one left out.
        folder: Holds `archive`, `report` and `behaviour` of the version.
    """

    name: str
    version: int | None
    run: str | None
    archive: str | None
    earlier: int
    folder: Path

    def as_dict(self) -> dict[str, Any] | None:
        """Return what a decision says of it; None where there is none."""
        if self.version is None:
            return None
        return {"name": self.name, "version": self.version, "run": self.run, "archive": self.archive}


def read_champion(folder: Path) -> Champion:
    """Read `champion.json`.

    Raises:
        KubetuneError: It cannot be read, has another format, or a part of the version is missing.
    """
    values = read_json(folder / "champion.json")
    name, version, earlier = (values.get(key) for key in ("name", "version", "earlier"))
    known = values.get("format") == FORMAT and isinstance(name, str) and isinstance(earlier, int)
    if not known or not isinstance(version, int | None):
        raise KubetuneError(f"champion.json is not of format {FORMAT}: compare again with the version that wrote it.")
    if version is not None and (missing := [part for part in PARTS if not (folder / part).is_dir()]):
        raise KubetuneError(f"Version {version} of {name} came without its {' and '.join(missing)}: compare again.")
    return Champion(str(name), version, values.get("run"), values.get("archive"), int(earlier or 0), folder)


PREDICTIONS = "predictions.parquet"
CASES = "cases.parquet"
CASE_COLUMNS = ("capability", "test", "case", "passed")

Case = tuple[str, str, str]
"""Capability, test and the case's own id."""


def test_digest_of(report: Path) -> str:
    """Return the SHA-256 (hex) of which rows are tested with which labels, whatever their order.

    Args:
        report: Artifact `report`.

    Raises:
        DataError: A column is missing, or a label has no name.
        KubetuneError: A file cannot be read.
    """
    names = label_names(report)
    rows = read_predictions(report, ("row_id", "label"))
    truths_of(rows, names)
    return test_rows_digest(rows, names)


test_digest_of.__test__ = False  # type: ignore[attr-defined]  # its name is no test's


def label_names(report: Path) -> tuple[str, ...]:
    """Return the class names of a report by class number."""
    names = read_json(report / "metrics.json").get("labels")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise KubetuneError("metrics.json of an artifact `report` names no labels: evaluate the run again.")
    return tuple(names)


def class_names(numbers: Sequence[int], names: Sequence[str]) -> list[str]:
    """Return the class name of each number.

    Raises:
        DataError: A number has no name.
    """
    wrong = next((number for number in numbers if not 0 <= number < len(names)), None)
    if wrong is not None:
        raise DataError(
            "label-number",
            f"{PREDICTIONS} holds class number {wrong} and the report names {len(names)} classes: evaluate the run "
            "again.",
        )
    return [names[number] for number in numbers]


def truths_of(rows: pa.Table, names: Sequence[str]) -> list[Any]:
    """Return what is right on each row, as plain values that do not depend on the numbers of classes.

    Args:
        rows: Column `label` of a report's predictions.
        names: Class names by number.

    Raises:
        DataError: A class number has no name.
    """
    kind = rows["label"].type
    if pa.types.is_integer(kind):
        class_names(rows["label"].to_pylist(), names)
    elif pa.types.is_list(kind) and pa.types.is_integer(kind.value_type):
        class_names([number for row in rows["label"].to_pylist() for number in row], names)
    return truths(rows["label"], names)


def read_predictions(report: Path, columns: Sequence[str]) -> pa.Table:
    """Return columns of `predictions.parquet`.

    Raises:
        DataError: A column is missing, a value is missing, or a row id occurs twice.
        KubetuneError: The file cannot be read.
    """
    table = _read_table(report / PREDICTIONS, columns)
    if "row_id" in columns and len(set(table["row_id"].to_pylist())) < table.num_rows:
        raise DataError("row-ids", f"A row_id occurs twice in {PREDICTIONS}, so rows cannot be paired: prepare again.")
    return table


def read_cases(behaviour: Path) -> dict[Case, bool]:
    """Return whether each behavioural case passed.

    Raises:
        DataError: A column is missing.
        KubetuneError: The file cannot be read.
    """
    table = _read_table(behaviour / CASES, CASE_COLUMNS)
    capability, test, case, passed = (table[name].to_pylist() for name in CASE_COLUMNS)
    return dict(zip(zip(capability, test, case, strict=True), passed, strict=True))


def read_sources(behaviour: Path) -> dict[Case, str]:
    """Return what each behavioural case was made of: equal for cases of one template or one test row.

    Raises:
        DataError: A column is missing.
        KubetuneError: The file cannot be read.
    """
    table = _read_table(behaviour / CASES, (*CASE_COLUMNS[:3], "source"))
    capability, test, case, source = (table[name].to_pylist() for name in (*CASE_COLUMNS[:3], "source"))
    return dict(zip(zip(capability, test, case, strict=True), source, strict=True))


def text_columns(report: Path) -> tuple[str, ...]:
    """Return the columns of `predictions.parquet` that tell which rows have the same text."""
    names = _schema(report / PREDICTIONS).names
    return (TEXT_GROUP,) if TEXT_GROUP in names else tuple(name for name in ("text", "text_pair") if name in names)


def kept_columns(report: Path) -> tuple[str, ...]:
    """Return the names that columns kept for slices have in `predictions.parquet`."""
    return tuple(name for name in _schema(report / PREDICTIONS).names if name.startswith("column_"))


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object of an input artifact.

    Raises:
        KubetuneError: It cannot be read, or is no object.
    """
    text = read_text(path)
    try:
        value = json.loads(text)
    except ValueError as error:
        raise _unreadable(path, error) from error
    if not isinstance(value, dict):
        raise KubetuneError(
            f"{path.name} of an input artifact is not a JSON object: run the stage that wrote it again."
        )
    return value


def read_text(path: Path) -> str:
    """Return a text file of an input artifact.

    Raises:
        KubetuneError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read_table(path: Path, columns: Sequence[str]) -> pa.Table:
    if missing := [name for name in columns if name not in _schema(path).names]:
        raise DataError(
            "missing-column",
            f"{path.name} lacks the columns {', '.join(missing)}: run the stage that wrote it again with this version.",
        )
    try:
        table = pq.read_table(path, columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    if empty := [name for name in columns if not name.startswith("column_") and table[name].null_count]:
        raise DataError("missing-value", f"Column {empty[0]} of {path.name} has rows without a value: make it again.")
    return table


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> KubetuneError:
    return KubetuneError(
        f"{path.name} of an input artifact cannot be read ({type(error).__name__}): run the stage that wrote it again."
    )
