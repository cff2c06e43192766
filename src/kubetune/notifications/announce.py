"""Telling people from a machine without Airflow: filed at once, sent beside the work, never in its way."""

import logging
import threading
import time
from contextlib import suppress
from pathlib import Path

from kubetune.config.settings import Settings, state_folder
from kubetune.errors import InterruptedRunError
from kubetune.notifications.events import Notice
from kubetune.notifications.outbox import Outbox
from kubetune.notifications.sinks import sinks_of

log = logging.getLogger(__name__)
WAIT_S = 10.0
"""Seconds that `wait_until_sent` waits at most: all that an unreachable service can cost a command."""
PASS_S = 60.0
"""Seconds for which one pass over the outbox begins to send."""
LOG_BYTES = 128 << 10
"""Bytes after which the log of what was not delivered begins anew; one former log is kept."""
_passes: list[threading.Thread] = []


class _Log(logging.Handler):
    """Writes what went wrong beside the outbox: on standard error it would stand where a failure's reason belongs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.WARNING)
        self.path = folder / "log"

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        with suppress(OSError):
            if self.path.exists() and self.path.stat().st_size > LOG_BYTES:
                self.path.replace(self.path.with_suffix(".1"))
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {record.getMessage()}\n")


def announce(settings: Settings, notice: Notice) -> None:
    """File a notice and begin to send what waits; returns at once and raises no error of its own.

    Call `wait_until_sent` before the command ends. What is not sent by then goes out with the next command that
    announces; why it was not is in the outbox's `log`.
    """
    try:
        if not sinks_of(settings):
            return
        outbox = outbox_of(settings)
        _log_to(outbox.folder)
        filed = outbox.file(notice)  # before anything is sent: a kill from here on loses nothing
        work = (outbox, settings, notice if filed == "unkept" else None)
        thread = threading.Thread(target=_deliver, args=work, name="kubetune-notices", daemon=True)
        _passes.append(thread)
        thread.start()
    except InterruptedRunError:
        raise  # somebody asked to stop at this very moment, and is heard once only
    except Exception as error:
        log.warning("a notice could not be filed (%s)", type(error).__name__)


def wait_until_sent(seconds: float = WAIT_S) -> None:
    """Wait until what was announced is sent, `seconds` at most. The rest stays in the outbox."""
    end = time.monotonic() + seconds
    while _passes and time.monotonic() < end:
        _passes[0].join(max(0.0, end - time.monotonic()))
        if not _passes[0].is_alive():
            _passes.pop(0)
    _passes.clear()


def outbox_of(settings: Settings) -> Outbox:
    """Return this machine's outbox, in the state folder."""
    return Outbox(state_folder(settings) / "notices")


def _log_to(folder: Path) -> None:
    notices = logging.getLogger("kubetune.notifications")
    notices.handlers = [item for item in notices.handlers if not isinstance(item, _Log)] + [_Log(folder)]


def _deliver(outbox: Outbox, settings: Settings, unkept: Notice | None) -> None:
    try:
        sinks = sinks_of(settings)
        if unkept is not None:
            outbox.tell(unkept, sinks, PASS_S)
        else:
            outbox.deliver(sinks, PASS_S)
    except Exception as error:
        log.warning("notices could not be sent (%s)", type(error).__name__)
