"""A Kubernetes API as far as Helm's `lookup` meets it: versions, discovery, and objects by name, over HTTP."""

import json
import threading
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from chart_helm import NAMESPACE

Object = dict[str, Any]
KINDS = {
    "v1": {"Secret": "secrets", "ConfigMap": "configmaps", "ServiceAccount": "serviceaccounts", "Service": "services",
           "Endpoints": "endpoints"},
    "apps/v1": {"StatefulSet": "statefulsets"},
    "scheduling.k8s.io/v1": {"PriorityClass": "priorityclasses"},
}  # fmt: skip
"""Plural by kind, by API version."""


def namespace(name: str = NAMESPACE) -> Object:
    """The account that Kubernetes gives each namespace."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}


def secret(name: str, *keys: str, where: str = NAMESPACE, **data: str) -> Object:
    """A Secret with these keys, and with these values."""
    content = {key: b64encode(data.get(key, "x").encode()).decode() for key in (*keys, *data)}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": where}, "data": content}


def config_map(name: str, **data: str) -> Object:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data}


@contextmanager
def cluster(folder: Path, objects: Sequence[Object]) -> Iterator[list[str]]:
    """Serve objects; yields the arguments with which Helm asks this cluster."""
    known = {_path(item): item for item in objects}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            found = _discovery(path) or known.get(path)
            body = json.dumps(found or _status(path)).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        config = folder / "kubeconfig"
        config.write_text(_kubeconfig(f"http://127.0.0.1:{server.server_port}"), encoding="utf-8")
        yield ["--dry-run=server", "--kubeconfig", str(config)]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _path(item: Object) -> str:
    version, meta = item["apiVersion"], item["metadata"]
    root = f"/api/{version}" if version == "v1" else f"/apis/{version}"
    within = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    return f"{root}{within}/{KINDS[version][item['kind']]}/{meta['name']}"


def _discovery(path: str) -> Object | None:
    if path == "/version":
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.4"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = [version.split("/") for version in KINDS if "/" in version]
        versions = [{"groupVersion": "/".join(pair), "version": pair[1]} for pair in groups]
        named = [
            {"name": pair[0], "versions": [one], "preferredVersion": one}
            for pair, one in zip(groups, versions, strict=True)
        ]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": named}
    version = path.removeprefix("/api/").removeprefix("/apis/")
    if version in KINDS and path in {f"/api/{version}", f"/apis/{version}"}:
        resources = [
            {"name": plural, "singularName": "", "kind": kind, "verbs": ["get"], "namespaced": kind != "PriorityClass"}
            for kind, plural in KINDS[version].items()
        ]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
    return None


def _status(path: str) -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": "NotFound",
        "code": 404,
        "message": path,
    }


def _kubeconfig(url: str) -> str:
    one = {
        "clusters": [{"name": "a", "cluster": {"server": url}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": {}}],
    }
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "a", **one})
