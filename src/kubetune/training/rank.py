"""One rank in a process of its own: `python -m kubetune.training.rank RENDEZVOUS RANK`.

The rendezvous directory is a local folder through which rank and stage talk: `job.json` in; `events.jsonl` (rank 0),
`alive-<rank>`, `error-<rank>.json` and `result.json` out; `stop` and `taken-<checkpoint>` from the stage. A rank knows
no store.
"""

import json
import os
import signal
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from kubetune.errors import KubetuneError
from kubetune.training.job import Job

POLL_SECONDS = 0.02
COLLECTIVE = timedelta(days=7)
"""How long ranks wait for each other: the stage finds one that hangs, and a slow upload or validation is none."""


class RendezvousHost:
    """Implements `Host` over files; only rank 0 speaks."""

    def __init__(self, rendezvous: Path, rank: int) -> None:
        self.rendezvous = rendezvous
        self.rank = rank
        self._events = (rendezvous / "events.jsonl").open("a", encoding="utf-8") if rank == 0 else None
        self.alive()

    def alive(self) -> None:
        """See `Host.alive`."""
        (self.rendezvous / f"alive-{self.rank}").touch()

    def should_stop(self) -> bool:
        """See `Host.should_stop`."""
        return (self.rendezvous / "stop").exists()

    def start(self, what: str, total: int | None = None) -> None:
        """See `Host.start`."""
        self._say("start", what=what, total=total)

    def advance(self, by: int = 1, **facts: float | str) -> None:
        """See `Host.advance`."""
        self._say("advance", by=by, facts=facts)

    def note(self, line: str) -> None:
        """See `Host.note`."""
        self._say("note", line=line)

    def record(self, event: str, **values: Any) -> None:
        """See `Host.record`."""
        self._say("record", event=event, values=values)

    def publish(self, folder: Path) -> None:
        """Name the folder to the stage and wait until it took it."""
        self._say("publish", folder=str(folder))
        while not (self.rendezvous / f"taken-{folder.name}").exists():
            self.alive()
            time.sleep(POLL_SECONDS)

    def _say(self, kind: str, **values: Any) -> None:
        if self._events is not None:
            self._events.write(json.dumps({"kind": kind, **values}) + "\n")
            self._events.flush()


def main(rendezvous: Path, rank: int) -> int:
    """Run the loop as one rank of the job in the rendezvous directory; return the exit code."""
    # The stage alone is told to stop, and says so by a file: ranks must agree on the step they stop after.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    host = RendezvousHost(rendezvous, rank)
    try:
        import torch.distributed

        from kubetune.training.loop import train

        job = Job.from_json((rendezvous / "job.json").read_text(encoding="utf-8"))
        if job.device == "cuda":
            torch.cuda.set_device(rank)
        torch.distributed.init_process_group(
            backend="nccl" if job.device == "cuda" else "gloo",
            init_method=f"file://{rendezvous / 'torch-store'}",
            rank=rank,
            world_size=job.ranks,
            timeout=COLLECTIVE,
        )
        outcome = train(job, host)
        if rank == 0:
            _write(rendezvous / "result.json", {"metrics": dict(outcome.metrics), "facts": dict(outcome.facts)})
        torch.distributed.destroy_process_group()
    except KubetuneError as error:
        _write(rendezvous / f"error-{rank}.json", {"kind": type(error).__name__, "message": str(error)})
        return error.exit_code
    return 0


def _leave_with_parent() -> None:
    """End this process when the stage is gone: its end of our standard input closes with it."""
    while os.read(0, 1):  # unbuffered: a lock held here would abort the interpreter's own end
        pass
    os._exit(75)


def _write(path: Path, values: dict[str, Any]) -> None:
    """Make a file visible only once it is whole."""
    staging = path.with_suffix(".partial")
    staging.write_text(json.dumps(values), encoding="utf-8")
    staging.rename(path)


if __name__ == "__main__":
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
