"""TorchServe's log as part of the container's own."""

import sys
from pathlib import Path

MOST_LOG = 8 << 20


class LogTail:
    """Copies what TorchServe writes to standard error, and keeps the file small."""

    def __init__(self, path: Path, *, skip: bool = False) -> None:
        self.path = path
        self._offset = path.stat().st_size if skip and path.exists() else 0

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
            sys.stderr.buffer.write(new)
            sys.stderr.buffer.flush()
