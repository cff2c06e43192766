"""Live progress on standard error: a bar in a terminal, a plain line now and then elsewhere."""

import sys
import time
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

LINE_EVERY_S = 10.0
WIDE = 110
"""Columns from which on the whole line has room."""


class BarProgress:
    """Bars for a person who looks at a terminal."""

    def __init__(self, console: Console) -> None:
        # Step, total and time left are what a person waits by: in a narrow terminal the bar is short and the facts are
        # cut, never those.
        wide = console.width >= WIDE
        self._bar = Progress(
            TextColumn(
                "  {task.description:<22}" if wide else "  {task.description}",
                table_column=Column(no_wrap=True, overflow="ellipsis", max_width=None if wide else 22),
            ),
            BarColumn(bar_width=30 if wide else 10, table_column=whole()),
            MofNCompleteColumn(table_column=whole()),
            TimeRemainingColumn(table_column=whole()),
            TextColumn(
                "{task.fields[facts]}", style="dim", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
            ),
            console=console,
            transient=False,
            expand=True,
        )
        self._console = console
        self._task: TaskID | None = None

    def start(self, what: str, total: int | None = None) -> None:
        """Begin a phase; the bar of the former one stays above."""
        self._finish()
        self._bar.start()
        self._task = self._bar.add_task(what, total=total, facts="")

    def advance(self, by: int = 1, **facts: float | str) -> None:
        """Move the bar and show the facts beside it."""
        if self._task is not None:
            self._bar.update(self._task, advance=by)
            if facts:
                self._bar.update(self._task, facts=shown(facts))

    def note(self, line: str) -> None:
        """Print one line above the bar."""
        self._console.print(f"  {line}", markup=False, highlight=False)

    def close(self) -> None:
        """Leave the terminal as it was found."""
        self._finish()
        self._bar.stop()

    def _finish(self) -> None:
        if self._task is not None:
            task = self._bar.tasks[-1]
            if task.total is None:
                self._bar.update(self._task, total=max(task.completed, 1), completed=max(task.completed, 1))


class LineProgress:
    """Plain lines for logs: the start of a phase, then one line every ten seconds, then its end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._what = ""
        self._total: int | None = None
        self._done = 0
        self._facts = ""
        self._last = 0.0

    def start(self, what: str, total: int | None = None) -> None:
        """Begin a phase."""
        self._finish()
        self._what, self._total, self._done, self._facts = what, total, 0, ""
        self._last = time.monotonic()

    def advance(self, by: int = 1, **facts: float | str) -> None:
        """Count; print when ten seconds have passed."""
        self._done += by
        self._facts = shown(facts) or self._facts
        if time.monotonic() - self._last >= LINE_EVERY_S:
            self._last = time.monotonic()
            self._say()

    def note(self, line: str) -> None:
        """Print one line."""
        print(f"  {line}", file=self._stream, flush=True)

    def close(self) -> None:
        """Print the end of the last phase."""
        self._finish()

    def _finish(self) -> None:
        if self._what:
            self._say()
        self._what = ""

    def _say(self) -> None:
        count = f"{self._done}/{self._total}" if self._total is not None else str(self._done)
        print(f"  {self._what}: {count}" + (f"  {self._facts}" if self._facts else ""), file=self._stream, flush=True)


def whole() -> Column:
    """Return a column that is never cut."""
    return Column(no_wrap=True)


def shown(facts: dict[str, float | str]) -> str:
    """Return `loss 0.41 · 512 tokens/s`-like text."""
    parts = []
    for name, value in facts.items():
        text = value if isinstance(value, str) else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
        parts.append(f"{name.replace('_', ' ')} {text}")
    return " · ".join(parts)


def progress_for(stream: TextIO | None = None) -> BarProgress | LineProgress:
    """Return bars where a person can see them move; None: standard error, as it is now."""
    stream = stream or sys.stderr
    return BarProgress(Console(file=stream)) if stream.isatty() else LineProgress(stream)
