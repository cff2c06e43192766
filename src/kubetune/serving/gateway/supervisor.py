"""PID 1 of the serving container: starts TorchServe, watches it, collects orphans, drains, ends when it ends."""

import asyncio
import contextlib
import ctypes
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from kubetune.errors import ConfigError, InterruptedRunError, NotReadyError
from kubetune.provenance.trust import Trust
from kubetune.serving import processes, server
from kubetune.serving.archive import Archive, archive_digest, read_archive
from kubetune.serving.gateway.app import Gateway
from kubetune.serving.gateway.backend import Backend, Health
from kubetune.serving.gateway.http import listen
from kubetune.serving.gateway.keys import KeyRing
from kubetune.serving.gateway.limits import InFlight, RateLimit
from kubetune.serving.golden import Golden, read_golden
from kubetune.serving.java import find_java

log = logging.getLogger(__name__)
DIGEST = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?")
WATCH_S = 1.0
GOLDEN_S = 300.0
QUIET_S = 2.0
MOST_DRAIN_S = 15.0
"""A busy node was seen to send requests for 8 seconds to a pod that was no longer ready."""
MOST_LOG = 8 << 20
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


@dataclass(frozen=True)
class Options:
    """What the gateway is told.

    Attributes:
        endpoint: Its name; also the model name.
        digest: Archive to serve; empty: none was deployed yet.
        archives: Folder that holds it as `<digest>/`.
        host: Address to listen on.
        port: Port to listen on; 0: any.
        keys: File of API keys; None: none are asked for.
        trusted_keys: Public keys of those whose statements count; None: an archive needs none.
        least_epoch: Least epoch of the list of revoked versions that lies beside the archive.
        max_in_flight: Bound on requests.
        rate: Requests a second of one key; 0: no limit.
        drain_s: Seconds between "not ready" and "no new connections", for the cluster to notice.
        ready_timeout_s: Seconds for TorchServe to become ready.
    """

    endpoint: str
    digest: str
    archives: Path
    host: str = "0.0.0.0"  # noqa: S104 - a pod's own address is not known before it runs
    port: int = 8080
    keys: Path | None = None
    trusted_keys: Path | None = None
    least_epoch: int = 0
    max_in_flight: int = 100
    rate: float = 0.0
    drain_s: float = 5.0
    ready_timeout_s: float = 180.0


@dataclass(frozen=True)
class Model:
    """A started TorchServe and what it serves."""

    running: server.Server
    source: Path
    archive: Archive
    golden: Golden


async def supervise(options: Options) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain.

    Raises:
        ConfigError: A name, a digest, the port, the keys or the archive is not usable.
        CorruptArtifactError: A file of the archive does not have its digest.
        DataError: The archive has no valid statement, and keys are trusted.
        NotReadyError: TorchServe did not become ready, or ended.
    """
    check(options)
    ring = KeyRing(options.keys) if options.keys else None
    gateway = Gateway(options.endpoint, options.digest, ring, InFlight(options.max_in_flight), RateLimit(options.rate))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    collect_orphans()
    runner, site = await listen(gateway.handle, options.host, options.port)
    scratch = Path(tempfile.mkdtemp(prefix="kubetune-gateway-"))
    model: Model | None = None
    try:
        log.warning("gateway of %s listens on %s:%d", options.endpoint, *runner.addresses[0][:2])
        if options.digest:
            model = await asyncio.to_thread(start, options, scratch)
            gateway.backend = backend_of(model, options)
            await become_ready(model, gateway.backend, options, stop)
        await watch(model, gateway, stop)
        gateway.draining = True
        log.warning("draining: %d requests are in flight", gateway.in_flight.now)
        await quiet(gateway, options.drain_s)
        await site.stop()
    finally:
        await runner.cleanup()  # waits for what is in flight
        if gateway.backend is not None:
            await gateway.backend.close()
        if model is not None:
            await asyncio.to_thread(server.stop, model.running)
        shutil.rmtree(scratch, ignore_errors=True)


async def quiet(gateway: Gateway, drain_s: float) -> None:
    """Take requests until the cluster has noticed that this pod ends: none came for a while, or time is up."""
    began = time.monotonic()
    await asyncio.sleep(drain_s)
    while (now := time.monotonic()) - gateway.asked < QUIET_S and now - began < drain_s + MOST_DRAIN_S:
        await asyncio.sleep(QUIET_S / 10)


def check(options: Options) -> None:
    """Refuse what cannot be served, before anything listens."""
    if not NAME.fullmatch(options.endpoint) or options.endpoint.startswith("token"):
        raise ConfigError(
            f"Endpoint name {options.endpoint!r:.80} is not allowed: use 1 to 53 lower-case letters, digits and inner "
            "hyphens, not starting with `token`."
        )
    if options.digest and not DIGEST.fullmatch(options.digest):
        raise ConfigError(
            f"KUBETUNE_ARCHIVE is {options.digest!r:.80}, which is no SHA-256: stage `deploy` writes it as the pod's "
            "annotation kubetune.io/archive."
        )


def start(options: Options, scratch: Path) -> Model:
    """Start TorchServe for the archive that the init container placed."""
    source = options.archives / options.digest
    archive = read_archive(source, verify=False)
    if archive_digest(source) != options.digest:
        raise ConfigError(
            f"The archive in {source} is not {options.digest[:12]}: `kubetune fetch-archive` has to place it."
        )
    trust = None
    if options.trusted_keys:
        trust = Trust(options.trusted_keys, options.endpoint, least_epoch=options.least_epoch)
    running = server.start(options.endpoint, source, scratch / "server", None, find_java(), trust)
    return Model(running, source, archive, read_golden(source))


def backend_of(model: Model, options: Options) -> Backend:
    """Return the asynchronous view of a started server."""
    serving = model.archive.serving
    return Backend(
        inference=model.running.url.removesuffix(f"/predictions/{options.endpoint}"),
        management=model.running.management,
        metrics=model.running.metrics,
        model=options.endpoint,
        timeout_s=float(serving.response_timeout_s),
        limit=options.max_in_flight,
        health=Health(wanted=serving.workers),
    )


async def become_ready(model: Model, backend: Backend, options: Options, stop: asyncio.Event) -> None:
    """Wait for workers and golden vectors; a signal ends the wait."""
    tail = LogTail(model.running.log)
    try:
        await asyncio.to_thread(server.wait_ready, model.running, model.source, options.ready_timeout_s, stop.is_set)
    except InterruptedRunError:
        return
    finally:
        tail.pump()
    backend.health.see(await backend.workers())
    backend.health.golden, backend.health.checked = True, time.monotonic()
    log.warning("archive %s is ready: its golden vectors are reproduced", model.running.digest[:12])


async def watch(model: Model | None, gateway: Gateway, stop: asyncio.Event) -> None:
    """Look every second until a signal comes.

    Raises:
        NotReadyError: TorchServe ended; the container has to start again.
    """
    tail = LogTail(model.running.log, skip=True) if model else None
    while not stop.is_set():
        collect_orphans()
        if model is not None and tail is not None and gateway.backend is not None:
            await look(model, gateway.backend, tail)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), WATCH_S)


async def look(model: Model, backend: Backend, tail: "LogTail") -> None:
    """Bring what is known of the model up to date."""
    health = backend.health
    if not await asyncio.to_thread(processes.alive, model.running.process):
        raise NotReadyError(f"TorchServe ended by itself: {server.last_words(model.running.log)}.")
    tail.pump()
    health.see(await backend.workers())
    if health.workers >= health.wanted and (not health.golden or health.age() > GOLDEN_S):
        try:
            wrong = await asyncio.to_thread(server.reproduce, model.running, model.archive, model.golden)
        except (OSError, LookupError, TypeError) as error:
            log.warning("the golden vectors got no answer (%s)", type(error).__name__)
            return  # busy or just dying: what was known stays, and its age shows
        health.golden = not wrong
        if wrong:
            health.problem = "; ".join(wrong)
            log.error("not ready: %s", health.problem)
        else:
            health.checked = time.monotonic()


class LogTail:
    """Copies what TorchServe writes to standard error, and keeps the file small."""

    def __init__(self, path: Path, *, skip: bool = False) -> None:
        self.path = path
        self._offset = path.stat().st_size if skip and path.exists() else 0

    def pump(self) -> None:
        """Copy what is new."""
        try:
            with self.path.open("rb+") as file:
                file.seek(self._offset)
                new = file.read()
                self._offset += len(new)
                if self._offset > MOST_LOG:  # java appends, so it goes on at the new end
                    file.truncate(0)
                    self._offset = 0
        except OSError:
            return
        if new:
            sys.stderr.buffer.write(new)
            sys.stderr.buffer.flush()


def collect_orphans() -> None:
    """Become the parent of what a dead child leaves (as PID 1 is by itself), and collect what has ended."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or processes.is_child(found.si_pid):
            return  # a child that we started is collected by whoever waits for it
        with contextlib.suppress(ChildProcessError):
            os.waitpid(found.si_pid, os.WNOHANG)
