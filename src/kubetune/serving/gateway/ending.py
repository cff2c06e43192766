"""The end of the gateway's process: asked for by a signal, over by one deadline whatever clients and threads do."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)
STOP_SHARE, MOST_STOP_S = 0.4, 8.0
"""Of the time, for ending TorchServe: it takes 2.5 s without being killed."""
OVERDUE = 70


class Ending:
    """When the process has to be gone.

    Attributes:
        seconds: From the request to end to the end.
        asked: Set once it is asked to end.
    """

    def __init__(self, seconds: float, kill: Callable[[], None]) -> None:
        """Nothing ends yet.

        Args:
            seconds: See the class.
            kill: Kills what the process has started, at once; called from a thread where time is up.
        """
        self.asked = asyncio.Event()
        self.seconds, self._kill = seconds, kill
        self._deadline = float("inf")
        self._watchdog = threading.Timer(seconds, self._overdue)
        self._watchdog.daemon = True

    def listen(self) -> None:
        """Take SIGTERM and Ctrl-C as requests."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.ask)

    def ask(self) -> None:
        """Ask for the end; only the first request sets the deadline."""
        if self._deadline == float("inf"):
            self._deadline = time.monotonic() + self.seconds
            self._watchdog.start()
            self.asked.set()

    def over(self) -> None:
        """All is cleaned up in time."""
        self._watchdog.cancel()

    def left(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self._deadline - time.monotonic())

    def for_requests(self) -> float:
        """Seconds for what is under way: all but those that TorchServe's own end may take."""
        return max(0.0, self.left() - min(MOST_STOP_S, STOP_SHARE * self.seconds))

    def _overdue(self) -> None:
        """Reached where neither requests nor TorchServe ended in their parts of the time: a kill leaves less behind."""
        log.error("the shutdown took more than %g s: what is left of it is killed", self.seconds)
        self._kill()
        os._exit(OVERDUE)


async def until(asked: asyncio.Event, work: "asyncio.Task[None]") -> None:
    """Return when work is done or the end is asked for; work is cancelled then, and a thread of it left alone.

    Raises:
        Exception: Whatever work raised.
    """
    stop = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({stop, work}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
        if not work.done():
            work.cancel()
    if not work.cancelled() and work.done():
        work.result()
