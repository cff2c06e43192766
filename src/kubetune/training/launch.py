"""Starting the loop: in this process for 0 or 1 device, as N supervised processes of the same loop otherwise.

Not `accelerate launch`: it starts one process where two were asked for, orphans it on SIGTERM, and loses exit codes.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from kubetune import errors
from kubetune.config.environment import child_environment
from kubetune.contract import Context
from kubetune.errors import DataError, KubetuneError, TemporaryError
from kubetune.training.job import Job, TrainingOutcome

POLL_SECONDS = 0.02
KILLED = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGBUS}
"""Ends that come from outside a rank; anything else without a report is a bug."""
HEARTBEAT_TIMEOUT_SECONDS = 300.0
"""Ranks of which none has finished a micro-batch or a file for so long have hung."""


class ContextHost:
    """Implements `Host` where the loop runs in the stage's own process."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.start, self.advance = context.progress.start, context.progress.advance
        self.note, self.record = context.progress.note, context.telemetry.record
        self.should_stop = context.should_stop
        self.publish = context.checkpoints.publish

    def alive(self) -> None:
        """Nobody watches but the person."""


class RankProcess(Protocol):
    """A started rank."""

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""

    def kill(self) -> None:
        """End it at once and wait for it; nothing happens where it ended before."""


Starter = Callable[[Path, int, Mapping[str, str]], RankProcess]
"""(rendezvous directory, rank, additions to the environment) → the started rank."""


class PythonProcess:
    """Implements `RankProcess` as an interpreter of its own, whose standard input closes when this process ends."""

    def __init__(self, rendezvous: Path, rank: int, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "kubetune.training.rank", str(rendezvous), str(rank)]
        with (rendezvous / f"stderr-{rank}").open("wb") as stderr:
            self._process = subprocess.Popen(
                command, env=child_environment(environment), stdin=subprocess.PIPE, stderr=stderr
            )
        self.poll = self._process.poll

    def kill(self) -> None:
        """See `RankProcess.kill`."""
        self._process.kill()
        self._process.communicate()


def launch(
    job: Job,
    context: Context,
    heartbeat_timeout_seconds: float = HEARTBEAT_TIMEOUT_SECONDS,
    start: Starter = PythonProcess,
) -> TrainingOutcome:
    """Run the loop with as many ranks as the job says.

    Args:
        job: What to train.
        context: Of the stage.
        heartbeat_timeout_seconds: After which a rank without a heartbeat has hung.
        start: How a rank is started.

    Raises:
        KubetuneError: What the loop raised.
        TemporaryError: A rank was killed or hung; all were stopped and the last checkpoint stands.
    """
    if job.ranks == 1:
        from kubetune.training.loop import train

        return train(job, ContextHost(context))
    rendezvous = context.scratch / "ranks"
    rendezvous.mkdir()
    (rendezvous / "job.json").write_text(job.to_json(), encoding="utf-8")
    ranks: list[RankProcess] = []
    try:
        for rank in range(job.ranks):
            ranks.append(start(rendezvous, rank, _environment(rank, job)))  # noqa: PERF401 - those started must be ended
        _supervise(ranks, rendezvous, ContextHost(context), heartbeat_timeout_seconds)
    finally:
        for process in ranks:
            process.kill()
    result = json.loads((rendezvous / "result.json").read_text(encoding="utf-8"))
    return TrainingOutcome(metrics=result["metrics"], facts=result["facts"])


def _environment(rank: int, job: Job) -> dict[str, str]:
    """What accelerate reads its world from. The rendezvous itself is a file: there is no port to collide on."""
    values = {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(job.ranks),
        "LOCAL_WORLD_SIZE": str(job.ranks),
        "MASTER_ADDR": "127.0.0.1",
        "OMP_NUM_THREADS": str(job.threads),
        "TOKENIZERS_PARALLELISM": "false",
    }
    return values | ({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {})


def _supervise(ranks: list[RankProcess], rendezvous: Path, host: ContextHost, heartbeat_timeout_seconds: float) -> None:
    """Pass on what rank 0 says, pass on the request to stop, and end with the first rank that ends badly."""
    tail = _Tail(rendezvous / "events.jsonl")
    awake = time.time()
    while True:
        codes = [process.poll() for process in ranks]
        for event in tail.read():
            _pass_on(event, rendezvous, host)
            if event["kind"] == "publish":  # an upload is our own silence, not the ranks'
                awake = time.time()
        if host.should_stop():
            (rendezvous / "stop").touch()
        if any(codes) or all(code is not None for code in codes):
            _raise_worst(codes, rendezvous)
            return
        _check_alive(rendezvous, len(ranks), awake, heartbeat_timeout_seconds)
        time.sleep(POLL_SECONDS)


def _check_alive(rendezvous: Path, ranks: int, awake: float, heartbeat_timeout_seconds: float) -> None:
    """Raise if no rank gave a sign of life for too long since `awake` (seconds since the epoch); name the first one.

    A rank without a heartbeat beside others with one does not hang: it waits for one that has more to do or writes, or
    it has ended. One that hangs stops all others at the next step, where they agree.
    """
    marks = [rendezvous / f"alive-{rank}" for rank in range(ranks)]
    seen = [mark.stat().st_mtime if mark.exists() else 0.0 for mark in marks]
    elapsed = time.time() - max(awake, *seen)
    if elapsed > heartbeat_timeout_seconds:
        raise TemporaryError(
            f"Rank {seen.index(min(seen))} sent no heartbeat for {elapsed:.0f} s; all were stopped, the "
            "last checkpoint stands: run the same command again."
        )


def _pass_on(event: dict[str, Any], rendezvous: Path, host: ContextHost) -> None:
    kind = event["kind"]
    if kind == "start":
        host.start(event["what"], event["total"])
    elif kind == "advance":
        host.advance(event["by"], **event["facts"])
    elif kind == "note":
        host.note(event["line"])
    elif kind == "record":
        host.record(event["event"], **event["values"])
    else:
        folder = Path(event["folder"])
        host.publish(folder)
        (rendezvous / f"taken-{folder.name}").touch()


def _raise_worst(codes: list[int | None], rendezvous: Path) -> None:
    """Raise what a rank reported; a rank that left no report was killed or has a bug."""
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline and any(codes) and not list(rendezvous.glob("error-*.json")):
        time.sleep(POLL_SECONDS)
    for rank in range(len(codes)):
        report = rendezvous / f"error-{rank}.json"
        if report.exists():
            values = json.loads(report.read_text(encoding="utf-8"))
            raise _rebuilt(values["kind"], values["message"])
    for rank, code in enumerate(codes):
        if code in KILLED:
            raise TemporaryError(
                f"Rank {rank} was ended by {signal.Signals(-code).name}; all ranks were stopped, the last checkpoint "
                "stands: run again, and if memory was the reason lower training.micro_batch."
            )
    if any(codes):
        rank = next(number for number, code in enumerate(codes) if code)
        log = rendezvous / f"stderr-{rank}"
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
        raise KubetuneError(f"Rank {rank} ended with {codes[rank]}: {lines[-1][:300] if lines else 'without a word'}")


def _rebuilt(kind: str, message: str) -> KubetuneError:
    """Return the error of another process by its class name."""
    found = getattr(errors, kind, KubetuneError)
    if issubclass(found, DataError):
        text, _, rule = message.rpartition(" [rule: ")
        return DataError(rule.removesuffix("]"), text)
    if issubclass(found, errors.CorruptArtifactError):
        return errors.CorruptArtifactError("", message)
    rebuilt: KubetuneError = found(message)
    return rebuilt


class _Tail:
    """Complete lines that were appended to a file since the last read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._position)
            block = file.read()
        whole = block[: block.rfind(b"\n") + 1]
        self._position += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
