"""A Kubernetes API over HTTP, as far as stage `deploy` meets it: one Deployment, its pods, strict JSON patches.

A controller behind it starts a pod of each new template at every look; `faults` says what becomes of an archive's pod.
"""

import copy
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

ARCHIVE = "kubetune.io/archive"
LABELS = {"app.kubernetes.io/component": "serving", "kubetune.io/endpoint": "toy"}
Json = dict[str, Any]


class PatchError(Exception):
    """A patch that a real server answers with 422."""


def deployment(name: str, annotations: Json | None = None, replicas: int = 1) -> Json:
    """As the chart installs it; `annotations` of the pod template, None: it has no such map."""
    template: Json = {"metadata": {"labels": LABELS}, "spec": {}}
    if annotations is not None:
        template["metadata"]["annotations"] = annotations
    return {
        "metadata": {"name": name, "generation": 1, "resourceVersion": "1"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template},
        "status": {},
    }


def apply_patch(document: Json, operations: list[Json]) -> Json:
    """RFC 6902: test, add, remove; a parent that is not there is an error."""
    result = copy.deepcopy(document)
    for operation in operations:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        place = result
        for part in parents:
            if part not in place:
                raise PatchError(f"{operation['path']}: no {part}")
            place = place[part]
        if operation["op"] == "add":
            place[last] = operation["value"]
        elif last not in place:
            raise PatchError(f"{operation['path']} is missing")
        elif operation["op"] == "remove":
            del place[last]
        elif operation["op"] != "test" or place[last] != operation["value"]:
            raise PatchError(f"test of {operation['path']} failed")
    return result


class KubernetesApi:
    """The server; use it in a `with` block.

    Attributes:
        object: The Deployment.
        faults: Container status by archive digest whose pods never become ready.
        slow: Looks that a rollout takes.
        fail_next: HTTP statuses that the next requests get instead of an answer.
        patches: Bodies of all patches that were accepted.
        before_patch: Called once before the next patch, to play another writer.
        lost_replies: Patches that are done without a reply.
        ending: Looks for which a former pod is still there, being deleted.
    """

    def __init__(self, found: Json) -> None:
        self.object, self.faults, self.slow, self.fail_next = found, {}, 1, []
        self.patches: list[list[Json]] = []
        self.before_patch: Any = None
        self.lost_replies = 0
        self.ending = 0
        self._looks, self._seen = 0, None
        self._lock = threading.Lock()
        self._pods: list[Json] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.answer(self, None)

            def do_PATCH(self) -> None:
                assert self.headers["Content-Type"] == "application/json-patch+json"
                api.answer(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.settle()

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def archive(self) -> str | None:
        """What the pods of the newest revision are for."""
        return self.object["spec"]["template"]["metadata"].get("annotations", {}).get(ARCHIVE)

    def serving(self) -> list[str | None]:
        """Archives of the pods that are ready."""
        ready = [pod for pod in self._pods if pod["status"]["conditions"][0]["status"] == "True"]
        return [pod["metadata"]["annotations"].get(ARCHIVE) for pod in ready]

    def settle(self) -> None:
        """Let the controller finish."""
        for _ in range(self.slow + 1):
            self._reconcile()

    def _reconcile(self) -> None:
        """One step of maxUnavailable 0: a new pod beside the old ones, which end when it is ready."""
        metadata, status = self.object["metadata"], self.object["status"]
        wanted = self.object["spec"]["replicas"]
        if self._seen != metadata["generation"]:
            self._seen, self._looks = metadata["generation"], 0
            return
        self._looks += 1
        status["observedGeneration"] = metadata["generation"]
        old = [pod for pod in self._pods if pod["metadata"]["annotations"].get(ARCHIVE) != self.archive]
        old = [pod for pod in old if pod["status"]["conditions"][0]["status"] == "True"]
        fault = self.faults.get(self.archive)
        ready = self._looks >= self.slow and fault is None
        new = [self._pod(ready, fault) for _ in range(wanted)]
        self._pods = new if ready else old + new
        status.update(updatedReplicas=wanted, replicas=len(self._pods), availableReplicas=wanted if ready else len(old))

    def _pod(self, ready: bool, fault: Json | None) -> Json:
        annotations = {ARCHIVE: self.archive} if self.archive else {}
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}
        if fault is not None:
            status["initContainerStatuses"] = [{"restartCount": self._looks, **fault}]
        return {"metadata": {"labels": LABELS, "annotations": annotations}, "status": status}

    def answer(self, request: BaseHTTPRequestHandler, patch: list[Json] | None) -> None:
        """Answer one request."""
        with self._lock:
            status, value = self._route(urlsplit(request.path).path, parse_qs(urlsplit(request.path).query), patch)
        if patch is not None and status == 200 and self.lost_replies:
            self.lost_replies -= 1
            request.close_connection = True
            return
        body = json.dumps(value).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _route(self, path: str, query: dict[str, list[str]], patch: list[Json] | None) -> tuple[int, Json]:
        if self.fail_next:
            return self.fail_next.pop(0), {}
        if path == "/api/v1/namespaces/models/pods":
            wanted = dict(pair.split("=") for pair in query["labelSelector"][0].split(","))
            assert wanted == LABELS
            ending, self.ending = self.ending, max(0, self.ending - 1)
            former = self._pod(True, None) | {"metadata": {"labels": LABELS, "deletionTimestamp": "now"}}
            evicted = self._pod(False, None) | {"status": {"phase": "Failed"}}
            return 200, {"items": [*self._pods, evicted, *[former] * bool(ending)]}
        if path != f"/apis/apps/v1/namespaces/models/deployments/{self.object['metadata']['name']}":
            return 404, {"kind": "Status", "code": 404}
        if patch is None:
            self._reconcile()
            return 200, self.object
        return self._patch(patch)

    def _patch(self, patch: list[Json]) -> tuple[int, Json]:
        if self.before_patch is not None:
            play, self.before_patch = self.before_patch, None
            play(self)
        try:
            changed = apply_patch(self.object, patch)
        except PatchError as error:
            return 422, {"kind": "Status", "code": 422, "message": str(error)}
        changed["metadata"]["generation"] += changed["spec"] != self.object["spec"]
        changed["metadata"]["resourceVersion"] = str(int(changed["metadata"]["resourceVersion"]) + 1)
        self.object = changed
        self.patches.append(patch)
        return 200, changed
