"""TorchServe's log as part of the container's own, and what it says of workers that died."""

import sys
from pathlib import Path

MOST_LOG = 8 << 20
DEATH = b" Retry worker: "
"""In the one line that TorchServe writes for each worker that died, whether it was killed, crashed or never loaded."""


class LogTail:
    """Copies what TorchServe writes to standard error, and keeps the file small.

    Attributes:
        deaths: Workers that died, by what was copied so far.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.deaths = path, 0
        self._offset, self._rest = 0, b""

    def pump(self) -> None:
        """Copy what is new."""
        try:
            with self.path.open("rb+") as file:
                file.seek(self._offset)
                new = file.read()
                self._offset += len(new)
                if self._offset > MOST_LOG:  # java appends, so it goes on at the new end
                    file.truncate(0)
                    self._offset = 0
        except OSError:
            return
        if new:
            *lines, self._rest = (self._rest + new).split(b"\n")
            self.deaths += sum(DEATH in line for line in lines)
            sys.stderr.buffer.write(new)
            sys.stderr.buffer.flush()
