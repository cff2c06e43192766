"""A run as it goes: its stages in order, how far the running ones are, and what it came to in the end."""

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from kubetune.client.airflow import Airflow, DagRun, TaskState
from kubetune.errors import NothingToDoError, TemporaryError
from kubetune.stages import STAGES

ORDER = ("resolve", *(stage.name for stage in STAGES))
"""Task ids of a run."""
APPROVE = "approve_"
"""How the task begins that asks a person before a stage; to a person the two are one stage."""
WAITS = "awaiting_input"
DEFAULT_POOL = "default_pool"
UNDER_WAY = frozenset({"running", "deferred"})
OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
CANCELLED = "cancelled with `kubetune cancel`"
POLL_S = 2.0
LOG_EVERY_S = 10.0
"""A whole log is read for one number: not with each look."""
OF_POD = re.compile(r"^\[base\] ?(?:logs: )?(.*)$")
"""How the operator marks what the pod wrote; `logs: ` where it catches up after having waited elsewhere."""
STEP = re.compile(r"^\s*(\S.*?): (\d+)/(\d+)(?:  (.*))?$")
WORDS = {
    "bad data": 65,
    "the endpoint was not ready": 69,
    "an error of kubetune": 70,
    "interrupted": 75,
    "refused by a gate": 77,
    "bad configuration": 78,
    "out of memory": 78,
    "out of scratch space": 78,
    "out of shared memory": 78,
    "longer than allowed": 78,
    "the cluster refuses the pod": 78,
    "Airflow lacks a right": 78,
    "the pod found no place": 78,
    "the image cannot be had": 78,
}
"""How the retry policy begins its sentence, by the code that the pod ended with; a test holds them together."""
CODE = re.compile(r"ended with (\d+)\b")
"""How the policy begins where the code has no words."""
POD_WAITS = re.compile(r"^The pod waits: (.*)$")
GOES_ON = "The pod waits no longer."
"""What a task writes of a pod that has not started; a test holds them together, too."""
RETRY_AT = "retry_at"
"""What a task that is tried again shows beside its reason: when, ISO 8601."""
SOURCES = "::group::Log message source details"
NO_LOG = ("Could not read served logs", "No logs available", "Failed to fetch log file", "*** ")
"""Airflow's own words where a log, or a part of it, is not found."""
SAID = re.compile(r"^(?:kubetune: )?exit=(\d+) (.*)$|^kubetune: (.*)$")
"""What a stage says last: in its log a sentence, in its termination message one with the exit code."""


@dataclass(frozen=True)
class Step:
    """How far a stage is, by what it last wrote.

    Attributes:
        what: Phase.
        done: Steps of it.
        total: All steps of it.
        facts: What the stage shows beside it.
    """

    what: str
    done: int
    total: int
    facts: str


@dataclass(frozen=True)
class StageView:
    """A stage of a run, for a person.

    Attributes:
        name: `resolve` or a stage.
        state: Airflow's word, `running` also where the operator only waits for its pod.
        attempt: Number of the attempt, from 1; 0 before the first.
        seconds: Duration of the last attempt, once it is over.
        reason: Why it failed, waits or was not approved; empty otherwise.
        step: How far it is, while it runs.
        due: When it is tried again; empty where it is not.
    """

    name: str
    state: str
    attempt: int = 0
    seconds: float | None = None
    reason: str = ""
    step: Step | None = None
    due: str = ""


@dataclass(frozen=True)
class RunOutcome:
    """What a run came to.

    Attributes:
        code: The exit code that the same run would have had on this machine.
        sentence: Why; empty where all is well.
        cancelled: Whether a person ended it.
    """

    code: int
    sentence: str
    cancelled: bool = False

    @property
    def word(self) -> str:
        """What happened, in one word or two."""
        return (
            "cancelled"
            if self.cancelled
            else {0: "complete", 77: "refused", 99: "nothing to do"}.get(self.code, "failed")
        )


def watch_run(airflow: Airflow, name: str) -> Iterator[tuple[DagRun, list[StageView]]]:
    """Yield a run and its stages again and again until it is over.

    Raises:
        ConfigError: There is no such run.
        TemporaryError: Airflow does not answer inside its deadline.
    """
    steps: dict[tuple[str, int], tuple[float, StageView]] = {}
    while True:
        run = airflow.run(name)
        yield run, [_with_step(airflow, name, view, steps) for view in stages_of(airflow, name)]
        if run.finished:
            return
        time.sleep(POLL_S)


def stages_of(airflow: Airflow, run: str) -> list[StageView]:
    """Return the stages of a run in the plan's order."""
    found = {task.name: task for task in airflow.tasks(run)}
    return [_view(airflow, run, found[name], found.get(f"{APPROVE}{name}")) for name in ORDER if name in found]


def under_way(airflow: Airflow, runs: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the runs among those given that Airflow has not ended, and of each the stages that it works on.

    Returns:
        Run → stage → `running`, `waits for approval`, or `retry due at TIME`.
    """
    wanted = set(runs)
    found = [name for name in airflow.unfinished() if name in wanted] if wanted else []
    words = {"running": "running", WAITS: "waits for approval"}
    return {
        name: {
            view.name: f"retry due at {view.due}" if view.state == "up_for_retry" else words[view.state]
            for view in stages_of(airflow, name)
            if view.state in {*words, "up_for_retry"}
        }
        for name in found
    }


def _view(airflow: Airflow, run: str, task: TaskState, approval: TaskState | None) -> StageView:
    if approval is not None and approval.state == WAITS:
        return StageView(task.name, WAITS, reason="in Airflow, under Required Actions")
    if approval is not None and approval.state in {"skipped", "failed"}:
        return StageView(task.name, approval.state, reason=airflow.reason(run, approval.name) or "")
    state = "running" if task.state in UNDER_WAY else task.state
    reason = (airflow.reason(run, task.name) or "") if task.state in {"failed", "up_for_retry"} else ""
    due = local_time(airflow.reason(run, task.name, RETRY_AT)) if task.state == "up_for_retry" else ""
    if task.state == "scheduled" and task.pool and task.pool != DEFAULT_POOL:
        state, reason = "queued", f"for a free slot of Airflow's pool {task.pool}"
    return StageView(task.name, state, task.attempt, task.seconds if task.state in OVER else None, reason, due=due)


def local_time(moment: str | None) -> str:
    """Return the time of day of an ISO 8601 moment, here; a word where it is not known."""
    try:
        return datetime.fromisoformat(moment or "").astimezone().strftime("%H:%M:%S")
    except ValueError:
        return "a time that Airflow chose"


def _with_step(
    airflow: Airflow, run: str, view: StageView, known: dict[tuple[str, int], tuple[float, StageView]]
) -> StageView:
    if view.state != "running":
        return view
    at, last = known.get((view.name, view.attempt), (0.0, view))
    if time.monotonic() - at >= LOG_EVERY_S:
        lines = airflow.log(run, view.name, view.attempt)
        last = replace(view, step=last_step(pod_lines(lines)) or last.step, reason=task_wait(lines))
        known[view.name, view.attempt] = time.monotonic(), last
    return last


def task_wait(lines: list[str]) -> str:
    """Return why a pod has not started, by its task's log; empty once it has, or where nothing is known."""
    for line in reversed(lines):
        if found := POD_WAITS.match(line):
            return found[1]
        if line == GOES_ON or OF_POD.match(line):
            return ""
    return ""


def pod_lines(lines: list[str]) -> list[str]:
    """Return what the stage itself wrote, out of Airflow's log of it."""
    return [found[1] for line in lines if (found := OF_POD.match(line))]


def own_lines(lines: list[str]) -> list[str]:
    """Return the lines of a log without what Airflow says of where it looked for them."""
    found, inside = [], False
    for line in lines:
        inside = line.startswith(SOURCES) or (inside and not line.startswith("::endgroup::"))
        if not inside and not line.startswith(("::endgroup::", *NO_LOG)):
            found.append(line)
    return found


def last_step(lines: list[str]) -> Step | None:
    """Return the last progress that a stage wrote."""
    for line in reversed(lines):
        if found := STEP.match(line):
            return Step(found[1], int(found[2]), int(found[3]), found[4] or "")
    return None


def outcome(airflow: Airflow, run: DagRun, stages: list[StageView]) -> RunOutcome:
    """Return what a finished run came to, by the reason that its first failed stage left."""
    if run.note.startswith(CANCELLED):
        sentence = f"Run {run.name} was {run.note}: submit its recipe as a new run to go on."
        return RunOutcome(TemporaryError.exit_code, sentence, cancelled=True)
    failed = [view for view in stages if view.state == "failed"]
    skipped = [view for view in stages if view.state == "skipped"]
    if skipped and not failed:  # the operator skips at exit code 99 alone; the stages after it follow
        first = skipped[0]
        sentence = first.reason or _last_sentence(airflow, run.name, first)[1]
        sentence = sentence or f"Stage {first.name} of run {run.name} found nothing to do."
        return RunOutcome(NothingToDoError.exit_code, sentence)
    if run.state == "success" or not failed:
        lost = RunOutcome(70, f"Run {run.name} failed although none of its stages did: look at it in Airflow.")
        return RunOutcome(0, "") if run.state == "success" else lost
    first = failed[0]
    code, reason = (
        (exit_code_of(first.reason, first.name), first.reason)
        if first.reason
        else _last_sentence(airflow, run.name, first)
    )
    if not reason:
        sentence = f"it left no reason, see `kubetune logs {run.name} {first.name}`"
        return RunOutcome(70, f"Stage {first.name} of run {run.name} failed: {sentence}.")
    return RunOutcome(
        code or exit_code_of(reason, first.name), f"Stage {first.name} of run {run.name} failed: {reason}"
    )


def exit_code_of(reason: str, stage: str) -> int:
    """Return the exit code in a stage's reason; where it has none, `resolve` refused and all else is ours."""
    for words, code in WORDS.items():
        if reason.startswith(words):
            return code
    if found := CODE.match(reason):
        return int(found[1])
    return 78 if stage == "resolve" else 70


def _last_sentence(airflow: Airflow, run: str, view: StageView) -> tuple[int, str]:
    """Return the exit code (0: it states none) and the last sentence in a stage's log; empty if there is none."""
    for line in reversed(pod_lines(airflow.log(run, view.name, view.attempt)) if view.attempt else []):
        if found := SAID.match(line):
            return int(found[1] or 0), found[2] or found[3]
    return 0, ""
