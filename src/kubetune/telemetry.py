"""What is true of one execution: a JSON lines file beside the run, never digested."""

import json
import time
from pathlib import Path
from typing import Any


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
