"""What is true of one execution: a JSON lines file beside the run, never digested."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubetune.errors import KubetuneError

EVERY_S = 15.0
SLOWER_EACH_BYTES = 4 << 20
"""A history of so many bytes is sent half as often, one of twice as many a third as often, and so on."""


class TelemetryFile:
    """Appends one JSON object a line to a local file, which the runner uploads when the stage ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._start = time.monotonic()

    def record(self, event: str, **values: Any) -> None:
        """Append an event with the time of day (`at`, seconds since the epoch) and seconds since the start."""
        seconds = round(time.monotonic() - self._start, 3)
        line = {"event": event, "at": round(time.time(), 3), "seconds": seconds, **values}
        self._file.write(json.dumps(line, default=str) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def uploaded(path: Path, put: Callable[[bytes], None]) -> Iterator[None]:
    """Upload a growing file now and then during a block, so that a killed stage leaves its history.

    No failure of an upload reaches the block. After the block none is under way: the last upload is the caller's.

    Args:
        path: JSON lines; whole lines are sent, always all of them.
        put: Stores them.
    """
    over = threading.Event()

    def work() -> None:
        sent = 0
        while not over.wait(EVERY_S * (1 + sent // SLOWER_EACH_BYTES)):
            try:
                whole, _, _ = path.read_bytes().rpartition(b"\n")
                if len(whole) > sent:
                    put(whole + b"\n")
                    sent = len(whole)
            except (KubetuneError, OSError):
                continue  # the store is away: the next one holds this one's lines too

    thread = threading.Thread(target=work, name="kubetune-telemetry", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
