"""A kind cluster with kubetune in it, as its tests see it: kubectl, the command line, the store, the endpoint."""

import base64
import json
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from minio import Minio

from kubetune.client.airflow import Airflow, AirflowAccess
from kubetune.client.http import Way, request

ROOT = Path(__file__).parents[1]
KUBETUNE = ROOT / ".venv/bin/kubetune"
ARCHIVE = "kubetune.io/archive"
BUCKET = "kubetune"


class ClusterError(AssertionError):
    """What was waited for did not come."""


@dataclass
class Ended:
    """How a command ended."""

    code: int
    text: str


@dataclass
class Load:
    """Requests of a steady load, by status; 0: no answer at all."""

    statuses: dict[int, int] = field(default_factory=dict)
    digests: set[str] = field(default_factory=set)
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """Requests that did not get 200."""
        return sum(count for status, count in self.statuses.items() if status != 200)

    @property
    def sent(self) -> int:
        """All requests."""
        return sum(self.statuses.values())


class Cluster:
    """One release in one namespace of one kind cluster."""

    def __init__(self) -> None:
        self.name = os.environ.get("KIND_CLUSTER_NAME", "kubetune")
        self.context, self.namespace, self.release = f"kind-{self.name}", "kubetune", "kubetune"
        self.deployment = f"{self.release}-serve-tweets"
        self.url = "http://127.0.0.1:30081"
        self._settings: dict[str, str] = {}

    def kubectl(self, *args: str, text: str | None = None, check: bool = True) -> str:
        """Run kubectl in the release's namespace and return what it printed."""
        command = ["kubectl", "--context", self.context, "--namespace", self.namespace, *args]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise ClusterError(f"kubectl {' '.join(args)[:200]}: {done.stderr.strip()[:600]}")
        return done.stdout

    def get(self, *args: str) -> Any:
        """Return objects as data; None where a single one does not exist."""
        text = self.kubectl("get", *args, "--output", "json", check=False)
        return json.loads(text) if text else None

    def node(self, *args: str) -> str:
        """Run a command in the control plane's node."""
        command = [os.environ.get("DOCKER", "docker"), "exec", f"{self.name}-control-plane", *args]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def secret(self, name: str, key: str) -> str:
        """Return one value of a Secret."""
        return base64.b64decode(self.get("secret", name)["data"][key]).decode()

    def settings(self) -> dict[str, str]:
        """Return what the command line needs to reach the cluster."""
        store = f"{self.release}-store-client"
        return {
            "KUBETUNE_AIRFLOW_URL": "http://127.0.0.1:30080",
            "KUBETUNE_AIRFLOW_USER": self.secret(f"{self.release}-admin", "username"),
            "KUBETUNE_AIRFLOW_PASSWORD": self.secret(f"{self.release}-admin", "password"),
            "KUBETUNE_ENDPOINT_URL": self.url,
            "KUBETUNE_STORE": f"s3://{BUCKET}",
            "KUBETUNE_S3_ENDPOINT": "http://127.0.0.1:30082",
            "KUBETUNE_S3_ACCESS_KEY": self.secret(store, "kubetune_s3_access_key"),
            "KUBETUNE_S3_SECRET_KEY": self.secret(store, "kubetune_s3_secret_key"),
        }

    def environment(self) -> dict[str, str]:
        """Return the environment of the command line."""
        self._settings = self._settings or self.settings()
        return {**os.environ, **self._settings}

    def command(self, *args: str) -> list[str]:
        """Return a command of the command line."""
        return [str(KUBETUNE), *args]

    def kubetune(self, *args: str, seconds: float = 1200) -> Ended:
        """Run a command of the command line as a person would."""
        done = subprocess.run(
            self.command(*args), env=self.environment(), capture_output=True, text=True, timeout=seconds, check=False
        )
        return Ended(done.returncode, done.stdout + done.stderr)

    def forget_settings(self) -> None:
        """Read the settings again: the release was installed anew."""
        self._settings = {}

    def helm(self, *args: str) -> str:
        """Run helm against the release's namespace."""
        command = ["helm", "--kube-context", self.context, "--namespace", self.namespace, *args]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"helm {' '.join(args)}: {done.stdout[-1500:]} {done.stderr[-1500:]}")
        return done.stdout

    def upgrade(self, *more: str) -> None:
        """Install or upgrade the release with the kind profile and wait until it is ready; `more` are helm's flags."""
        flags = shlex.split(os.environ.get("HELM_FLAGS", ""))
        profile = os.environ.get("PROFILE", "charts/kubetune/profiles/kind.yaml")
        chart = ("upgrade", "--install", self.release, "charts/kubetune")
        self.helm(*chart, "--values", profile, *flags, *more, "--wait", "--timeout", "10m")

    def reason(self, run: str, stage: str) -> str | None:
        """Return the sentence that Airflow shows for a failed stage."""
        known = self._settings or self.settings()
        access = AirflowAccess(
            known["KUBETUNE_AIRFLOW_URL"], known["KUBETUNE_AIRFLOW_USER"], known["KUBETUNE_AIRFLOW_PASSWORD"]
        )
        return Airflow(access, Way()).reason(run, stage)

    def airflow(self, method: str, path: str, value: Any = None) -> Any:
        """Ask Airflow's REST API as its administrator and return the answer."""
        known = self._settings or self.settings()
        url, way = known["KUBETUNE_AIRFLOW_URL"], Way()
        person = {"username": known["KUBETUNE_AIRFLOW_USER"], "password": known["KUBETUNE_AIRFLOW_PASSWORD"]}
        token = request(way, "POST", f"{url}/auth/token", value=person).value["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        reply = request(way, method, f"{url}/api/v2{path}", value=value, headers=bearer)
        assert reply.status == 200, f"{method} {path}: {reply.status} {reply.value}"
        return reply.value

    def ready_pods(self) -> list[dict[str, Any]]:
        """Return the endpoint's pods that are ready."""
        found = self.get("pods", "--selector", "kubetune.io/endpoint=tweets")["items"]
        return [
            pod
            for pod in found
            if all(item["ready"] for item in pod["status"].get("containerStatuses", [{"ready": False}]))
        ]

    def submit(self, recipe: str, run: str, *overrides: str, data: Path | None = None, endpoint: str = "tweets") -> str:
        """Begin a run."""
        more = ["--data", str(data)] if data else []
        done = self.kubetune("submit", recipe, *overrides, "--run", run, "--endpoint", endpoint, *more)
        assert done.code == 0, done.text
        return run

    def follow(self, run: str) -> Ended:
        """Wait for the end of a run."""
        return self.kubetune("follow", run)

    def complete(self, run: str) -> dict[str, Any]:
        """Wait for a run, demand that it is good, and return what the store knows of it."""
        ended = self.follow(run)
        assert ended.code == 0, ended.text[-3000:]
        return self.show(run)

    def show(self, run: str) -> dict[str, Any]:
        """Return what the store knows of a run."""
        done = self.kubetune("show", run, "--json")
        assert done.code == 0, done.text
        return dict(json.loads(done.text))

    def pods(self, run: str, stage: str) -> list[dict[str, Any]]:
        """Return the pods of a stage of a run."""
        found = self.get("pods", "--selector", f"kubetune.io/run={run},kubetune.io/stage={stage}")
        return list(found["items"]) if found else []

    def running_pod(self, run: str, stage: str, seconds: float = 600) -> dict[str, Any]:
        """Wait for a pod whose container runs."""

        def look() -> dict[str, Any] | None:
            return next((pod for pod in self.pods(run, stage) if pod["status"]["phase"] == "Running"), None)

        return wait(look, f"a running pod of {stage} of {run}", seconds)

    def log(self, pod: str) -> str:
        """Return a pod's log; empty where the API does not answer."""
        return self.kubectl("logs", pod, check=False)

    def ready(self, kind: str, name: str, seconds: float = 600) -> None:
        """Wait for a rollout."""
        self.kubectl("rollout", "status", kind, name, f"--timeout={seconds:.0f}s")

    def served(self, endpoint: str = "tweets") -> str | None:
        """Return the digest in the annotation of an endpoint's Deployment."""
        template = self.get("deployment", f"{self.release}-serve-{endpoint}")["spec"]["template"]["metadata"]
        return (template.get("annotations") or {}).get(ARCHIVE)

    def predict(self, text: str = "what a lovely day") -> tuple[int, dict[str, Any], str]:
        """Ask the endpoint through its node port: status, body, digest of the archive that answered."""
        body = json.dumps({"text": text}).encode()
        request = Request(f"{self.url}/predictions/tweets", body, {"content-type": "application/json"})
        try:
            with urlopen(request, timeout=30) as reply:
                return reply.status, json.loads(reply.read()), reply.headers.get("x-archive-digest", "")
        except HTTPError as error:
            return error.code, json.loads(error.read() or b"{}"), ""
        except (URLError, OSError):
            return 0, {}, ""

    def root_store(self) -> Minio:
        """Return a client with the store's root keys, for what only a fault does."""
        secret = f"{self.release}-object-store-root"
        keys = self.secret(secret, "root_user"), self.secret(secret, "root_password")
        return Minio("127.0.0.1:30082", access_key=keys[0], secret_key=keys[1], secure=False)

    @contextmanager
    def load(self, clients: int = 8, rate: float = 24.0) -> Iterator[Load]:
        """Ask the endpoint steadily, `rate` requests a second in all, until the block ends."""
        found, lock, stop, began = Load(), threading.Lock(), threading.Event(), time.monotonic()

        def ask() -> None:
            while not stop.is_set():
                next_at = time.monotonic() + clients / rate
                status, _, digest = self.predict()
                with lock:
                    found.statuses[status] = found.statuses.get(status, 0) + 1
                    found.digests.add(digest)
                stop.wait(max(0.0, next_at - time.monotonic()))

        threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield found
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            found.seconds = time.monotonic() - began


def wait(look: Callable[[], Any], what: str, seconds: float = 300, pause: float = 1.0) -> Any:
    """Return what `look` finds, once it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(pause)
    return found
