"""What an operator sees: logs that outlive their pods, why a run waits or was refused, words that are true."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cluster_toys import Toy
from cluster_world import Cluster, wait


def tries(cluster: Cluster, run: str) -> dict[str, int]:
    """Return how many tries each task of a run took, by Airflow's own count."""
    found = cluster.airflow("GET", f"/dags/finetune/dagRuns/{run}/taskInstances?limit=100")["task_instances"]
    return {item["task_id"]: item["try_number"] for item in found}


@contextmanager
def applied(cluster: Cluster, document: dict[str, Any]) -> Iterator[None]:
    """Create an object of the release's namespace for the length of a block."""
    name = f"{document['kind'].lower()}/{document['metadata']['name']}"
    cluster.kubectl("delete", name, "--ignore-not-found")
    cluster.kubectl("create", "--filename", "-", text=json.dumps(document))
    try:
        yield
    finally:
        cluster.kubectl("delete", name, "--ignore-not-found")


def reason_while_it_waits(cluster: Cluster, run: str, sentence: str, seconds: float = 300) -> float:
    """Follow a run until it says a sentence of a stage that waits; returns after how many seconds."""
    began = time.monotonic()
    with subprocess.Popen(
        [*cluster.command("follow", run)], env=cluster.environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if sentence in line:
                    return time.monotonic() - began
                assert time.monotonic() - began < seconds, f"not said within {seconds:.0f} s"
        finally:
            process.kill()
    raise AssertionError("the run ended without the sentence")


def test_a_log_outlives_the_pods_that_held_it(cluster: Cluster, toy: Toy, undisturbed: dict[str, Any]) -> None:
    def logs() -> dict[str, str]:
        return {stage: cluster.kubetune("logs", "toy-a", stage).text for stage in ("ingest", "prepare", "train")}

    before = logs()
    assert all("kubetune" in text or "training" in text or text.strip() for text in before.values()), before
    parts = f"app.kubernetes.io/instance={cluster.release},app.kubernetes.io/component"
    cluster.kubectl("delete", "pod", "--selector", "kubetune.io/run=toy-a", "--wait=true")
    cluster.kubectl("delete", "pod", "--selector", f"{parts} in (scheduler, triggerer, api-server)", "--wait=false")
    for kind, part in (("deployment", "scheduler"), ("deployment", "api-server"), ("statefulset", "triggerer")):
        cluster.ready(kind, f"{cluster.release}-{part}")
    assert logs() == before


def test_a_training_without_a_node_says_why_and_what_helps(
    cluster: Cluster, toy: Toy, undisturbed: dict[str, Any]
) -> None:
    run = toy.submit("toy-gpu", "resources.train.gpus=1", "training.seed=77")
    wait(lambda: cluster.pods(run, "train"), "the pod of train", 600)
    took = reason_while_it_waits(cluster, run, "Insufficient nvidia.com/gpu", 120)
    print(f"\nfollow said why after {took:.0f} s")
    logged = cluster.kubetune("logs", run, "train")
    assert "Insufficient nvidia.com/gpu" in logged.text and "resources.train" in logged.text
    assert cluster.kubetune("cancel", run).code == 0
    wait(lambda: not cluster.pods(run, "train"), "the end of the pod", 120)
    again = cluster.kubetune(*toy.words("toy-gpu", "resources.train.gpus=1", "training.seed=77"))
    assert again.code == 78 and "over (cancelled)" in again.text
    assert "over already (cancelled)" in cluster.kubetune("cancel", run).text


@pytest.mark.full
def test_a_full_quota_is_waited_for_in_one_try(cluster: Cluster, toy: Toy, undisturbed: dict[str, Any]) -> None:
    counted = len(cluster.get("pods", "--field-selector", "status.phase!=Succeeded,status.phase!=Failed")["items"])
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}}
    with applied(cluster, quota | {"spec": {"hard": {"pods": str(counted)}}}):
        run = toy.submit("toy-quota")
        reason_while_it_waits(cluster, run, "exceeded quota: full", 120)
        logged = cluster.kubetune("logs", run, "ingest").text
        assert "the quota of its namespace is full" in logged and "HTTPHeaderDict" not in logged
    cluster.complete(run)
    assert set(tries(cluster, run).values()) == {1}


def test_a_pod_that_the_namespace_refuses_fails_at_once_with_the_apis_sentence(
    cluster: Cluster, toy: Toy, undisturbed: dict[str, Any]
) -> None:
    limits = {"type": "Container", "max": {"cpu": "1500m"}}
    document = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": {"limits": [limits]}}
    with applied(cluster, document):
        run = toy.submit("toy-limit")
        ended = cluster.follow(run)
    assert ended.code == 78
    assert "the cluster refuses the pod" in ended.text and "maximum cpu usage per Container is 1500m" in ended.text
    assert "HTTP response" not in ended.text and "HTTPHeaderDict" not in ended.text
    assert tries(cluster, run)["ingest"] == 1


@pytest.mark.full
def test_a_pod_that_outgrows_its_scratch_fails_once_and_names_it(
    cluster: Cluster, toy: Toy, undisturbed: dict[str, Any]
) -> None:
    run = toy.submit("toy-scratch", "resources.train.scratch=30Mi", "training.seed=78", "training.epochs=60")
    ended = cluster.follow(run)
    assert ended.code == 78, ended.text[-2000:]
    assert "out of scratch space: raise resources.train.scratch" in ended.text
    assert tries(cluster, run)["train"] == 1


@pytest.mark.full
def test_short_stages_lose_no_try(cluster: Cluster, toy: Toy, undisturbed: dict[str, Any]) -> None:
    """Runs whose every stage is adopted, so that each pod is over in seconds: the scheduler reads the end of the
    process that deferred a task only after the pod's (airflow#72716)."""
    runs = [toy.submit(f"toy-short-{number}") for number in range(12)]
    for run in runs:
        cluster.complete(run)
    # Twelve runs that deploy one endpoint at once may meet: who comes second ends with 75 and is rightly tried again.
    again = {
        (run, task): count - 1 - ended_badly(cluster, run, task)
        for run in runs
        for task, count in tries(cluster, run).items()
    }
    assert {key: count for key, count in again.items() if count > 0} == {}, "tries after a pod that had ended with 0"
    assert len(again) >= 12 * 10


def ended_badly(cluster: Cluster, run: str, stage: str) -> int:
    """Return how many pods of a stage ended with an error."""
    states = [pod["status"]["containerStatuses"][0]["state"] for pod in cluster.pods(run, stage)]
    return sum("terminated" in state and state["terminated"]["exitCode"] != 0 for state in states)
