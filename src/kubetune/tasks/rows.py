"""A split in memory: flat numbers and offsets, a few bytes a token instead of Python lists."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, overload

import numpy as np

from kubetune.errors import DataError
from kubetune.tasks.base import IGNORED, Feature, Task

TOKENS = ("input_ids", "token_type_ids")


class EncodedRows(Sequence[Feature]):
    """Features of one split.

    Args:
        columns: Name → the numbers of all features, one after the other.
        offsets: Name → where each feature's begin, and the end, shape (features + 1,), int64.
        example: Number of the row of the data set that each feature is a part of, shape (features,), ascending.
        examples: Rows of the data set.
        texts: Name → values of the rows of the data set, with which answers are compared.

    Attributes:
        lengths: (features,) int64 tokens.
    """

    def __init__(
        self,
        columns: Mapping[str, np.ndarray],
        offsets: Mapping[str, np.ndarray],
        example: np.ndarray,
        examples: int,
        texts: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        self._columns, self._offsets, self._texts = columns, offsets, texts or {}
        self.example, self.examples = example, examples
        self.lengths = np.diff(offsets["input_ids"])

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> Feature: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Feature]: ...

    def __getitem__(self, index: Any) -> Any:
        """Return one feature, or a list of them; values are views."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        return {
            name: values[self._offsets[name][index] : self._offsets[name][index + 1]]
            for name, values in self._columns.items()
        }

    def pick(self, indices: Sequence[int] | np.ndarray) -> list[Feature]:
        """Return the features of these numbers."""
        return [self[int(index)] for index in indices]

    def texts_of(self, examples: np.ndarray) -> dict[str, list[Any]]:
        """Return what answers to some rows of the data set are compared with."""
        return {name: [values[number] for number in examples] for name, values in self._texts.items()}

    def column(self, name: str) -> np.ndarray:
        """Return the numbers of all features, one after the other."""
        return self._columns[name]


def read_rows(dataset: Path, split: str, task: Task, labels: Sequence[str], places: bool = False) -> EncodedRows:
    """Read `<split>.parquet` of artifact `dataset`.

    Args:
        dataset: Folder of the artifact.
        split: `train`, `validation` or `test`.
        task: Says which columns are targets.
        labels: Class names by class number.
        places: Whether the columns that answers are made with are wanted too.

    Raises:
        DataError: The file or a column is absent, or a target is none of the head's outputs.
    """
    import pyarrow
    import pyarrow.parquet

    path = dataset / f"{split}.parquet"
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            wanted = [*TOKENS, *task.target_columns, *(task.place_columns if places else ())]
            names = [name for name in wanted if name in file.schema_arrow.names]
            table = file.read(columns=names).combine_chunks()
            texts = file.read(columns=list(task.text_columns)).to_pydict() if places and task.text_columns else {}
        if lacking := {"input_ids", *task.target_columns} - set(names):
            raise KeyError(min(lacking))
        found = {name: _flat(table[name], path) for name in names}
    except (OSError, KeyError, TypeError, pyarrow.ArrowException) as error:
        raise DataError("dataset", f"{path.name} of the prepared dataset cannot be read: prepare again") from error
    example = found["input_ids"][2]
    rows = EncodedRows(
        {name: values for name, (values, _, _) in found.items()},
        {name: offsets for name, (_, offsets, _) in found.items()},
        example,
        table.num_rows,
        texts,
    )
    _check_targets(rows, task, labels, path)
    return rows


def _check_targets(rows: EncodedRows, task: Task, labels: Sequence[str], path: Path) -> None:
    for name in task.class_columns:
        values, most = rows.column(name), len(task.head(labels).names)
        least = IGNORED if task.head(labels).per_token else 0
        if len(values) and not (values.min() >= least and values.max() < most):
            raise DataError("label-range", f"{path.name} has labels outside 0..{most - 1}: prepare again")


def _flat(column: Any, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a column's numbers, where each feature's begin, and the row of each feature.

    A column holds a number a row, a list of them, or a list of lists where a row has several features.
    """
    import pyarrow

    if column.num_chunks > 1:
        raise DataError("dataset-size", f"{path.name} has more than 2^31 tokens: set data.limit")
    if not len(column):
        return np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    array = column.chunk(0)
    example = np.arange(len(array))
    if not pyarrow.types.is_list(array.type):
        values = _numbers(array)
        whole = not pyarrow.types.is_floating(array.type)  # a score stays one
        return values.astype(np.int64) if whole else values, np.arange(len(array) + 1), example
    if pyarrow.types.is_list(array.type.value_type):
        outer = _numbers(array.offsets).astype(np.int64)
        example = np.repeat(example, np.diff(outer))
        array = array.values.slice(outer[0], outer[-1] - outer[0])
    offsets = _numbers(array.offsets).astype(np.int64)
    return _numbers(array.values)[offsets[0] : offsets[-1]], offsets - offsets[0], example


def _numbers(array: Any) -> np.ndarray:
    """View an Arrow array without nulls; its own `to_numpy` would import pandas, seconds a rank."""
    return np.from_dlpack(array)


def windows_of(rows: EncodedRows, examples: np.ndarray) -> np.ndarray:
    """Return the numbers of the features of some rows of the data set, in order."""
    starts = np.searchsorted(rows.example, examples, side="left")
    ends = np.searchsorted(rows.example, examples, side="right")
    return np.fromiter(chain.from_iterable(map(range, starts, ends)), dtype=np.int64)
