"""An endpoint as a background TorchServe on this machine behind a front that keeps its address.

<state_dir>/<endpoint>/record.json     what serves: archive digest, address, processes
                      /front.json, front.log   what the front says
                      /archives/<digest>   copies of the archive now served and of the one before
                      /archives/<digest>.intoto.json   its statement, where one is asked for
                      /server-…        configuration and log of a running process
"""

import contextlib
import fcntl
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from kubetune.errors import ConfigError, KubetuneError, NotReadyError, TemporaryError
from kubetune.provenance.trust import Trust, revocations_file, statement_file
from kubetune.serving.archive.manifest import archive_digest, read_archive
from kubetune.serving.local import front, processes
from kubetune.serving.local.record import FrontProcess, Record, read_record
from kubetune.serving.target import Observed
from kubetune.serving.torchserve import server
from kubetune.serving.torchserve.config import Listening, free_ports
from kubetune.serving.torchserve.server import TorchServeProcess

PORT_TRIES = 3
PORT_TAKEN = "Address already in use"
LEAVE_S = 60.0
"""Seconds that requests of the former server have to end, beyond the model's own response timeout."""


class _PortTakenError(NotReadyError):
    """Another process took a port between its choice and its use."""


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
            wrong = server.server_problems(record.server, self.archive(record.digest)) or front.front_problems(record)
        except KubetuneError as error:
            wrong = [str(error)]
        if self.port not in (None, record.port):
            wrong.append(f"it listens on port {record.port}, not on {self.port}")
        return Observed(record.digest, tuple(wrong), record.facts)

    def apply(self, archive: Path, timeout_s: float, should_stop: Callable[[], bool]) -> None:
        """See `Target.apply`; new requests meet the archive once it is ready, those under way end with the former."""
        source = self._keep(archive)
        former = self.record()
        self._end_strays(former)
        with self._address(former) as address:
            started = self._start(source, timeout_s, should_stop)
            try:
                switched = self._switch(former, started, address, should_stop)
            except BaseException:
                self._switch_back(former, started)
                raise
        if former is not None:
            self._leave(former, switched)
        self._tidy({started.digest, former.digest if former else started.digest}, Path(started.folder))

    def rollback(self, timeout_s: float) -> None:
        """See `Target.rollback`; it keeps the former port."""
        self.port = None  # it was asked for by what is taken back
        former = self.record()
        if former is None or former.server is None:
            return
        if processes.alive(former.server.process) and self._front(former) is not None:
            return
        self._end_strays(former)
        with self._address(former) as address:
            started = former.server
            if not processes.alive(started.process):
                started = self._start(self.archive(former.digest), timeout_s, lambda: False)
            self._switch(former, started, address, lambda: False)
        self._tidy({former.digest}, Path(started.folder))

    def stop(self) -> None:
        """End front and server; record and archive stay, so that `deploy` can start it again."""
        record = self.record()
        if record is not None and record.server is not None:
            replace(record, server=None, since=now(), front=None, last_port=record.port).write(self.folder)
            if record.front is not None:
                processes.terminate(record.front.process)
            server.stop_server(record.server)

    def archive(self, digest: str) -> Path:
        """Return where the copy of an archive lies."""
        return self.folder / "archives" / digest

    def _front(self, record: Record | None) -> FrontProcess | None:
        """Return the front that stays: it lives, at the port that is wanted."""
        if record is None or record.front is None or self.port not in (None, record.front.port):
            return None
        return record.front if processes.alive(record.front.process) else None

    @contextmanager
    def _address(self, former: Record | None) -> Iterator[socket.socket | None]:
        """Hold the endpoint's port before anything starts; an endpoint keeps its address if it can.

        None: the front that is there has it, or a server of an older version, which goes when the new one is ready.
        """
        if self._front(former) is not None or (former is not None and former.listens_itself):
            yield None
            return
        with front.listen_for_front(self.port, former.port if former else None) as listening:
            yield listening

    def _switch(
        self,
        former: Record | None,
        started: TorchServeProcess,
        address: socket.socket | None,
        should_stop: Callable[[], bool],
    ) -> Record:
        """Let new requests meet a server; returns what is recorded now."""
        keeps = self._front(former)
        if keeps is None and address is None and former is not None and former.server is not None:
            server.stop_server(former.server)
            with front.listen_for_front(self.port, former.port) as listening:
                return self._switch(replace(former, server=None), started, listening, should_stop)
        if keeps is None and address is not None:
            keeps = front.start_front(self.folder, address)
        if keeps is None:
            raise NotReadyError(f"The front of {self.name} ended while the model started: deploy it again.")
        record = Record(self.name, started.digest, started, now(), keeps)
        record.write(self.folder)
        front.wait_switched(self.folder, keeps, started.folder, should_stop)
        return record

    def _switch_back(self, former: Record | None, started: TorchServeProcess) -> None:
        """Take a switch back that did not come to its end; what served before has not gone yet."""
        if former is None:
            (self.folder / "record.json").unlink(missing_ok=True)
        else:
            former.write(self.folder)
            keeps = self._front(former)
            if keeps is not None and former.server is not None:
                with contextlib.suppress(KubetuneError):
                    front.wait_switched(self.folder, keeps, former.server.folder, lambda: False)
        self._end_fronts(former)
        server.stop_server(started)

    def _leave(self, former: Record, switched: Record) -> None:
        """End what served before, once none of its requests is under way."""
        seconds = LEAVE_S + read_archive(self.archive(switched.digest), verify=False).serving.response_timeout_s
        if former.front is not None and former.front != switched.front:
            processes.terminate(former.front.process, seconds)  # it finishes its requests
        if former.server is not None:
            if switched.front is not None:
                front.wait_left(self.folder, switched.front, former.server.folder, seconds)
            server.stop_server(former.server)

    def _start(self, source: Path, timeout_s: float, should_stop: Callable[[], bool]) -> TorchServeProcess:
        """Start and wait. Java binds its ports seconds after they were found free: who lost one to another tries again.

        A server that does not become ready, or an interruption, leaves no process behind.
        """
        for _ in range(PORT_TRIES - 1):
            with contextlib.suppress(_PortTakenError):
                return self._start_once(source, timeout_s, should_stop)
        return self._start_once(source, timeout_s, should_stop)

    def _start_once(self, source: Path, timeout_s: float, should_stop: Callable[[], bool]) -> TorchServeProcess:
        folder, (port,) = self.folder / f"server-{secrets.token_hex(4)}", free_ports(1)
        started = server.start_server(self.name, source, folder, Listening(port, self.hosts), self.trust)
        try:
            server.wait_ready(started, source, timeout_s, should_stop)
        except NotReadyError as error:
            kept = Path(shutil.copyfile(started.log, self.folder / "failed.log"))
            server.stop_server(started)
            lost = PORT_TAKEN in kept.read_text(encoding="utf-8", errors="replace")
            raise (_PortTakenError if lost else NotReadyError)(f"{error} Its log is kept as {kept}.") from error
        except BaseException:
            server.stop_server(started)
            raise
        return started

    def _end_strays(self, former: Record | None) -> None:
        """End what a deployment started and was killed before it could record it: it holds ports and memory."""
        known = former.server.folder if former is not None and former.server is not None else ""
        for folder in self.folder.glob("server-*"):
            if (
                str(folder.resolve()) != known
                and (stray := processes.with_mark(server.server_mark(folder))) is not None
            ):
                processes.terminate(stray)
        self._end_fronts(former)

    def _end_fronts(self, former: Record | None) -> None:
        """End fronts of this endpoint that the record does not name."""
        known = former.front.process if former is not None and former.front is not None else None
        while (stray := processes.with_mark(front.front_mark(self.folder), known)) is not None:
            processes.terminate(stray)

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


def now() -> str:
    """Return the time as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
