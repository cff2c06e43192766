"""What breaks while a run is under way, and what the run makes of it."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cluster_toys import LONG, Toy, forget_training, head_step, weights
from cluster_world import Cluster, wait


def test_the_store_restarted_during_ingest_is_waited_for(undisturbed: dict[str, Any]) -> None:
    assert set(undisturbed["stages"]) >= {"ingest", "train", "package"}


def test_a_deleted_train_pod_is_resumed_to_the_same_weights(
    cluster: Cluster, toy: Toy, undisturbed: dict[str, Any]
) -> None:
    store, key = cluster.root_store(), undisturbed["stages"]["train"]["key"]
    forget_training(store, key)
    toy.submit("toy-d")
    first = cluster.running_pod("toy-d", "train")
    step = wait(lambda: head_step(store, key) >= 12 and head_step(store, key), "a checkpoint", 300, pause=0.3)
    cluster.kubectl("delete", "pod", first["metadata"]["name"], "--wait=false")
    second = wait(
        lambda: next(
            (pod for pod in cluster.pods("toy-d", "train") if pod["metadata"]["uid"] != first["metadata"]["uid"]), None
        ),
        "another train pod",
        600,
    )
    log = wait(lambda: "resumed" in (text := cluster.log(second["metadata"]["name"])) and text, "the resumed log", 180)
    resumed = re.search(r"resumed after step (\d+)", log)
    assert resumed and int(resumed[1]) >= step >= 12, log
    found = cluster.complete("toy-d")
    assert found["stages"]["train"]["attempt"] != undisturbed["stages"]["train"]["attempt"]
    assert weights(found) == weights(undisturbed)


@contextmanager
def api_server_away(cluster: Cluster, seconds: float) -> Iterator[None]:
    """Take the Kubernetes API away: its static pod's manifest is moved out of the kubelet's sight."""
    manifest, aside = "/etc/kubernetes/manifests/kube-apiserver.yaml", "/etc/kubernetes/kube-apiserver.yaml"
    cluster.node("mv", manifest, aside)
    try:
        time.sleep(seconds)
        yield
    finally:
        cluster.node("mv", aside, manifest)
        wait(lambda: cluster.kubectl("get", "--raw", "/readyz", check=False) == "ok", "the Kubernetes API", 180)


@pytest.mark.full
def test_a_long_training_of_two_ranks_survives_everything_around_it(cluster: Cluster, toy: Toy) -> None:
    """Scheduler killed, Airflow's API away 60 s, Kubernetes' away 45 s, an upgrade: one pod, one try, success."""
    run, api = toy.submit("toy-b", *LONG), f"{cluster.release}-api-server"
    pod = cluster.running_pod(run, "train")
    uid = pod["metadata"]["uid"]
    secrets = {item["metadata"]["name"]: item["data"] for item in cluster.get("secrets")["items"] if "data" in item}

    def same() -> None:
        found = cluster.pods(run, "train")
        assert [item["metadata"]["uid"] for item in found] == [uid]
        assert found[0]["status"]["phase"] == "Running", "the training is too short for this test"

    selector = f"app.kubernetes.io/instance={cluster.release},app.kubernetes.io/component=scheduler"
    cluster.kubectl("delete", "pod", "--selector", selector, "--grace-period=0", "--force")
    cluster.ready("deployment", f"{cluster.release}-scheduler")
    same()
    cluster.kubectl("scale", "deployment", api, "--replicas=0")
    time.sleep(60)
    cluster.kubectl("scale", "deployment", api, "--replicas=1")
    cluster.ready("deployment", api)
    same()
    with api_server_away(cluster, 45):
        pass
    same()
    cluster.upgrade()
    same()
    found = cluster.complete(run)
    assert len(cluster.pods(run, "train")) <= 1
    assert found["attempts"]["train"] == {}
    after = {item["metadata"]["name"]: item["data"] for item in cluster.get("secrets")["items"] if "data" in item}
    helm = "sh.helm.release"
    assert {k: v for k, v in after.items() if helm not in k} == {k: v for k, v in secrets.items() if helm not in k}


def test_a_missed_threshold_fails_once_with_the_reason_and_leaves_the_endpoint(
    cluster: Cluster, toy: Toy, undisturbed: dict[str, Any]
) -> None:
    served = cluster.served()
    toy.submit("toy-t", "evaluation.thresholds=[{metric: accuracy, at_least: 1.0}, {metric: loss, at_most: 0.0}]")
    ended = cluster.follow("toy-t")
    assert ended.code == 77, ended.text[-2000:]
    assert "loss" in ended.text
    assert len(cluster.pods("toy-t", "evaluate")) == 1, "it was tried again"
    assert cluster.pods("toy-t", "package") == []
    found = cluster.show("toy-t")
    assert found["stages"]["evaluate"]["verdict"]["code"] == 77
    assert any(file["path"] == "report.html" for file in found["stages"]["evaluate"]["outputs"]["report"])
    assert cluster.served() == served
