"""Lines for the log about who was turned away: each with its sender, none with a key, and never a flood of them."""

import logging
import re
import time
from collections.abc import Callable

from aiohttp import web

log = logging.getLogger(__name__)
MOST, WINDOW_S = 10, 10.0
"""At most so many lines in so many seconds; the next one after them says how many were left out."""
FORWARDED = re.compile(r"[0-9A-Fa-f.:, ]{1,120}")


class Audit:
    """Writes what a key, or its absence, was refused for.

    Attributes:
        refused: Requests that were refused so far, with a line or without.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.refused, self._clock = 0, clock
        self._began, self._lines, self._left_out = float("-inf"), 0, 0

    def note(self, reason: str, request: web.BaseRequest, request_id: str) -> None:
        """Count one refusal and write its line, unless there were too many just now."""
        self.refused += 1
        now = self._clock()
        if now - self._began >= WINDOW_S:
            self._began, self._lines = now, 0
        if self._lines >= MOST:
            self._left_out += 1
            return
        self._lines += 1
        more = f"; {self._left_out} more refusals before it have no line" if self._left_out else ""
        self._left_out = 0
        log.warning("refused a request from %s: %s (request %s)%s", sender(request), reason, request_id, more)


def sender(request: web.BaseRequest) -> str:
    """Return the address that a request came from, and the one that a proxy says it forwarded it for."""
    shown = request.remote or "an unknown address"
    forwarded = request.headers.get("X-Forwarded-For", "")
    # Whoever sends the header may write anything into it, so it is shown beside the address and only as addresses.
    return f"{shown} (forwarded for {forwarded.strip()})" if FORWARDED.fullmatch(forwarded) else shown
