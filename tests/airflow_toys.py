"""A made-up cluster's settings, and a Kubernetes connection to a loopback API, for the tests of the DAGs."""

import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from kubetune.stages import STAGES

CLUSTER = {
    "release": "kubetune",
    "namespace": "kubetune",
    "images": {"tag": "0.1.0"},
    "store": {"url": "s3://kubetune", "endpoint": "http://kubetune-object-store:9000"},
    "serving": {"namespace": "kubetune", "release": "kubetune"},
    "accounts": {"default": "kubetune-stage", "deploy": "kubetune-deploy"},
    "secrets": {name: [f"kubetune-store-{name}"] for name in (*(stage.name for stage in STAGES), "housekeeping")},
}


def write_cluster(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> Path:
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump({**CLUSTER, **changes}), encoding="utf-8")
    monkeypatch.setenv("KUBETUNE_CLUSTER_FILE", str(path))
    monkeypatch.setenv("KUBETUNE_RECIPES_DIR", str(folder / "recipes"))
    return path


def path_first() -> dict[str, str]:
    """The environment in which Airflow's commands are found."""
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def connection_to(url: str) -> str:
    """A Kubernetes connection to a loopback API."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": "test"}}],
    }
    return json.dumps({"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(config)}})
