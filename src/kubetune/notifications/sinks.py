"""Channels on a machine without Airflow: addresses of Apprise, which reaches Slack, mail and a hundred others."""

import hashlib
import logging
import threading
from collections.abc import Callable

from kubetune.config.settings import Settings
from kubetune.errors import ConfigError
from kubetune.notifications.events import Notice
from kubetune.notifications.outbox import Sink

log = logging.getLogger(__name__)
SEND_S = 10.0
"""Seconds for one message to one sink, whatever the other side does."""


class AppriseSink:
    """One Apprise address. See `outbox.Sink`."""

    def __init__(self, address: str) -> None:
        """Use an address such as `slack://…`, `mailto://…` or `json://host/path`; it is not looked at before `send`."""
        self._address = address
        self.identity = hashlib.sha256(address.encode()).hexdigest()[:16]
        self.name = f"{address.partition('://')[0][:20]} {self.identity[:6]}"

    def send(self, notice: Notice) -> None:
        """See `outbox.Sink.send`.

        Raises:
            ConfigError: Apprise is not installed, or knows no such address.
            TimeoutError: No answer in `SEND_S` seconds.
            ConnectionError: The other side did not take it.
        """
        try:
            import apprise
        except ImportError:
            raise ConfigError("KUBETUNE_NOTICES needs apprise: install kubetune[notices].") from None
        # It logs addresses, and a warning of its own would stand where the reason of a failure belongs.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        target = apprise.Apprise()
        # Reads a hundred modules at the first call, which is no fault of the other side: outside the limit.
        if not target.add(self._address):
            raise ConfigError("An address in KUBETUNE_NOTICES is none that Apprise knows.")
        kinds = {"failed": apprise.NotifyType.FAILURE, "promoted": apprise.NotifyType.SUCCESS}

        def post() -> None:
            taken = target.notify(
                title=notice.title,
                body=notice.body(),
                notify_type=kinds.get(notice.kind, apprise.NotifyType.INFO),
                body_format=apprise.NotifyFormat.TEXT,  # then Apprise escapes it for what the other side renders
            )
            if not taken:
                raise ConnectionError("not taken")

        within(SEND_S, post)


def sinks_of(settings: Settings) -> tuple[Sink, ...]:
    """Return whom the settings name; nobody while nothing may leave this machine."""
    if settings.notices is None or settings.offline:
        return ()
    return tuple(AppriseSink(address) for address in dict.fromkeys(settings.notices.get_secret_value().split()))


def within(seconds: float, work: Callable[[], None]) -> None:
    """Do something for a stated time at most: libraries limit a silence, not a server that drips.

    Raises:
        TimeoutError: It is not done; the thread is left behind and ends with the process.
        Exception: What the work raised.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="kubetune-notice", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer in {seconds:g} s")
    if raised:
        raise raised[0]
