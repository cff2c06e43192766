"""The record by which an endpoint of this machine is found again: `<state_dir>/<endpoint>/record.json`."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from kubetune.errors import ConfigError
from kubetune.serving.local.processes import Process, alive
from kubetune.serving.torchserve.config import LOOPBACK
from kubetune.serving.torchserve.server import TorchServeProcess

FORMAT = 2
FORMATS = (1, FORMAT)
"""In format 1 the server listened on the endpoint's own port."""


@dataclass(frozen=True)
class FrontProcess:
    """The process that keeps an endpoint's address.

    Attributes:
        port: Loopback port.
        process: Which process it is.
    """

    port: int
    process: Process

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read a record."""
        return cls(int(values["port"]), Process(**values["process"]))


@dataclass(frozen=True)
class Record:
    """What is known of an endpoint.

    Attributes:
        name: Endpoint name.
        digest: Archive that it serves or last served.
        server: The process; None: it was stopped on purpose.
        since: When that was written, ISO 8601 in UTC.
        front: What keeps its address; None: the server listens there itself, or the front was not started yet.
        last_port: Port that it has or had.
    """

    name: str
    digest: str
    server: TorchServeProcess | None
    since: str
    front: FrontProcess | None = None
    last_port: int | None = None

    @property
    def port(self) -> int | None:
        """Port under which it is asked, or was last."""
        if self.front is not None:
            return self.front.port
        return self.last_port

    @property
    def url(self) -> str:
        """Where predictions are asked for; empty: nowhere."""
        return "" if self.server is None else f"http://{LOOPBACK}:{self.port}/predictions/{self.name}"

    @property
    def listens_itself(self) -> bool:
        """Whether its server has its port, as in format 1, and runs."""
        return self.server is not None and self.server.port == self.port and alive(self.server.process)

    @property
    def facts(self) -> dict[str, Any]:
        """What a run keeps of it."""
        if self.server is None:
            return {}
        pid, log = self.server.process.pid, str(self.server.log)
        return {"url": self.url, "pid": pid, "metrics": self.server.metrics, "log": log}

    def write(self, folder: Path) -> None:
        """Replace the record of a folder in one step."""
        values = {
            "format": FORMAT,
            "name": self.name,
            "digest": self.digest,
            "server": None if self.server is None else self.server.as_json(),
            "front": None if self.front is None else asdict(self.front),
            "port": self.port,
            "since": self.since,
        }
        partial = folder / f"record.json.{secrets.token_hex(4)}"
        partial.write_text(json.dumps(values, sort_keys=True, indent=2) + "\n", encoding="utf-8")
        partial.replace(folder / "record.json")


def read_record(folder: Path) -> Record | None:
    """Read an endpoint's record; None where there is none.

    Raises:
        ConfigError: It cannot be read.
    """
    path = folder / "record.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] not in FORMATS:
            raise ValueError("format")
        running = None if values["server"] is None else TorchServeProcess.from_json(values["server"])
        front = None if values.get("front") is None else FrontProcess.from_json(values["front"])
        last_port = values.get("port") or (running.port if running else None)
        return Record(values["name"], values["digest"], running, values["since"], front, last_port)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"The endpoint record {path} cannot be read ({type(error).__name__}): remove it and deploy again."
        ) from error
