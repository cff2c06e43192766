"""The stages of a run in the cluster as they change: bars in a terminal, plain lines elsewhere."""

import sys
import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from kubetune.cli.common import say
from kubetune.client.watch import WAITS, StageView, Step

LINE_EVERY_S = 30.0
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
            due = view.step is not None and time.monotonic() - self._told.get(view.name, 0.0) >= LINE_EVERY_S
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
                self._bars.update(row, total=None, state=f"{state_of(view)}  {view.reason}")
            elif view.state == "running":
                self._bars.start_task(row)
                total, done = (view.step.total, view.step.done) if view.step else (None, 0)
                self._bars.update(row, total=total, completed=done, state=state_of(view))
            elif view.seconds is not None:
                self._bars.update(row, total=1, completed=1, state=f"{state_of(view)}  {view.seconds:.1f} s")
                self._bars.stop_task(row)
            else:
                self._bars.update(row, state=state_of(view))

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
    return f"{view.name:<10}{state_of(view):<28}{seconds}  {view.reason}{due}".rstrip()


def state_of(view: StageView) -> str:
    """Return the state of a stage in a few words."""
    words = {"success": "done", "up_for_retry": "waits for another try", "upstream_failed": "not run"} | {
        WAITS: "waits for approval",
        "up_for_reschedule": "put off by Airflow",  # which found no DAG yet, for example on a busy node
    }
    state = words.get(view.state, view.state)
    if view.reason and view.state in {"running", "queued"}:
        state = "waits"
    again = f", try {view.attempt}" if view.attempt > 1 and view.state in {"running", "up_for_retry"} else ""
    return f"{state}{again}{shown(view.step) if view.step else ''}"


def shown(step: Step) -> str:
    """Return how far a stage is."""
    return f"  {step.what} {step.done}/{step.total}" + (f"  {step.facts}" if step.facts else "")
