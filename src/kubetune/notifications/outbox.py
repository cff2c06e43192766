"""Notices that are still to be sent: a folder that outlives a kill. A notice is in it before it is delivered.

    todo/<key>.json   a notice and which sinks took it; created whole, removed when all did
    done              keys of notices that were sent, one a line, the newest last
    sending           held (flock) by the one process that sends

A kill between a sink's answer and the note of it sends that notice once more: at least once, with a key in its text.
"""

import fcntl
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Protocol

from kubetune.notifications.events import Notice, of

log = logging.getLogger(__name__)
MOST, MOST_BYTES = 200, 1 << 20
"""Notices and bytes that wait at most; beyond it the oldest is dropped."""
KEEP_S = 7 * 24 * 3600.0
"""Seconds after which a notice is dropped that no sink took."""
DONE = 4096
"""Keys that are remembered; the file holds up to twice as many."""
FIRST_S, LONGEST_S = 30.0, 3600.0
"""Pause after a sink's first failure, doubled with each further one."""
POLL_S = 0.05
Filed = Literal["filed", "known", "unkept"]
"""Waits now; waits or was sent before; cannot be written."""


class Sink(Protocol):
    """A channel that notifications are delivered to."""

    @property
    def name(self) -> str:
        """For logs; holds no secret."""

    @property
    def identity(self) -> str:
        """Tells where it leads, so that a notice remembers who took it; holds no secret."""

    def send(self, notice: Notice) -> None:
        """Deliver inside the sink's own time limit; any exception means that it was not taken."""


class Outbox:
    """The folder, and the sending of what lies in it. No method raises for a full disk, a dead sink or garbage."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Use a folder, made when the first notice is filed; `clock` gives seconds since the epoch."""
        self.folder, self._clock = folder, clock
        self._todo, self._done = folder / "todo", folder / "done"

    def file(self, notice: Notice) -> Filed:
        """Put a notice in, whole, or leave it alone where it was sent or waits already."""
        try:
            self._todo.mkdir(parents=True, exist_ok=True, mode=0o700)
            record = {"filed": self._clock(), "tries": 0, "not_before": 0.0, "taken": [], "notice": notice.plain()}
            target = self._todo / f"{notice.key}.json"
            if notice.key in self.done() or not self._create(target, record):
                return "known"
            if notice.key in self.done():  # sent by another process between the two looks
                target.unlink(missing_ok=True)
                return "known"
            self._bound()
        except OSError as error:
            log.warning("a notice could not be kept (%s)", error.strerror or type(error).__name__)
            return "unkept"
        return "filed"

    def tell(self, notice: Notice, sinks: Sequence[Sink], seconds: float) -> None:
        """File a notice and send what waits; where nothing can be kept, each sink gets it without a second try."""
        if self.file(notice) != "unkept":
            self.deliver(sinks, seconds)
            return
        for sink in sinks:
            _taken(sink, notice)

    def deliver(self, sinks: Sequence[Sink], seconds: float) -> int:
        """Send what is due to all who have not taken it yet.

        Args:
            sinks: Where to deliver.
            seconds: Nothing new is begun after that; a send that was begun takes its sink's own limit at most.

        Returns:
            How many notices everybody has taken now.
        """
        end, sent, dead = time.monotonic() + seconds, 0, set[str]()
        try:
            with self._alone(end) as mine:
                for path in self._waiting() if mine else ():
                    if time.monotonic() < end and len(dead) < len(sinks):
                        sent += self._send(path, sinks, dead, end)
        except OSError as error:
            log.warning("notices could not be sent (%s)", error.strerror or type(error).__name__)
        return sent

    def done(self) -> set[str]:
        """Return the keys of the newest notices that were sent."""
        try:
            return set(self._done.read_text(encoding="ascii", errors="replace").split()[-DONE:])
        except FileNotFoundError:
            return set()

    def _send(self, path: Path, sinks: Sequence[Sink], dead: set[str], end: float) -> bool:
        record = self._read(path)
        if record is None:
            return False
        key, now = record["notice"].key, self._clock()
        if key in self.done():
            path.unlink(missing_ok=True)
            return False
        if now - record["filed"] > KEEP_S:
            log.warning("notice %s was dropped: nobody took it for a week", key[:12])
            path.unlink(missing_ok=True)
            return False
        if record["not_before"] > now:
            return False
        missing = [sink for sink in sinks if sink.identity not in record["taken"]]
        failed = 0
        for sink in missing:
            if sink.identity in dead or time.monotonic() >= end:
                continue  # not tried: no failure of this notice
            if _taken(sink, record["notice"]):
                record["taken"].append(sink.identity)
                self._replace(path, record)
            else:
                dead.add(sink.identity)
                failed += 1
        if {sink.identity for sink in sinks} <= set(record["taken"]):
            self._remember(key)
            path.unlink(missing_ok=True)
            return True
        if failed:
            pause = min(FIRST_S * 2 ** min(record["tries"], 20), LONGEST_S)
            record |= {"tries": record["tries"] + 1, "not_before": now + pause}
            self._replace(path, record)
        return False

    def _read(self, path: Path) -> dict[str, Any] | None:
        """Return a record with its notice built; garbage is removed, since no later look would read it either."""
        try:
            record = json.loads(path.read_bytes())
            found = {
                "filed": float(record["filed"]),
                "tries": int(record["tries"]),
                "not_before": float(record["not_before"]),
                "taken": [str(item) for item in record["taken"]],
                "notice": of(record["notice"]),
            }
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            log.warning("a notice that cannot be read was dropped: %s", path.name)
            path.unlink(missing_ok=True)
            return None
        return found

    def _waiting(self) -> list[Path]:
        """Return what lies in the box, oldest first; what a killed writer left half-written is removed when old."""
        found = []
        for path in self._todo.iterdir() if self._todo.is_dir() else ():
            with suppress(FileNotFoundError):
                changed = path.stat().st_mtime
                if path.suffix == ".json":
                    found.append((self._filed(path), path))
                elif changed < time.time() - 3600:
                    path.unlink()
        return [path for _, path in sorted(found)]

    @staticmethod
    def _filed(path: Path) -> float:
        try:
            return float(json.loads(path.read_bytes())["filed"])
        except (KeyError, TypeError, ValueError, RecursionError):
            return 0.0

    def _bound(self) -> None:
        waiting = self._waiting()
        sizes = {path: path.stat().st_size if path.exists() else 0 for path in waiting}
        total = sum(sizes.values())
        while waiting and (len(waiting) > MOST or total > MOST_BYTES):
            oldest = waiting.pop(0)
            total -= sizes[oldest]
            oldest.unlink(missing_ok=True)
            log.warning("notice %s was dropped: more than %s wait to be sent", oldest.stem[:12], MOST)

    def _create(self, target: Path, record: dict[str, Any]) -> bool:
        """Create a file whole, or leave the one that lies there: it knows who took it already."""
        draft = self._draft(target, record)
        try:
            os.link(draft, target)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(target.parent)
        return True

    def _replace(self, target: Path, record: dict[str, Any]) -> None:
        self._draft(target, record).replace(target)

    def _draft(self, target: Path, record: dict[str, Any]) -> Path:
        notice = record["notice"]
        plain = {**record, "notice": notice.plain() if isinstance(notice, Notice) else notice}
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix="draft-", delete=False) as file:
            file.write(json.dumps(plain).encode())
            file.flush()
            os.fsync(file.fileno())
        return Path(file.name)

    def _remember(self, key: str) -> None:
        """Note a key as sent. Called by the one sender only."""
        with self._done.open("a", encoding="ascii") as file:
            file.write(f"\n{key}\n")  # a line that a kill cut off must not swallow this one
            file.flush()
            os.fsync(file.fileno())
        keys = self._done.read_text(encoding="ascii", errors="replace").split()
        if len(keys) > 2 * DONE:
            draft = self.folder / "draft-done"
            draft.write_text("\n".join(keys[-DONE:]) + "\n", encoding="ascii")
            draft.replace(self._done)

    @contextmanager
    def _alone(self, end: float) -> Iterator[bool]:
        """Wait until `end` (monotonic seconds) to be the one that sends; yields whether it is us."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "sending").open("w", encoding="ascii") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= end:
                        yield False
                        return
                    time.sleep(POLL_S)
            yield True


def _taken(sink: Sink, notice: Notice) -> bool:
    try:
        sink.send(notice)
    except Exception as error:
        # Only the kind: a library's message may hold the address, and the address is the secret.
        log.warning("a notice was not taken by %s (%s); it is tried again later", sink.name, type(error).__name__)
        return False
    return True


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
