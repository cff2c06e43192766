"""PID 1 of the serving container: starts TorchServe, watches it, collects orphans, drains, ends when it ends."""

import asyncio
import contextlib
import ctypes
import logging
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from kubetune.errors import ConfigError, InterruptedRunError, NotReadyError
from kubetune.provenance.trust import Trust
from kubetune.serving.archive.manifest import Archive, archive_digest, read_archive
from kubetune.serving.gateway.app import Gateway
from kubetune.serving.gateway.backend import Backend, Health
from kubetune.serving.gateway.connections import ConnectionBounds
from kubetune.serving.gateway.ending import Ending, until
from kubetune.serving.gateway.http import Listener, allow_files, listen_on
from kubetune.serving.gateway.keys import KeyRing
from kubetune.serving.gateway.limits import InFlight, KeyShares, RateLimit
from kubetune.serving.gateway.logtail import LogTail
from kubetune.serving.gateway.options import Options, check_options
from kubetune.serving.golden.vectors import Golden, read_golden
from kubetune.serving.local import processes
from kubetune.serving.torchserve import server
from kubetune.serving.torchserve.config import Listening, free_ports

log = logging.getLogger(__name__)
WATCH_S = 1.0
GOLDEN_S = 300.0
QUIET_S = 2.0
MOST_DRAIN_S = 15.0
"""A busy node was seen to send requests for 8 seconds to a pod that was no longer ready."""
PROBE_BOUNDS = ConnectionBounds(total=64, per_source=32)
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER


@dataclass(frozen=True)
class ServedModel:
    """A started TorchServe and what it serves."""

    running: server.TorchServeProcess
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
    check_options(options)
    gateway = new_gateway(options)
    model: ServedModel | None = None
    ending = Ending(options.shutdown_s, lambda: kill(model))
    ending.listen()
    collect_orphans()
    clients, probes = await open_ports(gateway, options)
    scratch = Path(tempfile.mkdtemp(prefix="kubetune-gateway-"))
    try:
        if options.digest:
            model = await asyncio.to_thread(start_torchserve, options, scratch)
            gateway.archive, gateway.backend = model.archive, backend_of(model, options)
        await until(ending.asked, asyncio.create_task(look_after(model, gateway, options, ending)))
        gateway.draining = True
        log.warning("draining: %d requests are in flight", gateway.in_flight.now)
        await quiet(gateway, options.drain_s, ending)
    finally:
        ending.ask()  # also where it ends by itself
        await clients.finish(asyncio.get_running_loop().time() + ending.for_requests())
        await probes.close()
        if gateway.backend is not None:
            await gateway.backend.close()
        if model is not None:
            await asyncio.to_thread(server.stop_server, model.running, ending.left() / 2)
        shutil.rmtree(scratch, ignore_errors=True)
        ending.over()


def new_gateway(options: Options) -> Gateway:
    """Return the gateway before it listens and before there is a model server."""
    return Gateway(
        options.endpoint,
        options.digest,
        KeyRing(options.keys) if options.keys else None,
        InFlight(options.max_in_flight),
        RateLimit(options.rate),
        KeyShares(options.max_in_flight, options.key_share),
        form_open=options.form_open,
    )


async def open_ports(gateway: Gateway, options: Options) -> tuple[Listener, Listener]:
    """Listen on the port of clients and on that of probes, which clients cannot fill.

    Raises:
        ConfigError: A port is in use or not ours.
    """
    files = allow_files(options.bounds.total + PROBE_BOUNDS.total + options.max_in_flight)
    bounds = replace(options.bounds, total=min(options.bounds.total, max(1, files - PROBE_BOUNDS.total)))
    if bounds.total < options.bounds.total:
        log.warning("only %d connections are taken: the system lets the process open no more files", bounds.total)
    probes = await listen_on(gateway.handle_probe, options.host, options.probe_port, PROBE_BOUNDS)
    try:
        clients = await listen_on(gateway.handle, options.host, options.port, bounds)
    except ConfigError:
        await probes.close()
        raise
    gateway.connections = clients.open
    log.warning(
        "gateway of %s listens on %s:%d, for probes on port %d", options.endpoint, *clients.address, probes.address[1]
    )
    return clients, probes


def kill(model: ServedModel | None) -> None:
    """Kill TorchServe and its workers at once."""
    if model is not None:
        processes.terminate(model.running.process, 0.0)


async def look_after(model: ServedModel | None, gateway: Gateway, options: Options, ending: Ending) -> None:
    """Wait until the model is ready, and watch it from then on; ends by being cancelled.

    Raises:
        NotReadyError: TorchServe did not become ready, or ended.
    """
    if model is None or gateway.backend is None:
        while True:
            collect_orphans()
            await asyncio.sleep(WATCH_S)
    tail = LogTail(model.running.log)
    try:
        await become_ready(model, gateway.backend, options, ending)
    finally:
        tail.pump()
    await watch_torchserve(model, gateway.backend, tail)


async def quiet(gateway: Gateway, drain_s: float, ending: Ending) -> None:
    """Take requests until the cluster has noticed that this pod ends: none came for a while, or time is up."""
    began = time.monotonic()
    await asyncio.sleep(drain_s)
    while (now := time.monotonic()) - gateway.asked < QUIET_S and now - began < drain_s + MOST_DRAIN_S:
        if ending.for_requests() < ending.seconds / 2:
            return  # the rest is for the requests that are under way
        await asyncio.sleep(QUIET_S / 10)


def start_torchserve(options: Options, scratch: Path) -> ServedModel:
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
    # Nobody types this port. The first free one from 8080 on would be that of every supervisor which starts now, since
    # Java binds it seconds later.
    (port,) = free_ports(1)
    running = server.start_server(options.endpoint, source, scratch / "server", Listening(port), trust)
    return ServedModel(running, source, archive, read_golden(source))


def backend_of(model: ServedModel, options: Options) -> Backend:
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


async def become_ready(model: ServedModel, backend: Backend, options: Options, ending: Ending) -> None:
    """Wait for workers and golden vectors.

    Raises:
        NotReadyError: They did not come.
    """
    stop = ending.asked.is_set  # the thread goes on after this is cancelled, until it looks or TorchServe is gone
    try:
        await asyncio.to_thread(server.wait_ready, model.running, model.source, options.ready_timeout_s, stop)
    except InterruptedRunError:
        return
    backend.health.see(await backend.workers())
    backend.health.golden, backend.health.checked = True, time.monotonic()
    log.warning("archive %s is ready: its golden vectors are reproduced", model.running.digest[:12])


async def watch_torchserve(model: ServedModel, backend: Backend, tail: LogTail) -> None:
    """Look every second until this is cancelled.

    Raises:
        NotReadyError: TorchServe ended; the container has to start again.
    """
    while True:
        collect_orphans()
        await look(model, backend, tail)
        await asyncio.sleep(WATCH_S)


async def look(model: ServedModel, backend: Backend, tail: LogTail) -> None:
    """Bring what is known of the model up to date."""
    health = backend.health
    if not await asyncio.to_thread(processes.alive, model.running.process):
        raise NotReadyError(f"TorchServe ended by itself: {server.last_words(model.running.log)}.")
    tail.pump()
    health.deaths = tail.deaths
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
