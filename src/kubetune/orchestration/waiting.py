"""Pods that say why they wait: managers that log the reason, a trigger that wakes its task late enough, full quotas."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import cached_property
from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.providers.cncf.kubernetes.utils.pod_manager import AsyncPodManager, PodManager, PodPhase
from airflow.triggers.base import BaseTrigger, TriggerEvent
from kubernetes.client.exceptions import ApiException
from kubernetes_asyncio.client import CoreV1Api
from urllib3.exceptions import HTTPError

from kubetune.orchestration.causes import NO_NODE, full_quota, reason_line, unscheduled, waiting_reason

WAITS = "The pod waits: "
"""How a line of a task's log begins that says why its pod has not started; `kubetune.client.watch` looks for it."""
GOES_ON = "The pod waits no longer."
QUOTA = "the quota of its namespace is full, and it goes on when other pods end: "
BRIEF_S, BRIEF_POLL_S = 15.0, 1.0
"""Seconds for which a task looks at its pod itself before it defers: whatever has its result already is done in them,
and needs neither a trigger nor its poll interval."""
SETTLED_S = 15.0
"""Seconds that a task stays deferred at least. Airflow reads late that the process ended which deferred it, and takes
that for the end of the task if the trigger has woken it by then (airflow#72716): a finished pod cost a try."""
SLOW_S = 30.0
"""A container that is starting for so long may be kept from it, which events alone tell."""
EVENTS_EVERY_S = 15.0
QUOTA_POLL_S = 30.0


class _Reasons:
    """What a pod manager saw last, and the reason that it logged last."""

    log: Any
    seen: Any = None
    logged = ""
    _since = _looked = 0.0

    def wants_events(self, pod: Any) -> bool:
        """Whether a pod is pending for so long that its events are worth a request; a few a minute are enough."""
        moment = time.monotonic()
        if pod.status.phase != "Pending":
            return False
        self._since = self._since or moment
        due = moment - self._since >= SLOW_S and moment - self._looked >= EVENTS_EVERY_S
        self._looked = moment if due else self._looked
        return due

    def tell(self, pod: Any, events: Any = ()) -> Any:
        """Log the reason if it is another one than before; returns the pod."""
        self.seen = pod
        reason = waiting_reason(pod, events)
        if reason and reason != self.logged:
            self.logged = reason
            self.log.info("%s%s", WAITS, reason)
        elif self.logged and not reason and (self.logged.startswith(NO_NODE) or pod.status.phase != "Pending"):
            self.logged = ""
            self.log.info(GOES_ON)
        return pod


class TellingPodManager(_Reasons, PodManager):
    """The manager of a task that waits for its pod."""

    def read_pod(self, pod: Any) -> Any:
        """See `PodManager.read_pod`."""
        found = super().read_pod(pod)
        if not self.wants_events(found):
            return self.tell(found)
        try:
            return self.tell(found, self.read_pod_events(found).items)
        except ApiException:
            return self.tell(found)

    def run_pod_async(self, pod: Any, **settings: Any) -> Any:
        """Create a pod; the base class would print all of it into the log where the API refuses it."""
        body = self._client.api_client.sanitize_for_serialization(pod)
        return self._client.create_namespaced_pod(body=body, namespace=pod.metadata.namespace, **settings)


class AsyncTellingPodManager(_Reasons, AsyncPodManager):
    """The manager of a trigger."""

    async def read_pod(self, pod: Any) -> Any:
        """See `AsyncPodManager.read_pod`."""
        found = await super().read_pod(pod)
        if not self.wants_events(found):
            return self.tell(found)
        try:
            return self.tell(found, (await self.read_pod_events(found)).items)
        except Exception:  # whatever the client raises: events explain, they do not decide
            return self.tell(found)


class StagePodTrigger(KubernetesPodTrigger):
    """Says why the pod has not started, and wakes its task no sooner than the scheduler can follow."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See `KubernetesPodTrigger.serialize`, which names its own class whatever the object is."""
        return f"{__name__}.{type(self).__name__}", super().serialize()[1]

    @cached_property
    def pod_manager(self) -> AsyncPodManager:
        """The manager that tells."""
        return AsyncTellingPodManager(async_hook=self.hook)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """See `KubernetesPodTrigger.run`."""
        began = time.monotonic()
        async for event in super().run():
            self._fired_event = False  # a task that is ended meanwhile still has a pod to delete
            await asyncio.sleep(max(0.0, SETTLED_S - (time.monotonic() - began)))
            self._fired_event = True
            yield event


class QuotaTrigger(BaseTrigger):
    """Waits until the API would take a pod: asks it every half minute to create the pod without doing so.

    Args:
        pod: The pod as the API takes it.
        namespace: Where it shall run.
        reason: Why it was not taken.
        hook: Arguments of `AsyncKubernetesHook`.
    """

    def __init__(self, pod: dict[str, Any], namespace: str, reason: str, hook: dict[str, Any]) -> None:
        super().__init__()
        self.pod, self.namespace, self.reason, self.hook = pod, namespace, reason, hook

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See `BaseTrigger.serialize`."""
        values = {"pod": self.pod, "namespace": self.namespace, "reason": self.reason, "hook": self.hook}
        return f"{__name__}.{type(self).__name__}", values

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event once the quota is not what stops the pod; what else may stop it, its task meets itself."""
        logged = ""
        while self.reason:
            if self.reason != logged:
                logged = self.reason
                self.log.info("%s%s%s", WAITS, QUOTA, reason_line(logged))
            await asyncio.sleep(QUOTA_POLL_S)
            self.reason = await self.full()
        yield TriggerEvent({"status": "room"})

    async def full(self) -> str:
        """Return the API's sentence if the quota is still full; the last one while the API does not answer."""
        try:
            async with AsyncKubernetesHook(**self.hook).get_conn() as connection:
                await CoreV1Api(connection).create_namespaced_pod(self.namespace, self.pod, dry_run="All")
        except Exception as error:  # whatever the client raises: a trigger that fails would cost the task a try
            status = getattr(error, "status", None)
            if status is None or status >= 500 or status in {401, 429}:
                self.log.info("The Kubernetes API could not be asked: %s", reason_line(str(error)))
                return self.reason
            return full_quota(error) or ""
        return ""


class StagePod(KubernetesPodOperator):
    """The operator of every pod of ours."""

    pod: Any
    """The pod as the API gives it, once it is there; the base class sets it."""

    @cached_property
    def pod_manager(self) -> PodManager:
        """The manager that tells."""
        return TellingPodManager(kube_client=self.client, callbacks=self.callbacks)

    def defer(self, *, trigger: BaseTrigger, **settings: Any) -> None:
        """See `BaseOperator.defer`; the base class of this operator names its trigger's class itself."""
        if isinstance(trigger, KubernetesPodTrigger):
            trigger = StagePodTrigger(**trigger.serialize()[1])
        super().defer(trigger=trigger, **settings)

    def invoke_defer_method(self, last_log_time: Any = None, context: Any = None) -> None:
        """See `KubernetesPodOperator.invoke_defer_method`, which does not defer where the pod is over already."""
        if last_log_time is None and self.pod is not None:
            self.pod = self._after_a_moment(self.pod)
        super().invoke_defer_method(last_log_time=last_log_time, context=context)

    def _after_a_moment(self, pod: Any) -> Any:
        """Return the pod as it is once it is over, has no node to run on, or a moment has passed."""
        deadline = time.monotonic() + BRIEF_S
        while True:
            try:
                found = self.pod_manager.read_pod(pod)
            except (ApiException, HTTPError):  # the trigger waits longer for an API that is away, or a pod that is gone
                return pod
            over = found.status.phase not in {PodPhase.PENDING, PodPhase.RUNNING, PodPhase.UNKNOWN}
            if over or unscheduled(found.status.conditions) or time.monotonic() >= deadline:
                return found
            time.sleep(BRIEF_POLL_S)

    def get_or_create_pod(self, pod_request_obj: Any, context: Any) -> Any:
        """See `KubernetesPodOperator.get_or_create_pod`; where a quota is full, the task waits in this very try."""
        try:
            return super().get_or_create_pod(pod_request_obj, context)
        except ApiException as error:
            reason = full_quota(error)
            if reason is None:
                raise
            self.defer(trigger=self._quota(pod_request_obj, reason), method_name="after_quota",
                timeout=self.execution_timeout or timedelta(days=7))  # fmt: skip
            raise AssertionError("a deferred task does not come here") from error

    def _quota(self, pod: Any, reason: str) -> QuotaTrigger:
        self.convert_config_file_to_dict()
        hook = {
            "conn_id": self.kubernetes_conn_id,
            "in_cluster": self.in_cluster,
            "config_dict": self._config_dict,
            "cluster_context": self.cluster_context,
        }
        body = self.client.api_client.sanitize_for_serialization(pod)
        return QuotaTrigger(body, pod.metadata.namespace, reason, hook)

    def after_quota(self, context: Any, event: Any = None) -> Any:
        """Begin anew within the same try; the room may be gone again, then the task waits once more."""
        return self.execute(context)
