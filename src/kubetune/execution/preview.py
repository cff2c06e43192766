"""A look at a recipe's data before anything is trained, stored or downloaded for a model."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetune.config.environment import environment
from kubetune.config.recipe import Recipe, view
from kubetune.config.settings import Settings, stage_environment
from kubetune.contract import Progress
from kubetune.execution.platform import outside
from kubetune.execution.stage import load_entry, made
from kubetune.stages import BY_NAME
from kubetune.storage.base import Store

LEFT_OUT = "unknown tokens, lengths and truncation, which the model's tokenizer tells; `prepare` says them"


@dataclass
class _Bars:
    """Progress without sentences: those are part of what is returned."""

    bars: Progress

    def start(self, what: str, total: int | None = None) -> None:
        """See `contract.Progress`."""
        self.bars.start(what, total)

    def advance(self, by: int = 1, **facts: float | str) -> None:
        """See `contract.Progress`."""
        self.bars.advance(by, **facts)

    def note(self, line: str) -> None:
        """Say nothing."""


class _NoTelemetry:
    def record(self, event: str, **values: Any) -> None:
        """See `contract.Telemetry`."""


@dataclass(frozen=True)
class _Context:
    """What the bodies use besides their folders."""

    progress: _Bars
    telemetry: _NoTelemetry
    scratch: Path
    checkpoints: Any
    platform: Mapping[str, Any]

    def should_stop(self) -> bool:
        """Ctrl-C ends the command at once: there is nothing to be kept."""
        return False


def preview(recipe: Recipe, settings: Settings, progress: Progress, store: Store | None = None) -> dict[str, Any]:
    """Read, judge, label and split the rows as `ingest` and `prepare` do, in a folder that is removed.

    Args:
        recipe: Its section `data` counts.
        settings: Deployment settings.
        progress: Live progress for a person.
        store: Where uploaded files lie; None: the source names none.

    Returns:
        The data report without what a tokenizer tells, with `source`, `preview` (rows of train) and `left_out`.

    Raises:
        DataError: A rule about the data is broken.
        ConfigError: The source cannot be reached as configured.
        TemporaryError: The source did not deliver.
    """
    from kubetune.data.report import first_rows, rows_report
    from kubetune.stages.prepare import examine

    with tempfile.TemporaryDirectory(prefix="kubetune-data-", ignore_cleanup_errors=True) as name:
        root, bars = Path(name), _Bars(progress)
        raw = made(root / "raw")
        with environment(stage_environment(settings, outside=True)):
            stage = BY_NAME["ingest"]
            context = _Context(bars, _NoTelemetry(), made(root / "read"), None, outside(settings, store))
            read = load_entry(stage.entry)(view(recipe, stage.sections), {}, {"raw": raw}, context)
            context = _Context(bars, _NoTelemetry(), made(root / "judged"), None, {})
            examined = examine(view(recipe, BY_NAME["prepare"].sections), raw, context)
        source = json.loads((raw / "source.json").read_text(encoding="utf-8"))
        return rows_report(examined.gathered) | {
            "source": {name: source[name] for name in ("kind", "identity", "revision", "licence", "files", "splits")},
            "columns": read.facts["columns"],
            "preview": first_rows(examined.accepted, examined.gathered),
            "left_out": LEFT_OUT,
        }
