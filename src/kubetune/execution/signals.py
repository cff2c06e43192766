"""SIGTERM and Ctrl-C become a flag that a resumable stage reads at its next safe point."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kubetune.errors import InterruptedRunError


class StopRequest:
    """Whether somebody asked this process to stop."""

    def __init__(self) -> None:
        self.signal: str | None = None
        self.raises = False

    def __call__(self) -> bool:
        """True once a signal has come."""
        return self.signal is not None

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Note the signal; a second one changes nothing."""
        first = self.signal is None
        self.signal = self.signal or signal.Signals(number).name
        if first and self.raises:
            raise InterruptedRunError(f"Stopped by {self.signal} before a result was committed: run the command again.")


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Catch SIGTERM and SIGINT for the length of a block; former handlers return afterwards."""
    request = StopRequest()
    former = {number: signal.signal(number, request.handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
