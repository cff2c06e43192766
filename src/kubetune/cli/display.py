"""Progress in a terminal: bars for a local run and for stages elsewhere."""

import sys
import time
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from kubetune.cli.common import say
from kubetune.client.watch import WAITS, StageView, Step

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
                self._bar.update(self._task, facts=facts_text(facts))

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
        self._facts = facts_text(facts) or self._facts
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


def facts_text(facts: dict[str, float | str]) -> str:
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


STAGE_LINE_EVERY_S = 30.0
QUIET = frozenset({"waiting", "scheduled", "queued", "upstream_failed", "removed"})


class Display(Protocol):
    """Shows stages as they change."""

    def show(self, stages: list[StageView]) -> None:
        """Show the state of all stages."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


class Lines:
    """Plain lines: one for each change, and one every half minute of what is running."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, int, str]] = {}
        self._told: dict[str, float] = {}

    def show(self, stages: list[StageView]) -> None:
        """Print what has changed."""
        for view in stages:
            if view.state in QUIET and not view.reason:
                continue  # also where a waiting operator is queued to go on: nothing that a person would call news
            now = (view.state, view.attempt, view.reason)
            changed = self._known.get(view.name) != now
            self._known[view.name] = now
            due = view.step is not None and time.monotonic() - self._told.get(view.name, 0.0) >= STAGE_LINE_EVERY_S
            if changed or due:
                self._told[view.name] = time.monotonic()
                say(line_of(view))

    def close(self) -> None:
        """Nothing."""


class Bars:
    """A bar a stage, for a person who looks at a terminal."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[state]}", markup=False),
            console=console,
        )
        self._rows: dict[str, TaskID] = {}
        self._bars.start()

    def show(self, stages: list[StageView]) -> None:
        """Move the bars."""
        for view in stages:
            if view.name not in self._rows:
                self._rows[view.name] = self._bars.add_task(view.name, start=False, total=None, state="")
            row = self._rows[view.name]
            if view.state in {"running", "queued"} and view.reason:
                self._bars.update(row, total=None, state=f"{stage_state_of(view)}  {view.reason}")
            elif view.state == "running":
                self._bars.start_task(row)
                total, done = (view.step.total, view.step.done) if view.step else (None, 0)
                self._bars.update(row, total=total, completed=done, state=stage_state_of(view))
            elif view.seconds is not None:
                self._bars.update(row, total=1, completed=1, state=f"{stage_state_of(view)}  {view.seconds:.1f} s")
                self._bars.stop_task(row)
            else:
                self._bars.update(row, state=stage_state_of(view))

    def close(self) -> None:
        """Leave the terminal as it was found."""
        self._bars.stop()


def display() -> Display:
    """Return bars where a person can see them move."""
    return Bars(Console()) if sys.stdout.isatty() else Lines()


def line_of(view: StageView) -> str:
    """Return one line about a stage."""
    seconds = f"{view.seconds:8.1f} s" if view.seconds is not None else ""
    due = f" (the next try is due at {view.due})" if view.due else ""
    return f"{view.name:<10}{stage_state_of(view):<28}{seconds}  {view.reason}{due}".rstrip()


def stage_state_of(view: StageView) -> str:
    """Return the state of a stage in a few words."""
    words = {"success": "done", "up_for_retry": "waits for another try", "upstream_failed": "not run"} | {
        WAITS: "waits for approval",
        "up_for_reschedule": "put off by Airflow",  # which found no DAG yet, for example on a busy node
    }
    state = words.get(view.state, view.state)
    if view.reason and view.state in {"running", "queued"}:
        state = "waits"
    again = f", try {view.attempt}" if view.attempt > 1 and view.state in {"running", "up_for_retry"} else ""
    return f"{state}{again}{step_text(view.step) if view.step else ''}"


def step_text(step: Step) -> str:
    """Return how far a stage is."""
    return f"  {step.what} {step.done}/{step.total}" + (f"  {step.facts}" if step.facts else "")
