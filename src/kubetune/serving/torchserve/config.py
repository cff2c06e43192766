"""The settings of TorchServe: files and command line. Loopback only, model API off, tokens off, snapshots off."""

import json
import os
import platform
import socket
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from os import defpath
from pathlib import Path

from kubetune.errors import ConfigError
from kubetune.serving.archive.manifest import MODEL_CONFIG, Archive

LOOPBACK = "127.0.0.1"
FIRST_PORT, LAST_PORT = 8080, 8179
BACKLOG = 256
"""Connections that the kernel holds until they are accepted."""
HANDLER = "kubetune.serving.torchserve.handler"
MODEL_VERSION = "1.0"
MAX_SOCKET_FOLDER = 85
"""Characters; workers listen on a Unix socket below it, whose path the kernel limits to 107 bytes."""


@dataclass(frozen=True)
class Ports:
    """Loopback ports of one server; TorchServe opens all five whether they are used or not.

    Attributes:
        inference: Predictions.
        management: Management API, unless it has a socket.
        metrics: Prometheus.
        grpc_inference: Predictions by gRPC.
        grpc_management: The management API by gRPC.
        management_socket: Unix socket in the place of `management`.
    """

    inference: int
    management: int
    metrics: int
    grpc_inference: int
    grpc_management: int
    management_socket: Path | None = None

    @property
    def management_address(self) -> str:
        """What TorchServe's configuration says of its management API."""
        return f"unix:{self.management_socket}" if self.management_socket else f"http://{LOOPBACK}:{self.management}"


@dataclass(frozen=True)
class Listening:
    """Where a server of this machine is asked.

    Attributes:
        port: Loopback port; None: the first free one from 8080 on.
        hosts: Names besides loopback that a request's `Host` may hold.
    """

    port: int | None = None
    hosts: tuple[str, ...] = ()


def choose_ports(wanted: int | None) -> Ports:
    """Return free ports; the inference port is `wanted`, or the first free one from 8080 on.

    Raises:
        ConfigError: `wanted` is in use, or none of 8080 to 8179 is free.
    """
    with hold_port(wanted) as found:
        inference = int(found.getsockname()[1])
    management, metrics, grpc_inference, grpc_management = free_ports(4)
    return Ports(inference, management, metrics, grpc_inference, grpc_management)


def hold_port(wanted: int | None = None) -> socket.socket:
    """Return a socket that listens on a loopback port, so that nobody else can.

    Args:
        wanted: The port; None: the first free one of 8080 to 8179.

    Raises:
        ConfigError: `wanted` is in use, or none of 8080 to 8179 is free.
    """
    for port in range(FIRST_PORT, LAST_PORT + 1) if wanted is None else [wanted]:
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection in TIME_WAIT is no listener
        try:
            found.bind((LOOPBACK, port))
            found.listen(BACKLOG)
            return found
        except OSError:
            found.close()
    if wanted is not None:
        raise ConfigError(f"Port {wanted} on {LOOPBACK} is in use: stop what listens there, or choose another port.")
    raise ConfigError(f"No port from {FIRST_PORT} to {LAST_PORT} is free: choose one with KUBETUNE_PORT.")


def free_ports(count: int) -> list[int]:
    """Return ports that the system calls free; all are held open together, so that they differ."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def write_files(folder: Path, name: str, source: Path, archive: Archive, ports: Ports) -> None:
    """Write `config.properties`, `log4j2.xml` and a model store with one complete `no-archive` directory.

    Args:
        folder: Of this server process.
        name: Model name.
        source: The archive's folder; the store links to it.
        archive: Its manifest.
        ports: Where to listen.
    """
    model = folder / "model-store" / name
    (model / "MAR-INF").mkdir(parents=True)
    (model / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest(name)), encoding="utf-8")
    (model / MODEL_CONFIG).write_bytes((source / MODEL_CONFIG).read_bytes())
    (model / "archive").symlink_to(source.resolve(), target_is_directory=True)
    (folder / "log4j2.xml").write_bytes((files("kubetune.serving.torchserve") / "log4j2.xml").read_bytes())
    (folder / "config.properties").write_text(properties(folder, name, archive, ports), encoding="utf-8")


def manifest(name: str, handler: str = HANDLER) -> dict[str, object]:
    """Return TorchServe's description of a model directory."""
    model = {"modelName": name, "modelVersion": MODEL_VERSION, "handler": handler, "configFile": MODEL_CONFIG}
    return {"createdOn": "", "runtime": "python", "archiverVersion": "0.12.0", "model": model}


def properties(folder: Path, name: str, archive: Archive, ports: Ports) -> str:
    """Return the text of `config.properties`."""
    values = {
        "inference_address": f"http://{LOOPBACK}:{ports.inference}",
        "management_address": ports.management_address,
        "metrics_address": f"http://{LOOPBACK}:{ports.metrics}",
        "grpc_inference_address": LOOPBACK,
        "grpc_inference_port": ports.grpc_inference,
        "grpc_management_address": LOOPBACK,
        "grpc_management_port": ports.grpc_management,
        "model_store": folder / "model-store",
        "load_models": f"{name}={name}",
        "allowed_urls": "file:///none",  # nothing is ever registered by URL
        "disable_token_authorization": "true",  # random keys an hour long; clients are on loopback
        "enable_model_api": "false",
        "enable_envvars_config": "false",
        "install_py_dep_per_model": "false",
        "decode_input_request": "false",  # the handler decodes, so that a bad body fails alone and is not logged
        "default_workers_per_model": archive.serving.workers,
        "default_response_timeout": archive.serving.response_timeout_s,
        "number_of_netty_threads": 16,  # registration and slow clients each hold one
        "max_request_size": 1 << 20,
        "metrics_mode": "prometheus",
        "disable_system_metrics": "true",
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def socket_folder(folder: Path) -> Path | None:
    """Return the folder for worker sockets below `folder`, or None where that path is too long for a socket."""
    below = folder / "tmp"
    return below if len(str(below).encode()) <= MAX_SOCKET_FOLDER else None


def management_socket(temporary: Path) -> Path | None:
    """Return the Unix socket of the management API, which only its owner can open; None where java has none to offer.

    On a port, everybody on the machine could take the workers away, and so could a web page (see `hosts`).

    Args:
        temporary: Java's temporary folder, short enough for sockets.
    """
    native = sys.platform == "linux" and platform.machine() in {"x86_64", "aarch64"}
    if not native or os.statvfs(temporary).f_flag & os.ST_NOEXEC:  # the library for it is unpacked and loaded there
        return None
    return temporary / "management.sock"


def torchserve_command(java: Path, folder: Path, temporary: Path) -> list[str]:
    """Return the command line, as TorchServe's own launcher builds it.

    The launcher itself is not used: it keeps one process-number file for the whole machine.

    Raises:
        ConfigError: TorchServe is not installed.
    """
    try:
        package = Path(str(distribution("torchserve").locate_file("ts")))
    except PackageNotFoundError:
        raise ConfigError("TorchServe is not installed: install kubetune[serve].") from None
    return [
        str(java),
        f"-Dmodel_server_home={package.parent}",
        f"-Djava.io.tmpdir={temporary}",
        f"-Dlog4j.configurationFile=file://{folder}/log4j2.xml",
        "-Xmx512m",  # the default is a quarter of the memory it sees
        "-cp",
        str(package / "frontend" / "model-server.jar"),
        "org.pytorch.serve.ModelServer",
        "--python",
        sys.executable,
        "-f",
        str(folder / "config.properties"),
        "-s",
        str(folder / "model-store"),
        "-ncs",
    ]


def server_environment(java: Path, folder: Path) -> dict[str, str]:
    """Return all variables that server and workers get: no credential of the caller reaches them."""
    return {
        "PATH": f"{java.parent}:{defpath}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "LOG_LOCATION": str(folder),
        "METRICS_LOCATION": str(folder),
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": "1",  # the predictor sets its own count from the CPU quota; nothing else may use more
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
