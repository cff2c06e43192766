"""A small release in a namespace of its own: a rollback from images that do not exist, upgrades of what runs need."""

import json
import os
import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster_world import Cluster, ClusterError, wait

NAMESPACE, RELEASE = "kubetune-rollback", "small"
TINY = {"requests": {"cpu": "5m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
VALUES = {
    # Stateful parts and roles alone: what a rollback must bring back, and what runs under way need.
    "secrets": {"generate": True},
    "airflow": {"mode": "external", "url": "http://airflow.invalid:8080"},
    "database": {"bundled": {"persistence": {"size": "64Mi"}, "resources": TINY}},
    "objectStore": {
        "bundled": {"persistence": {"size": "64Mi"}, "resources": TINY, "bootstrap": {"resources": TINY}},
    },
    "pipelines": {"priorityClass": {"create": True, "name": "kubetune-rollback-stage"}},
    "network": {"enabled": False},
    "tests": {"enabled": False},
}
SETS = (f"{RELEASE}-object-store", f"{RELEASE}-database")


class Small(Cluster):
    """The small release."""

    def __init__(self, values: Path) -> None:
        super().__init__()
        self.namespace, self.release, self.values = NAMESPACE, RELEASE, values

    def install(self, *more: str) -> None:
        """Install or upgrade, and do not wait: what comes does not always start."""
        flags = shlex.split(os.environ.get("HELM_FLAGS", ""))  # of `make kind-up`, for example where the images are
        self.helm("upgrade", "--install", RELEASE, "charts/kubetune", "--values", str(self.values), *flags, *more)

    def image(self, name: str) -> str:
        """The image of a set's only pod; empty while it is away."""
        pod = self.get("pod", f"{name}-0") or {}
        containers = pod.get("spec", {}).get("containers", [{"image": ""}])
        return str(containers[0]["image"])

    def up(self, name: str) -> bool:
        """Whether a set's only pod is ready and as the set wants it."""
        found = self.get("statefulset", name)
        wanted = found["spec"]["template"]["spec"]["containers"][0]["image"]
        return found["status"].get("readyReplicas", 0) == 1 and self.image(name) == wanted


@pytest.fixture(scope="module")
def small(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """The release, installed and ready; gone afterwards, with its namespace and its class."""
    values = tmp_path_factory.mktemp("small") / "values.yaml"
    values.write_text(yaml.safe_dump(VALUES), encoding="utf-8")
    found = Small(values)
    cluster.kubectl("create", "namespace", NAMESPACE)
    try:
        found.install()
        for name in SETS:
            wait(lambda name=name: found.up(name), f"{name} of the first revision", 300)
        yield found
    finally:
        with suppress(ClusterError):
            found.helm("uninstall", RELEASE, "--wait", "--timeout", "3m")
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false", check=False)
        cluster.kubectl("delete", "priorityclass", "kubetune-rollback-stage", "--ignore-not-found")


@contextmanager
def asked_all_the_while(small: Small) -> Iterator[list[str]]:
    """Ask again and again whether the scheduler may make pods; yields the answers."""
    answers: list[str] = []
    stop = threading.Event()
    who = f"--as=system:serviceaccount:{NAMESPACE}:{RELEASE}-scheduler"

    def ask() -> None:
        while not stop.is_set():
            answers.append(small.kubectl("auth", "can-i", "create", "pods", who, check=False).strip())

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def test_a_rollback_from_images_that_do_not_exist_brings_every_set_back(small: Small) -> None:
    before = {name: small.image(name) for name in SETS}
    with asked_all_the_while(small) as answers:
        small.install("--set", "image.tag=0.0.0-none", "--set", "database.bundled.image=postgres:0.0.0-none")
        for name in SETS:
            wait(lambda name=name: "0.0.0-none" in small.image(name), f"the wrong image of {name}", 120)
        assert not any(small.up(name) for name in SETS)
        small.helm("rollback", RELEASE)
        for name in SETS:
            wait(lambda name=name: small.up(name), f"{name} after the rollback", 180)
    assert {name: small.image(name) for name in SETS} == before
    assert set(answers) == {"yes"}, "the scheduler's role was away for a moment"


def pod_of_class() -> str:
    """A pod of a run under way, as the next stage would be made."""
    container = {"name": "a", "image": "a:1"}
    spec = {"priorityClassName": "kubetune-rollback-stage", "containers": [container]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stage"}, "spec": spec})


def test_the_class_of_pods_outlives_the_value_that_made_it(small: Small) -> None:
    """Runs that began before the upgrade name it: without it Kubernetes would refuse their next pods."""
    small.install("--set", "pipelines.priorityClass.create=false")
    assert "created" in small.kubectl("create", "--dry-run=server", "--filename", "-", text=pod_of_class())
    small.install()  # and it is the release's own again
    with pytest.raises(ClusterError, match="was made with 1000, Never"):
        small.install("--set", "pipelines.priorityClass.value=5")


def test_what_cannot_be_changed_is_refused_with_a_command_that_helps(small: Small) -> None:
    """The database: nothing is lost when its set is made again over its pod and its volume."""
    name = f"{RELEASE}-database"
    with pytest.raises(ClusterError) as caught:
        small.install("--set", "database.bundled.persistence.size=96Mi")
    command = str(caught.value).partition(" and kubectl ")[2].partition(" (its pod")[0]
    assert command == f"--namespace {NAMESPACE} delete statefulset {name} --cascade=orphan"
    uid = small.get("pod", f"{name}-0")["metadata"]["uid"]
    subprocess.run(["kubectl", "--context", small.context, *shlex.split(command)], check=True, capture_output=True)
    small.install("--set", "database.bundled.persistence.size=96Mi")
    claim: dict[str, Any] = wait(lambda: small.get("statefulset", name), "the set", 30)
    assert claim["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "96Mi"
    wait(lambda: small.up(name), "the set over its pod", 120)
    assert small.get("pod", f"{name}-0")["metadata"]["uid"] == uid, "the pod was restarted"


def test_a_secret_that_the_namespace_lacks_is_named_before_anything_changes(small: Small) -> None:
    revisions = len(json.loads(small.helm("history", RELEASE, "--output", "json")))
    with pytest.raises(ClusterError, match=f"Namespace {NAMESPACE} lacks Secret nowhere"):
        small.install("--set", "global.pullSecrets={nowhere}")
    assert len(json.loads(small.helm("history", RELEASE, "--output", "json"))) == revisions
