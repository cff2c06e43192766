"""An endpoint as a background TorchServe on this machine, with a record by which it is found again.

<state_dir>/<endpoint>/record.json     what serves: archive digest, address, process
                      /archives/<digest>   copies of the archive now served and of the one before
                      /archives/<digest>.intoto.json   its statement, where one is asked for
                      /server-…        configuration and log of a running process
"""

import contextlib
import fcntl
import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubetune.errors import ConfigError, KubetuneError, NotReadyError, TemporaryError
from kubetune.provenance.trust import Trust, revocations_file, statement_file
from kubetune.serving import processes, server
from kubetune.serving.archive import archive_digest, read_archive
from kubetune.serving.server import Server
from kubetune.serving.target import Observed
from kubetune.serving.torchserve_config import Listening, port_free

FORMAT = 1
PORT_RELEASE_S = 5.0
PORT_TRIES = 3
PORT_TAKEN = "Address already in use"


class _PortTakenError(NotReadyError):
    """Another process took a port between its choice and its use."""


@dataclass(frozen=True)
class Record:
    """What is known of an endpoint.

    Attributes:
        name: Endpoint name.
        digest: Archive that it serves or last served.
        server: The process; None: it was stopped on purpose.
        since: When that was written, ISO 8601 in UTC.
    """

    name: str
    digest: str
    server: Server | None
    since: str


class LocalTarget:
    """Implements `Target`. Nothing is taken from the former archive before the new one has answered."""

    def __init__(
        self,
        state_dir: Path,
        name: str,
        port: int | None = None,
        trust: Trust | None = None,
        hosts: tuple[str, ...] = (),
    ) -> None:
        """Describe the endpoint; touches nothing.

        Args:
            state_dir: Folder that holds all endpoints of this machine.
            name: Endpoint name.
            port: Loopback port; None: the former one, else the first free one from 8080 on.
            trust: What makes an archive fit to be served; None: anything is.
            hosts: Names besides loopback under which it may be asked.

        Raises:
            ConfigError: TorchServe's management paths treat names that start with `token` specially.
        """
        if name.startswith("token"):
            raise ConfigError(
                f"Endpoint name {name!r:.60} starts with `token`, which TorchServe refuses: choose another."
            )
        self.folder = state_dir / name
        self.name, self.port, self.trust, self.hosts = name, port, trust, hosts

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """See `Target.exclusive`; the lock ends with the process that holds it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TemporaryError(
                    f"Endpoint {self.name} is being changed by another command: try again later."
                ) from None
            yield

    def record(self) -> Record | None:
        """Return what is recorded, or None where nothing was ever deployed."""
        return read_record(self.folder)

    def observe(self) -> Observed:
        """See `Target.observe`."""
        record = self.record()
        if record is None:
            return Observed(None, ("nothing was deployed yet",), {})
        if record.server is None:
            return Observed(record.digest, ("it was stopped",), {})
        try:
            if self.trust is not None:
                self.trust.require(self.folder / "archives", record.digest)
            wrong = server.problems(record.server, self.archive(record.digest))
        except KubetuneError as error:
            wrong = [str(error)]
        if self.port not in (None, record.server.port):
            wrong.append(f"it listens on port {record.server.port}, not on {self.port}")
        return Observed(record.digest, tuple(wrong), facts(record.server))

    def apply(self, archive: Path, timeout_s: float, should_stop: Callable[[], bool]) -> None:
        """See `Target.apply`."""
        source = self._keep(archive)
        former = self._running()
        self._end_strays(former)
        port = self._port(former)
        if former is not None and port == former.port:
            rehearsal = self._start(source, None, timeout_s, should_stop)
            server.stop(former)
            server.stop(rehearsal)
            former = None
        started = self._start(source, port, timeout_s, should_stop)
        previous = self.record()
        self._write(started.digest, started)
        if former is not None:
            server.stop(former)
        self._tidy({started.digest, previous.digest if previous else started.digest}, Path(started.folder))

    def rollback(self, timeout_s: float) -> None:
        """See `Target.rollback`."""
        record = self.record()
        if record is None or record.server is None or processes.alive(record.server.process):
            return
        started = self._start(self.archive(record.digest), record.server.port, timeout_s, lambda: False)
        self._write(record.digest, started)
        self._tidy({record.digest}, Path(started.folder))

    def stop(self) -> None:
        """End the server; its record and archive stay, so that `deploy` can start it again."""
        record = self.record()
        if record is not None and record.server is not None:
            server.stop(record.server)
            self._write(record.digest, None)

    def archive(self, digest: str) -> Path:
        """Return where the copy of an archive lies."""
        return self.folder / "archives" / digest

    def _running(self) -> Server | None:
        record = self.record()
        if record is None or record.server is None or not processes.alive(record.server.process):
            return None
        return record.server

    def _port(self, former: Server | None) -> int | None:
        """An endpoint keeps its address if it can."""
        if self.port is not None or former is not None:
            return self.port or (former.port if former else None)
        record = self.record()
        return record.server.port if record is not None and record.server is not None else None

    def _start(self, source: Path, port: int | None, timeout_s: float, should_stop: Callable[[], bool]) -> Server:
        """Start and wait. Java binds its ports seconds after they were found free: who lost one to another tries again.

        A server that does not become ready, or an interruption, leaves no process behind.
        """
        for _ in range(PORT_TRIES - 1):
            with contextlib.suppress(_PortTakenError):
                return self._start_once(source, port, timeout_s, should_stop)
        return self._start_once(source, port, timeout_s, should_stop)

    def _start_once(self, source: Path, port: int | None, timeout_s: float, should_stop: Callable[[], bool]) -> Server:
        record = self.record()
        former = None if record is None or record.server is None else record.server.port
        if port is not None and port == former and not self._released(port) and self.port is None:
            port = None  # somebody took the address while nobody listened, and nobody had asked for this one
        folder = self.folder / f"server-{secrets.token_hex(4)}"
        started = server.start(self.name, source, folder, Listening(port, self.hosts), self.trust)
        try:
            server.wait_ready(started, source, timeout_s, should_stop)
        except NotReadyError as error:
            kept = Path(shutil.copyfile(started.log, self.folder / "failed.log"))
            server.stop(started)
            lost = PORT_TAKEN in kept.read_text(encoding="utf-8", errors="replace")
            raise (_PortTakenError if lost else NotReadyError)(f"{error} Its log is kept as {kept}.") from error
        except BaseException:
            server.stop(started)
            raise
        return started

    def _end_strays(self, former: Server | None) -> None:
        """End servers of this endpoint whose deployment was killed before it could record them: they hold ports."""
        for folder in self.folder.glob("server-*"):
            if former is not None and folder.resolve() == Path(former.folder):
                continue
            if (stray := processes.with_mark(server.mark_of(folder))) is not None:
                processes.terminate(stray)

    def _released(self, port: int) -> bool:
        """Whether a port becomes free in a moment: a process that ended may still hold its sockets."""
        deadline = time.monotonic() + PORT_RELEASE_S
        while not port_free(port):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _keep(self, archive: Path) -> Path:
        """Copy an archive so that it is complete or absent, and outlives the run's scratch folder."""
        read_archive(archive)
        kept = self.archive(archive_digest(archive))
        try:
            read_archive(kept)
            return kept
        except KubetuneError:  # absent, or damaged since
            shutil.rmtree(kept, ignore_errors=True)
        partial = kept.with_name(f".{kept.name[:12]}-{secrets.token_hex(4)}.partial")
        try:
            shutil.copytree(archive, partial)
            partial.rename(kept)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise TemporaryError(f"The archive could not be copied to {kept.parent} ({error.strerror}).") from error
        return kept

    def _tidy(self, digests: set[str], running: Path) -> None:
        """Remove older archives, and what servers that were killed left behind."""
        kept = {*digests, *(statement_file(Path(), digest).name for digest in digests), revocations_file(Path()).name}
        archives = [found for found in (self.folder / "archives").iterdir() if found.name not in kept]
        for file in [found for found in archives if found.is_file()]:
            file.unlink(missing_ok=True)
        for folder in [*archives, *(folder for folder in self.folder.glob("server-*") if folder != running.resolve())]:
            shutil.rmtree(folder, ignore_errors=True)

    def _write(self, digest: str, running: Server | None) -> None:
        """Replace the record in one step."""
        values = {
            "format": FORMAT,
            "name": self.name,
            "digest": digest,
            "server": None if running is None else running.as_json(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        partial = self.folder / f"record.json.{secrets.token_hex(4)}"
        partial.write_text(json.dumps(values, sort_keys=True, indent=2) + "\n", encoding="utf-8")
        partial.replace(self.folder / "record.json")


def read_record(folder: Path) -> Record | None:
    """Read an endpoint's record; None where there is none.

    Raises:
        ConfigError: It cannot be read.
    """
    path = folder / "record.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError("format")
        running = None if values["server"] is None else Server.from_json(values["server"])
        return Record(values["name"], values["digest"], running, values["since"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"The endpoint record {path} cannot be read ({type(error).__name__}): remove it and deploy again."
        ) from error


def facts(running: Server) -> dict[str, Any]:
    """Return what is worth recording of a server."""
    return {"url": running.url, "pid": running.process.pid, "metrics": running.metrics, "log": str(running.log)}
