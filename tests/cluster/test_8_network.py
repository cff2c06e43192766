"""Who reaches whom: a pod with the labels of each part tries each port, on a cluster whose plugin enforces policies."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from chart_stages import pods_as_objects
from cluster_world import Cluster, wait
from kubetune.config.cluster import ClusterSettings

OUTSIDE = "kt-net"
TIMEOUT_S = 4
SETTLED_S = 20
"""Until the plugin knows a new pod; some hold its egress policy only then."""
# Not ready, so that no Service sends anything to a pod that only has the labels of its kind.
NEVER_READY = {"exec": {"command": ["python", "-c", "raise SystemExit(1)"]}, "periodSeconds": 600}
PROBE = f"""
import json, socket, sys, time
from concurrent.futures import ThreadPoolExecutor
def reached(item):
    name, (host, port) = item
    try:
        socket.create_connection((host, port), {TIMEOUT_S}).close()
    except OSError:
        return None
    return name
time.sleep({SETTLED_S})
targets = json.loads(sys.argv[1])
with ThreadPoolExecutor(len(targets)) as pool:
    print(json.dumps(sorted(filter(None, pool.map(reached, targets.items())))))
"""
RESTRICTED = {
    "runAsNonRoot": True, "runAsUser": 10001, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip
OWN = (
    "pod-template-hash",
    "controller-revision-hash",
    "apps.kubernetes.io/pod-index",
    "statefulset.kubernetes.io/pod-name",
)
"""Labels by which a controller would take a pod for its own."""

# Written by hand, not derived from the policies: what each part needs. In profile kind everybody may call what people
# call: `published`, and the store, whose Service is a port of the node.
PUBLISHED = "api-server tracking endpoint"
AIRFLOW = "database object-store api-server kubernetes"
MAY = {
    "api-server": f"{AIRFLOW} scheduler-logs triggerer-logs",
    "scheduler": AIRFLOW,
    "triggerer": AIRFLOW,
    "dag-processor": "database api-server",
    "database": "",
    "object-store": "",
    "serving": "object-store",
    "tracking": "database object-store",
    "tracking-mirror": "object-store tracking",
    "ingest": "object-store outside",
    "fetch": "object-store outside",
    **dict.fromkeys(["prepare", "train", "evaluate", "behave", "compare", "package", "register"], "object-store"),
    "deploy": "object-store kubernetes endpoint",
    "housekeeping": "object-store",
    "a pod of nobody": f"{PUBLISHED} object-store probes outside kubernetes",
    "another namespace": f"{PUBLISHED} object-store outside kubernetes",
}
TARGETS = {
    "database": ("database", 5432),
    "object-store": ("object-store", 9000),
    "api-server": ("api-server", 8080),
    "scheduler-logs": ("scheduler", 8793),
    "triggerer-logs": ("triggerer", 8794),
    "tracking": ("tracking", 5000),
    "endpoint": ("serving", 8080),
    "probes": ("serving", 8081),
}


def parts(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Return the running pods of the release by component."""
    found = cluster.get("pods", "--selector", f"app.kubernetes.io/instance={cluster.release}")["items"]
    running = [pod for pod in found if pod["status"]["phase"] == "Running"]
    return {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for pod in running}


def pod(name: str, labels: dict[str, str], image: str, targets: dict[str, Any]) -> dict[str, Any]:
    """Return a pod that says what it reaches and ends."""
    container = {
        "name": "probe", "image": image, "command": ["python", "-c", PROBE, json.dumps(targets)],
        "securityContext": RESTRICTED, "readinessProbe": NEVER_READY,
        "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
    }  # fmt: skip
    spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


@pytest.fixture
def outside(cluster: Cluster) -> Iterator[Cluster]:
    """A namespace of somebody else with a web server in it."""
    other = Cluster()
    other.namespace = OUTSIDE
    cluster.kubectl("create", "namespace", OUTSIDE)
    try:
        image = settings_of(cluster).images.reference("deploy")
        server = {"name": "web", "image": image, "command": ["python", "-m", "http.server", "80"]}
        spec = {"containers": [server | {"securityContext": {"runAsUser": 0}}], "automountServiceAccountToken": False}
        web = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}
        other.kubectl("create", "--filename", "-", text=json.dumps(web))
        other.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=180s")
        yield other
    finally:
        cluster.kubectl("delete", "namespace", OUTSIDE, "--wait=false")


def settings_of(cluster: Cluster) -> ClusterSettings:
    """Return what Airflow's tasks read of the cluster."""
    data = cluster.get("configmap", f"{cluster.release}-cluster")["data"]
    return ClusterSettings.model_validate(yaml.safe_load(data["cluster.yaml"]))


@pytest.mark.full
def test_each_part_reaches_what_it_needs_and_nothing_else(cluster: Cluster, outside: Cluster) -> None:
    found, settings = parts(cluster), settings_of(cluster)
    labels = {name: found[name]["metadata"]["labels"] for name in MAY if name in found}
    labels |= {name: item["metadata"]["labels"] for name, item in pods_as_objects(settings).items()}
    labels |= {"a pod of nobody": {}, "another namespace": {}}
    assert set(labels) >= set(MAY), "a part of the release does not run"
    targets = {name: (found[part]["status"]["podIP"], port) for name, (part, port) in TARGETS.items()}
    targets |= {
        "outside": (outside.get("pod", "web")["status"]["podIP"], 80),
        "kubernetes": (
            cluster.kubectl(
                "get", "service", "kubernetes", "--namespace=default", "--output=jsonpath={.spec.clusterIP}"
            ),
            443,
        ),
    }
    image, reached = settings.images.reference("deploy"), {}
    names = {name: f"probe-{number}" for number, name in enumerate(MAY)}
    try:
        for name, probe in names.items():
            own = {key: value for key, value in labels[name].items() if key not in OWN} | {"kt-probe": "true"}
            where = outside if name == "another namespace" else cluster
            where.kubectl("create", "--filename", "-", text=json.dumps(pod(probe, own, image, targets)))
        for name, probe in names.items():
            where = outside if name == "another namespace" else cluster
            ended = ("Succeeded", "Failed")
            wait(lambda: where.get("pod", probe)["status"]["phase"] in ended, f"the end of {probe}", 300)  # noqa: B023
            reached[name] = set(json.loads(where.log(probe).strip().splitlines()[-1]))
    finally:
        cluster.kubectl("delete", "pods", "--selector", "kt-probe=true", "--wait=false", "--grace-period=0")
    assert reached == {name: set(words.split()) for name, words in MAY.items()}
    assert set().union(*reached.values()) == set(targets), "a port that nobody reaches may just be shut"
