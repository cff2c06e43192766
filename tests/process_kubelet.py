"""A Kubernetes API for pods on loopback whose kubelet runs a pod's command as a local process.

The pods are real work: the command, the arguments and the environment of the `base` container, with the pipeline's
own `kubetune`. Containers, images and volumes are not looked at.
"""

import json
import os
import re
import signal
import subprocess
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PODS = re.compile(r"^/api/v1/namespaces/(?P<namespace>[^/]+)/pods(?:/(?P<name>[^/]+)(?P<log>/log)?)?$")
EVENTS = re.compile(r"^/api/v1/namespaces/[^/]+/events$")


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Pod:
    """One pod: its object as the API shows it, and the process that is its container."""

    def __init__(self, document: dict[str, Any], kubelet: "Kubelet") -> None:
        self.document, self.kubelet = document, kubelet
        self.uid = str(uuid.uuid4())
        self.document["metadata"] |= {"uid": self.uid, "creationTimestamp": now(), "resourceVersion": "1"}
        self.folder = kubelet.folder / self.name
        self.folder.mkdir(parents=True)
        self.log = self.folder / "log"
        self.log.touch()
        self.said = self.folder / "termination-log"
        self.said.touch()
        self.process: subprocess.Popen[bytes] | None = None
        self.document["status"] = {"phase": "Pending", "conditions": [], "startTime": now()}

    @property
    def name(self) -> str:
        return self.document["metadata"]["name"]

    @property
    def labels(self) -> dict[str, str]:
        return self.document["metadata"]["labels"]

    @property
    def container(self) -> dict[str, Any]:
        return next(item for item in self.document["spec"]["containers"] if item["name"] == "base")

    @property
    def arguments(self) -> list[str]:
        """What Kubernetes makes of them: `$$` is one dollar sign; nothing of ours uses `$(NAME)`."""
        return [text.replace("$$", "$") for text in [*self.container.get("command", []), *self.container["args"]]]

    def start(self) -> None:
        stage = self.labels.get("kubetune.io/stage", "")
        if stage in self.kubelet.unschedulable:
            message = self.kubelet.unschedulable[stage]
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            self.document["status"]["conditions"] = [condition]
            return
        environment = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        environment |= {"OMP_NUM_THREADS": "1", "TMPDIR": str(self.folder), "HOME": str(self.folder)}
        for item in self.container["env"]:
            environment[item["name"]] = item.get("value", self.uid)  # the one fieldRef is the pod's uid
        environment |= {"HOME": str(self.folder), "KUBETUNE_TERMINATION_LOG": str(self.said)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self.kubelet.command, *self.arguments],
                env=environment,
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.document["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
        self.show("Running", {"running": {"startedAt": now()}})
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        assert self.process is not None
        code = self.process.wait()
        code = code if code >= 0 else 128 - code
        message = self.said.read_text(encoding="utf-8")
        if code and not message:  # terminationMessagePolicy: FallbackToLogsOnError
            message = self.log.read_text(encoding="utf-8", errors="replace")[-2048:]
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": message}
        ended |= {"startedAt": self.document["status"]["startTime"], "finishedAt": now()}
        self.show("Failed" if code else "Succeeded", {"terminated": ended})

    def show(self, phase: str, state: dict[str, Any]) -> None:
        status = {"name": "base", "state": state, "ready": phase == "Running", "restartCount": 0}
        status |= {"image": self.container["image"], "imageID": ""}
        self.document["status"] |= {"phase": phase, "containerStatuses": [status]}

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)


class Kubelet(ThreadingHTTPServer):
    """Serves until closed. `created` keeps every pod that was asked for, deleted ones too."""

    daemon_threads = True

    def __init__(self, folder: Path, command: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.command = folder, command
        self.pods: dict[str, Pod] = {}
        self.created: list[Pod] = []
        self.unschedulable: dict[str, str] = {}
        self.refusals: list[tuple[int, str] | None] = []
        """Status and sentence of the next answers to a creation, or to the question whether one would be taken; None:
        it is."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        for pod in self.created:
            pod.stop()
        self.shutdown()
        self.server_close()

    def selected(self, selector: str) -> list[Pod]:
        def holds(labels: dict[str, str], term: str) -> bool:
            if "!=" in term:
                name, _, value = term.partition("!=")
                return labels.get(name) != value
            if term.startswith("!"):
                return term[1:] not in labels
            name, separator, value = term.partition("=")
            return labels.get(name) == value if separator else name in labels

        terms = [term for term in selector.split(",") if term]
        return [pod for pod in self.pods.values() if all(holds(pod.labels, term) for term in terms)]


class Handler(BaseHTTPRequestHandler):
    """The five verbs on pods that Airflow's operator and trigger use, and a list of no events."""

    server: Kubelet
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def answer(self, document: dict[str, Any], code: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, code: int, reason: str, message: str = "") -> None:
        status = {"kind": "Status", "status": "Failure", "code": code, "reason": reason}
        self.answer({**status, "message": message or reason}, code)

    def body(self) -> dict[str, Any]:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def pod(self) -> Pod | None:
        found = PODS.match(urlsplit(self.path).path)
        pod = self.server.pods.get(found["name"]) if found else None
        if pod is None:
            self.refuse(404, "NotFound", f'pods "{found["name"] if found else ""}" not found')
        return pod

    def do_POST(self) -> None:
        body = self.body()
        refusal = self.server.refusals.pop(0) if self.server.refusals else None
        if refusal is not None:
            self.refuse(refusal[0], "Forbidden", refusal[1])
            return
        if "dryRun=All" in self.path:
            self.answer(body, 201)
            return
        pod = Pod(body, self.server)
        self.server.pods[pod.name] = pod
        self.server.created.append(pod)
        pod.start()
        self.answer(pod.document, 201)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        found = PODS.match(parts.path)
        if EVENTS.match(parts.path):
            self.answer({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": []})
        elif found and not found["name"]:
            pods = [pod.document for pod in self.server.selected(query.get("labelSelector", ""))]
            self.answer({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
        elif (pod := self.pod()) is None:
            return
        elif found and found["log"]:
            self.send_log(
                pod,
                follow=query.get("follow", "").lower() == "true",
                stamped=query.get("timestamps", "").lower() == "true",
            )
        else:
            self.answer(pod.document)

    def send_log(self, pod: Pod, *, follow: bool, stamped: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Connection", "close")
        self.end_headers()
        with pod.log.open("rb") as log:
            while True:
                done = not follow or pod.process is None or pod.process.poll() is not None
                for line in log:
                    self.wfile.write((now().encode() + b" " if stamped else b"") + line)
                self.wfile.flush()
                if done:
                    break
                time.sleep(0.05)
        self.close_connection = True

    def do_PATCH(self) -> None:
        if (pod := self.pod()) is not None:
            pod.labels.update(self.body().get("metadata", {}).get("labels", {}))
            self.answer(pod.document)

    def do_DELETE(self) -> None:
        self.body()
        if (pod := self.pod()) is not None:
            pod.stop()
            del self.server.pods[pod.name]
            self.answer(pod.document)
