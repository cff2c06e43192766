"""Rollouts under load, the way back, and an archive that was damaged after it was checked."""

import io
import json
from typing import Any

import pytest

from cluster_toys import LONG, Toy, weights
from cluster_world import ARCHIVE, BUCKET, Cluster, wait
from kubetune import layout
from kubetune.client.watch import exit_code_of

JSON = "Content-Type: application/json"
SCAN = """
use strict; use Socket; my @open;
for my $port (1 .. 65535) {
  socket(my $s, PF_INET, SOCK_STREAM, 0) or die $!;
  push @open, $port if connect($s, sockaddr_in($port, inet_aton($ARGV[0])));
  close $s;
}
print join(" ", @open);
"""


@pytest.mark.full
def test_run_a_again_serves_a_and_a_rollout_fails_no_request(
    cluster: Cluster, toy: Toy, undisturbed: dict[str, Any]
) -> None:
    """After A and B, A again is all adopted but the effects, and the rollout is not seen by clients."""
    b = cluster.served()
    with cluster.load() as load:
        toy.submit("toy-a-again")
        found = cluster.complete("toy-a-again")
        wait(lambda: cluster.predict()[2] == cluster.served(), "the new archive's answer")
    a = cluster.served()
    print(f"\nrollout under load: {load.sent} requests, {load.sent / load.seconds:.1f} a second, {load.failed} failed")
    assert weights(found) == weights(undisturbed)
    assert a != b
    assert load.digests == {a, b}
    assert load.failed == 0, load.statuses
    assert load.sent / load.seconds >= 20


@pytest.mark.full
def test_an_archive_damaged_on_its_way_never_serves(cluster: Cluster, toy: Toy) -> None:
    """`deploy` has seen B whole; its pod finds one flipped byte, never becomes ready, and A is put back."""
    a, store = cluster.served(), cluster.root_store()
    name = layout.blob(weights(cluster.show("toy-b")))
    whole = store.get_object(BUCKET, name).read()
    broken = bytearray(whole)
    broken[len(broken) // 2] ^= 1
    cluster.kubectl("rollout", "pause", "deployment", cluster.deployment)
    try:
        toy.submit("toy-b-again", *LONG)
        b = wait(lambda: (found := cluster.served()) != a and found, "deploy's patch", 600)
        store.put_object(BUCKET, name, io.BytesIO(bytes(broken)), len(broken))
        cluster.kubectl("rollout", "resume", "deployment", cluster.deployment)
        pod = wait(lambda: pod_of(cluster, b), "a pod of the damaged archive", 120)
        wait(lambda: not ready(cluster, pod) and cluster.served() == a, "the former archive's return", 600)
        assert cluster.predict()[0] == 200
        assert cluster.predict()[2] == a
        reason = wait(lambda: cluster.reason("toy-b-again", "deploy"), "the reason in Airflow", 300)
        assert "the former archive serves" in reason
        assert exit_code_of(reason, "deploy") == 69
        cluster.kubetune("cancel", "toy-b-again")
    finally:
        cluster.kubectl("rollout", "resume", "deployment", cluster.deployment, check=False)
        store.put_object(BUCKET, name, io.BytesIO(whole), len(whole))
    assert cluster.served() == a


def ready(cluster: Cluster, pod: str) -> bool:
    """Whether a pod is ready; the damaged one must not be at any time."""
    found = pod in [item["metadata"]["name"] for item in cluster.ready_pods()]
    assert not found, f"{pod} serves a damaged archive"
    return found


def pod_of(cluster: Cluster, digest: str) -> str | None:
    """Name of a serving pod of an archive."""
    for item in cluster.get("pods", "--selector", "kubetune.io/endpoint=tweets")["items"]:
        if (item["metadata"].get("annotations") or {}).get(ARCHIVE) == digest:
            return str(item["metadata"]["name"])
    return None


def test_a_serving_pod_has_two_open_ports(cluster: Cluster) -> None:
    (pod,) = cluster.ready_pods()
    assert cluster.node("perl", "-e", SCAN, pod["status"]["podIP"]).split() == ["8080", "8081"]


def test_only_predictions_health_and_metrics_are_answered(cluster: Cluster) -> None:
    (pod,) = cluster.ready_pods()
    clients = {"/models": 404, "/models/tweets": 404, "/healthz": 200, "/metrics": 404, "/v2/health/ready": 200}
    probes = {"/models": 404, "/predictions/tweets": 404, "/healthz": 200, "/readyz": 200, "/metrics": 200}
    for port, paths in ((8080, clients), (8081, probes)):
        for path, status in paths.items():
            url = f"{pod['status']['podIP']}:{port}{path}"
            assert int(cluster.node("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url)) == status, url
    assert json.dumps(pod["metadata"]["annotations"]).count(ARCHIVE) == 1
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["what a lovely day"]}
    asked = f"{pod['status']['podIP']}:8080/v2/models/tweets/infer"
    answer = json.loads(cluster.node("curl", "-s", "-d", json.dumps({"inputs": [tensor]}), "-H", JSON, asked))
    assert [output["name"] for output in answer["outputs"]] == ["label", "score"]
