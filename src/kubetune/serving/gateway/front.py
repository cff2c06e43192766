"""The one address of an endpoint on this machine: a process that keeps its port, whatever server is behind it.

    python -m kubetune.serving.gateway.front FOLDER DESCRIPTOR

It reads the endpoint's record and passes requests to the server named there through the same gateway that stands before
a pod. When the record names another server, new requests go to that one, and those under way end with the one that they
met; what is still open with which server is in `front.json`, so that whoever changes the endpoint knows when the former
server may go.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from kubetune.errors import KubetuneError, NotReadyError
from kubetune.serving import hosts
from kubetune.serving.archive.manifest import read_archive
from kubetune.serving.gateway.app import Gateway, rendered
from kubetune.serving.gateway.backend import RETRY_AFTER, Backend
from kubetune.serving.gateway.http import Listener
from kubetune.serving.gateway.logtail import LogTail
from kubetune.serving.gateway.options import Options
from kubetune.serving.gateway.refusal import HttpRefusal
from kubetune.serving.gateway.routes import wire_of
from kubetune.serving.gateway.supervisor import ServedModel, backend_of, look, new_gateway
from kubetune.serving.golden.vectors import read_golden
from kubetune.serving.local.front import STATE
from kubetune.serving.local.record import Record, read_record
from kubetune.serving.torchserve.server import TorchServeProcess

log = logging.getLogger(__name__)
POLL_S = 0.1
WATCH_S = 1.0
FINISH_S = 30.0
"""Seconds that requests have to end when the front itself is stopped."""


class _NoTail(LogTail):
    """In the place of a log's tail: the log of a server on this machine stays where it is."""

    def pump(self) -> None:
        """Copy nothing."""


@dataclass
class Served:
    """One server with the gateway before it.

    Attributes:
        model: The server and its archive.
        gateway: What answers.
        backend: Its connections to the server.
        names: Host names besides loopback under which it may be asked.
        open: Requests under way.
        watching: Looks at the server every second.
    """

    model: ServedModel
    gateway: Gateway
    backend: Backend
    names: frozenset[str]
    open: int = 0
    watching: asyncio.Task[None] | None = None

    @property
    def key(self) -> str:
        """What recognises the server."""
        return self.model.running.folder


@dataclass
class Front:
    """The front of one endpoint.

    Attributes:
        folder: Of the endpoint.
        current: What new requests meet; None: nothing serves.
        leaving: Servers with requests under way that new ones do not meet any more.
        asked: Set when the front is to end.
    """

    folder: Path
    current: Served | None = None
    leaving: list[Served] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    _written: str = ""
    _stamp: tuple[int, int] | None = None

    async def run(self, listening: socket.socket) -> None:
        """Answer until SIGTERM; requests under way are finished first."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.asked.set)
        listener = Listener(self.handle, Options(self.folder.name, "", self.folder).bounds)
        while self.current is None and not self.asked.is_set():
            await self.look()  # what connects meanwhile waits
        await listener.start_on(listening)
        try:
            while not self.asked.is_set():
                await self.look()
        finally:
            await listener.finish(asyncio.get_running_loop().time() + FINISH_S)
            for served in [*self.leaving, *([self.current] if self.current else [])]:
                await close(served)

    async def look(self) -> None:
        """Look at the record once, and wait a moment."""
        await self.follow()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.asked.wait(), POLL_S)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request by the server that it meets, to its end."""
        served = self.current
        if not hosts.allowed(request.headers.get("Host", ""), served.names if served else ()):
            reason = "this server is asked as localhost or 127.0.0.1; KUBETUNE_SERVE_HOSTS adds names"
            return refused_in(request.path, HttpRefusal(421, reason))
        if served is None:
            return refused_in(request.path, HttpRefusal(503, "the endpoint is starting", RETRY_AFTER))
        served.open += 1
        try:
            return await served.gateway.handle(request)
        finally:
            served.open -= 1

    async def follow(self) -> None:
        """Bring what serves in line with the record, let go what has no request left, and say so."""
        if (stamp := file_stamp(self.folder / "record.json")) != self._stamp:
            self._stamp = stamp
            try:
                record = read_record(self.folder)
                running = record.server if record is not None else None
                if (running.folder if running else "") != (self.current.key if self.current else ""):
                    await self.switch(record, running)
            except (KubetuneError, OSError, ValueError) as error:  # what serves goes on
                log.error("the record names a server that cannot be taken: %s", error)
        for served in [one for one in self.leaving if not one.open]:
            self.leaving.remove(served)
            await close(served)
        self.say()

    async def switch(self, record: Record | None, running: TorchServeProcess | None) -> None:
        """Send new requests to another server."""
        new = None
        if record is not None and running is not None:
            new = await serve(record, running, self.folder / "archives" / record.digest)
        if self.current is not None:
            self.leaving.append(self.current)
        self.current = new

    def say(self) -> None:
        """Write which server new requests meet and which ones have requests left."""
        state = {
            "pid": os.getpid(),
            "server": self.current.key if self.current else None,
            "leaving": [served.key for served in self.leaving],
        }
        text = json.dumps(state)
        if text != self._written:
            partial = self.folder / f"{STATE}.partial"
            partial.write_text(text, encoding="utf-8")
            partial.replace(self.folder / STATE)
            self._written = text


def refused_in(path: str, refusal: HttpRefusal) -> web.Response:
    """Return a refusal in the protocol of a path."""
    return rendered(wire_of(path).write_refusal(refusal, uuid.uuid4().hex))


def file_stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is replaced; None: it is not there."""
    with suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_mtime_ns
    return None


async def serve(record: Record, running: TorchServeProcess, source: Path) -> Served:
    """Return the gateway before a server that was just found ready.

    Raises:
        ConfigError: The archive cannot be read.
        CorruptArtifactError: It is damaged.
    """
    options = Options(record.name, record.digest, source.parent)
    model = ServedModel(running, source, read_archive(source, verify=False), read_golden(source))
    gateway, backend = new_gateway(options), backend_of(model, options)
    backend.health.see(await backend.workers())
    backend.health.golden = True  # whoever wrote the record had reproduced them; a new worker is looked at again
    gateway.archive, gateway.backend = model.archive, backend
    served = Served(
        model, gateway, backend, hosts.read(Path(running.folder) / "model-store" / record.name) or frozenset()
    )
    served.watching = asyncio.create_task(watch_server(served))
    return served


async def watch_server(served: Served) -> None:
    """Look at a server every second until this is cancelled."""
    while True:
        try:
            await look(served.model, served.backend, _NoTail(served.model.running.log))
        except NotReadyError as error:
            served.backend.health.workers, served.backend.health.golden = 0, False
            served.backend.health.problem = f"{str(error).rstrip('.')}; deploy its run again"
        except Exception:  # a look that fails must not be the last one
            log.exception("the server could not be looked at")
        await asyncio.sleep(WATCH_S)


async def close(served: Served) -> None:
    """End what belongs to a server's gateway; the server itself is somebody else's."""
    if served.watching is not None:
        served.watching.cancel()
    await served.backend.close()


def main() -> None:
    """Run as a process; the descriptor is a socket that listens already."""
    folder, descriptor = Path(sys.argv[1]), int(sys.argv[2])
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s front %(message)s")
    with socket.socket(fileno=descriptor) as listening:
        asyncio.run(Front(folder).run(listening))


if __name__ == "__main__":
    main()
