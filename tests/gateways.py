"""A real gateway in a process of its own, and raw requests to it."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetune.serving.torchserve import config as configuration

NAME = "toy"


@dataclass
class Reply:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        return self.value["error"]["reason"]


@dataclass
class Running:
    """A gateway process."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    probe_port: int = 0

    def send(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Reply:
        return self.ask(self.port, method, path, body, **headers)

    def probe(self, path: str, method: str = "GET") -> Reply:
        """Ask the port of the probes."""
        return self.ask(self.probe_port, method, path)

    @staticmethod
    def ask(port: int, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            names = {name.replace("_", "-"): text for name, text in headers.items()}
            connection.request(method, path, body, names)
            response = connection.getresponse()
            found = {name.lower(): text for name, text in response.getheaders()}
            return Reply(response.status, found, response.read())

    def predict(self, text: str = "a good day", **headers: str) -> Reply:
        headers = {"Content_Type": "application/json", **headers}
        return self.send("POST", f"/predictions/{NAME}", json.dumps({"text": text}), **headers)

    def wait(self, path: str, status: int, timeout_s: float = 90) -> Reply:
        """Ask until that status comes."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                reply = self.probe(path)
                if reply.status == status:
                    return reply
                found = f"{reply.status} {reply.body!r}"
            except OSError as error:
                found = repr(error)
            assert self.process.poll() is None, self.log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < deadline, found + self.log.read_text(errors="replace")[-3000:]
            time.sleep(0.1)

    def end(self, timeout_s: float = 60) -> int:
        """SIGTERM and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


@contextlib.contextmanager
def gateway(folder: Path, digest: str = "", **settings: str) -> Iterator[Running]:
    """Start `kubetune gateway` for `folder/archives`; it is gone after the block."""
    port, probes = configuration.free_ports(2)
    (folder / "archives").mkdir(parents=True, exist_ok=True)
    log = folder / "gateway.log"
    (folder / "termination").touch()
    variables = {"KUBETUNE_ARCHIVE": digest, "KUBETUNE_TERMINATION_LOG": str(folder / "termination")}
    variables |= {f"KUBETUNE_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "kubetune", "gateway", "--endpoint", NAME, "--port", str(port)]
    command += ["--probe-port", str(probes)]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--archives", str(folder / "archives")],
            env={**os.environ, **variables}, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield Running(process, port, log, probes)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
