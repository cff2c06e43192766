"""A split in memory: flat token numbers and offsets, a few bytes a token instead of Python lists."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from kubetune.errors import DataError
from kubetune.tasks.base import Encoded


class EncodedRows(Sequence[Encoded]):
    """Encoded rows of one split.

    Attributes:
        labels: (rows,) int64 class numbers.
        lengths: (rows,) int64 tokens.
    """

    def __init__(self, columns: dict[str, np.ndarray], offsets: np.ndarray, labels: np.ndarray) -> None:
        self._columns = columns
        self._offsets = offsets
        self.labels = labels
        self.lengths = np.diff(offsets)

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int) -> Encoded: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Encoded]: ...

    def __getitem__(self, index: Any) -> Any:
        """Return one row, or a list of rows; values are views."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        start, end = self._offsets[index], self._offsets[index + 1]
        return {name: values[start:end] for name, values in self._columns.items()}

    def pick(self, indices: Sequence[int] | np.ndarray) -> list[Encoded]:
        """Return the rows of these numbers."""
        return [self[int(index)] for index in indices]


def read_rows(dataset: Path, split: str, classes: int) -> EncodedRows:
    """Read `<split>.parquet` of artifact `dataset`.

    Raises:
        DataError: The file or a column is absent, or a label is not one of `classes`.
    """
    import pyarrow
    import pyarrow.parquet

    path = dataset / f"{split}.parquet"
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = [name for name in ("input_ids", "token_type_ids", "label") if name in file.schema_arrow.names]
            table = file.read(columns=names).combine_chunks()
        labels = _numbers(table["label"].chunk(0) if table.num_rows else pyarrow.array([], pyarrow.int32()))
        offsets, columns = np.zeros(1, dtype=np.int64), {}
        for name in names if table.num_rows else ():
            if name != "label":
                if table[name].num_chunks != 1:
                    raise DataError("dataset-size", f"{path.name} has more than 2^31 tokens: set data.limit")
                array = table[name].chunk(0)
                offsets = _numbers(array.offsets).astype(np.int64)
                columns[name] = _numbers(array.values)[offsets[0] : offsets[-1]]
        labels = labels.astype(np.int64)
    except (OSError, KeyError, TypeError, pyarrow.ArrowException) as error:
        raise DataError("dataset", f"{path.name} of the prepared dataset cannot be read: prepare again") from error
    if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
        raise DataError("label-range", f"{path.name} has labels outside 0..{classes - 1}: prepare again")
    return EncodedRows(columns, offsets - offsets[0], labels)


def _numbers(array: Any) -> np.ndarray:
    """View an Arrow array without nulls; its own `to_numpy` would import pandas, seconds a rank."""
    return np.from_dlpack(array)
