"""What pods may reach, what accounts may do, and how GPUs are asked for."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from cluster_world import Cluster, wait
from kubetune.config.cluster import ClusterSettings
from kubetune.config.load import load_recipe
from kubetune.orchestration.pods import run_pods
from kubetune.stages import STAGES as TABLE

STAGES = tuple(stage.name for stage in TABLE)
REACH = (
    "import socket,sys,time\n"
    "time.sleep(5)\n"  # a policy takes a moment to reach a new pod
    "for target in sys.argv[1:]:\n"
    "    host,port=target.rsplit(':',1)\n"
    "    try: socket.create_connection((host,int(port)),3).close(); print(target,'open')\n"
    "    except OSError: print(target,'closed')\n"
)


@pytest.fixture(scope="module")
def settings(cluster: Cluster) -> ClusterSettings:
    """What the chart tells Airflow."""
    text = cluster.get("configmap", f"{cluster.release}-cluster")["data"]["cluster.yaml"]
    return ClusterSettings.model_validate(yaml.safe_load(text))


@contextmanager
def outside() -> Iterator[str]:
    """A listener on this machine, which to the cluster is the world outside, at the port that `ingest` may use."""
    with socket.create_server(("0.0.0.0", 443)) as server:
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        yield "443"


def accept(server: socket.socket) -> None:
    """Take connections until the listener is closed."""
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def gateway(cluster: Cluster) -> str:
    """This machine's address as nodes see it."""
    return cluster.node("sh", "-c", "ip route show default").split()[2]


def launch(cluster: Cluster, pod: dict[str, Any], name: str) -> None:
    """Create a pod anew."""
    cluster.kubectl("delete", "pod", name, "--ignore-not-found", "--wait=true")
    pod["metadata"]["name"] = name
    cluster.kubectl("create", "--filename", "-", text=json.dumps(pod))


@pytest.fixture(scope="module")
def reached(cluster: Cluster, settings: ClusterSettings) -> dict[str, dict[str, str]]:
    """What a program in the real pod of each stage reaches: `outside`, `store`, `kubernetes`, `tracking`."""
    pods, said = run_pods(load_recipe("tweets"), "reach", None, settings), {}
    with outside() as port:
        targets = [f"{gateway(cluster)}:{port}", f"{cluster.release}-object-store:9000", "10.96.0.1:443"]
        targets.append(f"{cluster.release}-tracking:5000")
        for stage in STAGES:
            container = pods[stage]["spec"]["containers"][0]
            container |= {"command": ["python", "-c", REACH], "args": targets}
            container["image"] = settings.images.reference("deploy")
            launch(cluster, pods[stage], f"reach-{stage}")
        for stage in STAGES:
            wait(lambda name=f"reach-{stage}": ended(cluster, name), f"the end of reach-{stage}", 180)
            lines = [line.rsplit(" ", 1)[1] for line in cluster.log(f"reach-{stage}").splitlines()]
            said[stage] = dict(zip(("outside", "store", "kubernetes", "tracking"), lines, strict=True))
    cluster.kubectl("delete", "pod", "--selector", "kubetune.io/run=reach", "--wait=false")
    return said


def ended(cluster: Cluster, pod: str) -> bool:
    """Whether a pod's program is over."""
    return cluster.get("pod", pod)["status"]["phase"] in ("Succeeded", "Failed")


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_but_ingest_and_fetch_reaches_out(reached: dict[str, dict[str, str]], stage: str) -> None:
    assert reached[stage] == {
        "outside": "open" if stage in {"ingest", "fetch"} else "closed",
        "store": "open",
        "kubernetes": "open" if stage == "deploy" else "closed",
        "tracking": "closed",
    }


ALLOWED = {
    "deploy": {("get", "deployments.apps/kubetune-serve-tweets"), ("patch", "deployments.apps/kubetune-serve-tweets"),
        ("list", "pods")},
    "stage": set(),
    "scheduler": {("create", "pods"), ("list", "pods"), ("delete", "pods"), ("patch", "pods"), ("list", "events"),
        ("get", "pods/log")},
    "triggerer": {("create", "pods"), ("list", "pods"), ("delete", "pods"), ("patch", "pods"), ("list", "events"),
        ("get", "pods/log")},
}  # fmt: skip
ASKED = [
    (verb, kind)
    for kind in ("pods", "secrets", "deployments.apps/kubetune-serve-tweets", "deployments.apps/kubetune-api-server",
        "events", "pods/log", "pods/exec", "roles", "configmaps")
    for verb in ("get", "list", "create", "patch", "delete")
    if (verb, kind) not in {("get", "pods"), ("get", "events")}
]  # fmt: skip


@pytest.mark.parametrize("account", sorted(ALLOWED))
def test_accounts_may_do_what_they_must_and_nothing_else(cluster: Cluster, account: str) -> None:
    user = f"system:serviceaccount:{cluster.namespace}:{cluster.release}-{account}"
    may = {
        (verb, kind)
        for verb, kind in ASKED
        if cluster.kubectl("auth", "can-i", verb, *resource(kind), f"--as={user}", check=False).strip() == "yes"
    }
    assert may == ALLOWED[account]


def resource(kind: str) -> list[str]:
    """`pods/log` is a subresource, `deployments.apps/name` an object."""
    name, _, part = kind.partition("/")
    return [name, f"--subresource={part}"] if name == "pods" and part else [kind]


def capacity(cluster: Cluster, gpus: int) -> None:
    """Let the node offer GPUs that it does not have."""
    operation = {"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": str(gpus)}
    node = f"{cluster.name}-control-plane"
    cluster.kubectl("patch", "node", node, "--subresource=status", "--type=json", "--patch", json.dumps([operation]))


def test_a_training_on_gpus_waits_for_them_with_a_clear_reason(cluster: Cluster, settings: ClusterSettings) -> None:
    pod = run_pods(load_recipe("tweets", ["resources.train.gpus=2"]), "gpu", None, settings)["train"]
    capacity(cluster, 0)
    launch(cluster, pod, "gpu")
    condition = wait(lambda: unscheduled(cluster.get("pod", "gpu")), "the scheduler's word", 60)
    assert "Insufficient nvidia.com/gpu" in condition
    capacity(cluster, 2)
    try:
        wait(lambda: cluster.get("pod", "gpu")["spec"].get("nodeName"), "a node with GPUs", 120)
    finally:
        cluster.kubectl("delete", "pod", "gpu", "--wait=true")
        capacity(cluster, 0)


def unscheduled(pod: dict[str, Any]) -> str:
    """Why a pod has no node; empty if it has one."""
    conditions = pod["status"].get("conditions", [])
    return next((item.get("message", "") for item in conditions if item["type"] == "PodScheduled"), "")


def test_helm_test_passes(cluster: Cluster) -> None:
    cluster.helm("test", cluster.release, "--timeout", "10m")
