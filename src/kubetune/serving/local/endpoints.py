"""What a person does with endpoints of this machine: list, ask, stop, or serve one archive in the foreground."""

import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetune.errors import ConfigError, InterruptedRunError, NotReadyError
from kubetune.provenance.trust import Trust
from kubetune.serving import client
from kubetune.serving.archive.manifest import read_archive
from kubetune.serving.local import front, processes
from kubetune.serving.local.record import FrontProcess, Record, read_record
from kubetune.serving.local.target import LocalTarget, now
from kubetune.serving.torchserve import server
from kubetune.serving.torchserve.config import Listening, free_ports
from kubetune.serving.torchserve.server import TorchServeProcess

POLL_S = 0.2
NAME = "model"
"""What an archive is called that is served in the foreground."""


@dataclass(frozen=True)
class LocalEndpoint:
    """One line of `kubetune endpoints`.

    Attributes:
        name: Endpoint name.
        state: `serving`, `starting` (no worker is ready), `stopped` (on purpose) or `ended` (its process is gone).
        digest: Archive digest.
        url: Where predictions are asked for; empty when stopped.
        pid: Process number; None when stopped.
        since: When its record was written, ISO 8601.
    """

    name: str
    state: str
    digest: str
    url: str
    pid: int | None
    since: str


def local_endpoints(state_dir: Path) -> list[LocalEndpoint]:
    """Return the endpoints of this machine by name."""
    folders = sorted(path for path in state_dir.iterdir() if path.is_dir()) if state_dir.is_dir() else []
    return [_endpoint(record) for folder in folders if (record := read_record(folder)) is not None]


def predict_locally(
    state_dir: Path,
    where: str,
    items: Sequence[Mapping[str, str]],
    top_k: int | None = None,
    parameters: Mapping[str, Any] = client.NOTHING,
) -> list[Any]:
    """Ask an endpoint, see `client.predict`.

    Args:
        state_dir: Folder that holds all endpoints of this machine.
        where: Name of an endpoint, or an `http://…/predictions/NAME` URL.
        items: `{"text": …}` or `{"text": …, "text_pair": …}` each.
        top_k: Labels an item; None: all of them.
        parameters: Further ones, which the server checks.

    Raises:
        ConfigError: The endpoint does not exist, is stopped, or refused the request.
        TemporaryError: It does not answer.
    """
    if "://" in where:
        return client.predict(where, items, top_k, parameters)
    record = _known(state_dir, where)
    if record.server is None or not processes.alive(record.server.process):
        raise ConfigError(f"Endpoint {where} does not run: deploy its run again to start it.")
    serving = read_archive(LocalTarget(state_dir, where).archive(record.digest), verify=False).serving
    bounds = client.RequestBounds(float(serving.response_timeout_s), serving.max_items)
    return client.predict(record.url, items, top_k, parameters, bounds)


def stop_endpoint(state_dir: Path, name: str) -> None:
    """Stop an endpoint; its archive and record stay.

    Raises:
        ConfigError: The endpoint does not exist.
        TemporaryError: Another command is changing it.
    """
    _known(state_dir, name)
    target = LocalTarget(state_dir, name)
    with target.exclusive():
        target.stop()


def serve_foreground(
    archive: Path,
    listening: Listening,
    ready: Callable[[str], None],
    should_stop: Callable[[], bool],
    timeout_s: float = 180.0,
    trust: Trust | None = None,
) -> None:
    """Serve one archive until `should_stop`, behind the gateway of every endpoint, then leave nothing behind.

    Args:
        archive: A served directory.
        listening: Where it is asked.
        ready: Called once with the URL when the golden vectors were reproduced.
        should_stop: Asked several times a second.
        timeout_s: For becoming ready.
        trust: What makes an archive fit to be served; None: anything is.

    Raises:
        DataError: It has no valid statement, and `trust` asks for one.
        NotReadyError: It did not become ready, or the process ended by itself.
        ConfigError: Port in use, no Java, no archive.
    """
    with (
        tempfile.TemporaryDirectory(prefix="kubetune-serve-") as scratch,
        front.listen_for_front(listening.port, None) as address,
    ):
        (port,) = free_ports(1)
        folder = Path(scratch) / "server"
        running = server.start_server(NAME, archive, folder, Listening(port, listening.hosts), trust)
        record: Record | None = None
        try:
            server.wait_ready(running, archive, timeout_s, should_stop)
            record = _put_before(Path(scratch) / NAME, archive, running, address)
            record.write(Path(scratch) / NAME)
            front.wait_switched(Path(scratch) / NAME, _front_of(record), running.folder, should_stop)
            address.close()  # the front alone takes connections
            ready(record.url)
            while not should_stop():
                _check(record, running, Path(scratch) / NAME)
                time.sleep(POLL_S)
        except (InterruptedRunError, KeyboardInterrupt):
            return
        finally:
            if record is not None:
                processes.terminate(_front_of(record).process)
            server.stop_server(running)


def _put_before(folder: Path, archive: Path, running: TorchServeProcess, address: socket.socket) -> Record:
    """Start the front of a server on a socket that listens; what it reads is linked, as the archive stays."""
    (folder / "archives").mkdir(parents=True)
    (folder / "archives" / running.digest).symlink_to(archive.resolve())
    return Record(NAME, running.digest, running, now(), front.start_front(folder, address))


def _front_of(record: Record) -> FrontProcess:
    if record.front is None:
        raise LookupError("the record names no front")
    return record.front


def _check(record: Record, running: TorchServeProcess, folder: Path) -> None:
    """Refuse to go on without one of both processes."""
    if not processes.alive(running.process):
        raise NotReadyError(f"TorchServe ended by itself: {server.last_words(running.log)}")
    if not processes.alive(_front_of(record).process):
        raise NotReadyError(f"The gateway ended by itself: {server.last_words(folder / front.LOG)}")


def _known(state_dir: Path, name: str) -> Record:
    folder = state_dir / name
    record = read_record(folder) if folder.parent == state_dir else None
    if record is None:
        known = ", ".join(endpoint.name for endpoint in local_endpoints(state_dir)) or "none yet"
        raise ConfigError(f"Endpoint {name!r:.60} does not exist on this machine: known are {known}.")
    return record


def _endpoint(record: Record) -> LocalEndpoint:
    running = record.server
    if running is None:
        return LocalEndpoint(record.name, "stopped", record.digest, "", None, record.since)
    if not processes.alive(running.process) or (record.front and not processes.alive(record.front.process)):
        state = "ended"
    else:
        state = "serving" if server.workers_ready(running) else "starting"
    return LocalEndpoint(record.name, state, record.digest, record.url, running.process.pid, record.since)
