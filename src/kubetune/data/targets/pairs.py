"""Target type `pairs`: texts that belong together, and where the recipe names a column for it, one that does not."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from kubetune.data.cells import cell_text
from kubetune.data.targets.base import Settled, TargetCell, TargetReader, TargetRules, Truth
from kubetune.data.targets.nothing import NothingReader
from kubetune.data.targets.structured import Reasons, StructuredReader
from kubetune.text.gate import TextGate, Unreadable
from kubetune.text.unicode_forms import normal_form

MISSING, OWN = "negative-missing", "negative-is-own"


class NegativesReader(StructuredReader, NothingReader):
    """Implements `TargetReader` for hard negatives: texts that an anchor is told from beside other rows' positives.

    A negative is cleaned as the texts are. One that says the row's own anchor or positive, but for case, white space
    and Unicode forms, would teach that what belongs together does not; the row is rejected and counted. All rows are
    one truth, so that a pair that comes again with another negative is a duplicate and no conflict.

    Args:
        rules: What the recipe says; its column holds the negatives.
    """

    reasons = (MISSING, OWN)
    hints = MappingProxyType({MISSING: "Without data.columns.negative rows are learnt as pairs alone."})
    stored = pa.string()

    def __init__(self, rules: TargetRules) -> None:
        self.column_name, self.gate = rules.column or "", TextGate(tuple(rules.cleaning))
        self.problems = Reasons(self.reasons)

    def read(self, cell: TargetCell) -> Truth | str:
        """See `TargetReader.read`."""
        text = None if cell.value is None else cell_text(cell.value, self.column_name)
        read = self.gate.read_item([text])
        if isinstance(read, Unreadable):
            return self.problems.because(MISSING, f"none for {cell.texts[0]!r:.80}")
        own = self.gate.read_item(list(cell.texts))
        if normal_form(read[0]) in {normal_form(of) for of in (own if not isinstance(own, Unreadable) else ())}:
            return self.problems.because(OWN, f"{read[0]!r:.80} is the row's own anchor or positive")
        return Truth(0, 0, read[0])

    def column(self, strata: np.ndarray, stored: pa.Array) -> pa.Array:
        """See `TargetReader.column`: the negatives."""
        return stored

    def shown(self, value: Any, texts: Sequence[str]) -> str:
        """See `TargetReader.shown`."""
        return f"not: {value}"

    def findings(self, settled: Settled, rare: int) -> dict[str, Any]:
        """See `TargetReader.findings`."""
        found = super().findings(settled, rare)
        line = [f"{found['targets']['line'][0]}, each with a negative"]
        return {"targets": {**found["targets"], "line": line}}


class PairsReader(NothingReader):
    """Implements `TargetReader` for rows whose texts say all."""

    def column(self, strata: np.ndarray, stored: pa.Array) -> pa.Array:
        """See `TargetReader.column`: no negatives."""
        return pa.nulls(len(strata), pa.string())


class PairsType:
    """Implements `TargetType`."""

    type = pa.string()
    words = False
    document = None

    def accepts(self, kind: pa.DataType) -> bool:
        """See `TargetType.accepts`: a negative is one text."""
        return False

    def open(self, rules: TargetRules, files: Mapping[str, Path], source: Mapping[str, Any]) -> TargetReader:
        """See `TargetType.open`."""
        return PairsReader() if rules.column is None else NegativesReader(rules)


TARGET_TYPE = PairsType()
