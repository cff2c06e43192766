"""Target type `nothing`: rows without a truth of their own, as pairs that belong together and texts that are masked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kubetune.data.splits import SPLITS
from kubetune.data.targets.base import Settled, StoredTruths, TargetCell, TargetReader, TargetRules, Truth


class NothingReader:
    """Implements `TargetReader` for rows whose texts say all."""

    reasons: tuple[str, ...] = ()
    decisions: list[str] = []  # noqa: RUF012
    stored: pa.DataType | None = None
    _texts = 2

    def read(self, cell: TargetCell) -> Truth | str:
        """See `TargetReader.read`."""
        self._texts = len(cell.texts)
        return Truth(0, 0)

    def content(self, value: Any) -> str:
        """See `TargetReader.content`."""
        return "" if value is None else str(value)

    def settle(self, split: np.ndarray, strata: np.ndarray, stored: StoredTruths) -> Settled:
        """See `TargetReader.settle`."""
        self._rows = {name: int(np.count_nonzero(split == number)) for number, name in enumerate(SPLITS)}
        return Settled([], {name: [] for name in SPLITS})

    def check(self, settled: Settled, *, whole: bool) -> None:
        """See `TargetReader.check`: any row can be learnt from."""

    def column(self, strata: np.ndarray, stored: pa.Array) -> pa.Array:
        """See `TargetReader.column`: each row holds."""
        return pa.array(np.ones(len(strata), dtype=bool))

    def groups(self, labels: Sequence[str]) -> list[str]:
        """See `TargetReader.groups`."""
        return ["all"]

    def groups_of(self, value: Any) -> Sequence[int]:
        """See `TargetReader.groups_of`."""
        return (0,)

    def shown(self, value: Any, texts: Sequence[str]) -> str:
        """See `TargetReader.shown`."""
        return ""

    def findings(self, settled: Settled, rare: int) -> dict[str, Any]:
        """See `TargetReader.findings`."""
        heading = "Texts" if self._texts == 1 else "Pairs"
        return {
            "targets": {
                "type": "nothing",
                "heading": heading,
                "columns": [heading],
                "splits": {name: [f"{rows:,}"] for name, rows in self._rows.items()},
                "line": [f"{self._rows['train']:,} {heading.lower()} of train"],
            }
        }

    def advice(self) -> str:
        """See `TargetReader.advice`."""
        return ""

    def examples(self) -> Mapping[str, Sequence[str]]:
        """See `TargetReader.examples`."""
        return {}


class NothingType:
    """Implements `TargetType`."""

    type = pa.bool_()
    words = False
    document = None

    def accepts(self, kind: pa.DataType) -> bool:
        """See `TargetType.accepts`."""
        return False

    def open(self, rules: TargetRules, files: Mapping[str, Path], source: Mapping[str, Any]) -> TargetReader:
        """See `TargetType.open`."""
        return NothingReader()


TARGET_TYPE = NothingType()
