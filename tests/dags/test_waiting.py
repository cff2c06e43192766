"""Why a pod waits, told while it does; and when its task may be woken."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from kubernetes import client as k8s

from airflow_toys import connection_to
from kubetune.orchestration import waiting
from kubetune.orchestration.causes import waiting_reason
from kubetune.orchestration.operators import stage_task
from kubetune.orchestration.waiting import QuotaTrigger, StagePod, StagePodTrigger
from kubetune.stages import BY_NAME
from process_kubelet import Kubelet

FULL = 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "toy", "namespace": "kubetune", "labels": {"kubetune.io/stage": "train"}},
    "spec": {"containers": [{"name": "base", "image": "toy", "args": [], "env": []}]},
}


@pytest.fixture
def kubelet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubelet]:
    served = Kubelet(tmp_path / "pods", ["true"])
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", connection_to(served.url))
    yield served
    served.close()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lines that managers and triggers write into the task's log."""
    lines: list[str] = []
    log = SimpleNamespace(**{
        level: lambda text, *values, **_: lines.append(text % values)
        for level in ("debug", "info", "warning", "error", "exception")
    })  # fmt: skip
    for writer in (waiting.AsyncTellingPodManager, waiting.TellingPodManager, QuotaTrigger):
        monkeypatch.setattr(writer, "log", log)
    return lines


def started(kubelet: Kubelet) -> Any:
    """The pod, made as the operator makes it."""
    hook = stage_task(BY_NAME["train"], POD)
    hook.in_cluster = None
    hook.client.create_namespaced_pod("kubetune", json.loads(json.dumps(POD)))
    return kubelet.created[-1]


def trigger(**changes: Any) -> StagePodTrigger:
    settings = {"poll_interval": 0.05, "startup_check_interval": 0.05, "schedule_timeout": 1, "get_logs": False}
    return StagePodTrigger(
        pod_name="toy", pod_namespace="kubetune", trigger_start_time=datetime.now(UTC), base_container_name="base",
        kubernetes_conn_id="kubernetes_default", log_events_on_startup=False, **(settings | changes)
    )  # fmt: skip


async def first(found: Any) -> dict[str, Any]:
    async for event in found.run():
        return dict(event.payload)
    raise AssertionError("no event")


def test_a_pod_that_has_ended_already_wakes_its_task_only_once_the_scheduler_has_settled(
    kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SETTLED_S", 0.6)
    pod = started(kubelet)
    while pod.document["status"]["phase"] != "Succeeded":
        time.sleep(0.01)
    began = time.monotonic()
    event = asyncio.run(first(trigger()))
    assert event["status"] == "success"
    assert time.monotonic() - began >= 0.6


def test_the_operator_defers_to_our_trigger_and_the_triggerer_can_make_it_again(kubelet: Kubelet) -> None:
    task = stage_task(BY_NAME["train"], POD)
    with pytest.raises(TaskDeferred) as deferred:
        task.defer(trigger=trigger(), method_name="trigger_reentry")
    path, arguments = deferred.value.trigger.serialize()
    module, _, name = path.rpartition(".")
    assert (module, name) == (waiting.__name__, "StagePodTrigger")
    assert StagePodTrigger(**arguments).serialize() == (path, arguments)
    assert isinstance(task, StagePod)


@pytest.mark.parametrize(("command", "defers"), [("true", False), ("sleep", True)])
def test_a_pod_that_is_over_in_a_moment_is_not_deferred_for(
    kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch, command: str, defers: bool
) -> None:
    monkeypatch.setattr(waiting, "BRIEF_S", 0.5 if defers else 30.0)
    monkeypatch.setattr(waiting, "BRIEF_POLL_S", 0.02)
    kubelet.command = [command, *(["30"] if defers else [])]
    started(kubelet)
    task = stage_task(BY_NAME["train"], POD)
    task.in_cluster, events = None, []
    task.pod = task.client.read_namespaced_pod("toy", "kubetune")
    monkeypatch.setattr(StagePod, "trigger_reentry", lambda self, context, event: events.append(event["status"]))
    context = {"ti": SimpleNamespace(start_date=datetime.now(UTC))}
    if defers:
        with pytest.raises(TaskDeferred):
            task.invoke_defer_method(context=context)
    else:
        task.invoke_defer_method(context=context)
    assert events == ([] if defers else ["success"])


def test_the_schedulers_sentence_is_told_once_with_what_helps(
    kubelet: Kubelet, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SETTLED_S", 0.0)
    missing = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    kubelet.unschedulable["train"] = missing
    started(kubelet)
    event = asyncio.run(first(trigger()))
    assert event["status"] == "timeout"
    reasons = [line for line in told if line.startswith(waiting.WAITS)]
    assert reasons == [f"{waiting.WAITS}no node takes it: {missing} Lower resources.train, or free or add a node."]


def test_a_quota_is_asked_until_it_has_room_and_nothing_is_made_meanwhile(
    kubelet: Kubelet, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "QUOTA_POLL_S", 0.01)
    kubelet.refusals += [(403, FULL), (500, "etcd is away"), (403, FULL.replace("used: pods=1", "used: pods=2"))]
    quota = QuotaTrigger(POD, "kubetune", FULL, {"conn_id": "kubernetes_default"})
    path, arguments = quota.serialize()
    assert path == f"{waiting.__name__}.QuotaTrigger"
    assert asyncio.run(first(QuotaTrigger(**arguments))) == {"status": "room"}
    assert not kubelet.refusals and not kubelet.created
    reasons = [line for line in told if line.startswith(waiting.WAITS)]
    assert len(reasons) == 2, "one line a change"
    assert "requested: pods=1, used: pods=1, limited: pods=1" in reasons[0]


def pending(**status: Any) -> k8s.V1Pod:
    return k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="p", labels={"kubetune.io/stage": "train"}),
        status=k8s.V1PodStatus(phase="Pending", **status),
    )


def container(reason: str, message: str | None = None) -> k8s.V1ContainerStatus:
    state = k8s.V1ContainerState(waiting=k8s.V1ContainerStateWaiting(reason=reason, message=message))
    return k8s.V1ContainerStatus(name="base", state=state, image="i", image_id="", ready=False, restart_count=0)


def event(reason: str, message: str, kind: str = "Warning") -> SimpleNamespace:
    return SimpleNamespace(reason=reason, message=message, type=kind)


@pytest.mark.parametrize(
    ("pod", "events", "said"),
    [
        (pending(container_statuses=[container("ContainerCreating")]), [], ""),
        (pending(), [event("Scheduled", "assigned", "Normal")], ""),
        (pending(container_statuses=[container("ImagePullBackOff", "registry is away")]), [], "registry is away"),
        (pending(container_statuses=[container("CreateContainerConfigError", 'secret "s" not found')]), [], '"s"'),
        (
            pending(container_statuses=[container("ContainerCreating")]),
            [event("FailedMount", 'MountVolume.SetUp failed for volume "secrets": secret "s" not found')],
            'secret "s" not found',
        ),
        (
            pending(
                conditions=[
                    k8s.V1PodCondition(type="PodScheduled", status="False", message="untolerated taint {gpu: true}")
                ]
            ),
            [],
            "untolerated taint",
        ),
    ],
)
def test_each_kind_of_waiting_has_its_sentence(pod: k8s.V1Pod, events: list[Any], said: str) -> None:
    found = waiting_reason(pod, events)
    assert said in found if said else found == ""
