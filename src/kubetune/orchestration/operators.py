"""Pods as Airflow tasks: one factory, so that every stage runs with the same settings."""

from datetime import timedelta
from typing import Any

from airflow.providers.cncf.kubernetes.callbacks import KubernetesPodOperatorCallback
from airflow.sdk.exceptions import AirflowSkipException

from kubetune.config.settings import load_settings
from kubetune.errors import NothingToDoError
from kubetune.notifications.answers import read_answer
from kubetune.orchestration.approval import Approval
from kubetune.orchestration.notices import STAGE_CALLBACKS, notify_answer
from kubetune.orchestration.pods import CONTAINER, GRACE_S, RESUMABLE_GRACE_S
from kubetune.orchestration.retries import ExitCodePolicy
from kubetune.orchestration.waiting import StagePod
from kubetune.stages import Stage

BRIEF = frozenset({"ingest", "fetch", "package", "register"})
"""Stages that usually end within a minute: their task waits for the pod. For the others Airflow holds no process."""
GPU_WAIT_S, CPU_WAIT_S = 6 * 3600, 15 * 60
"""How long a pod may wait for a node; the operator's own default would fail a GPU pod after two minutes."""


def pod_settings(*, deferrable: bool, wait_s: int = CPU_WAIT_S, grace_s: int = GRACE_S) -> dict[str, Any]:
    """Return the operator's arguments that are the same for every pod; what is left out comes from the pod dict."""
    return {
        "in_cluster": True,  # a kubeconfig would be written into the trigger's row, token and all
        "random_name_suffix": True,
        "durable": True,
        "deferrable": deferrable,
        "poll_interval": 15,
        "startup_check_interval_seconds": 15 if deferrable else 1,
        "logging_interval": 30 if deferrable else None,
        "schedule_timeout_seconds": wait_s,
        "startup_timeout_seconds": 900,
        # The pod's own deadline is the limit, also while Airflow is away; this is the fuse behind it.
        "execution_timeout": timedelta(days=7),
        # A finished pod stays: a retry adopts it in a second instead of working again. `housekeeping` removes it.
        "on_finish_action": "delete_active_pod",
        "termination_grace_period": grace_s,
        "termination_message_policy": "FallbackToLogsOnError",
        "do_xcom_push": False,
        "get_logs": True,
        "log_pod_spec_on_failure": False,
        "log_events_on_failure": True,
        "log_events_on_startup": False,
        "skip_on_exit_code": NothingToDoError.exit_code,
        "retries": 5,
        # Where the scheduler itself ends a task, the policy is not asked; the next try only adopts the pod.
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=10),
        "retry_policy": ExitCodePolicy(),
    }


def stage_settings(stage: Stage) -> dict[str, Any]:
    """Return the operator's arguments for a stage."""
    wait_s = GPU_WAIT_S if stage.accelerated else CPU_WAIT_S
    grace_s = RESUMABLE_GRACE_S if stage.resumable else GRACE_S
    settings = pod_settings(deferrable=stage.name not in BRIEF, wait_s=wait_s, grace_s=grace_s)
    labels = {"app.kubernetes.io/component": "stage", "kubetune.io/stage": stage.name}
    pool = {"pool": load_settings().gpu_pool} if stage.accelerated else {}
    hooks: dict[str, Any] = STAGE_CALLBACKS.get(stage.name, {})
    answers: dict[str, Any] = {"callbacks": [ShowAnswer]} if hooks else {}
    return settings | {"task_id": stage.name, "labels": labels, "doc_md": stage.does} | pool | answers | hooks


def stage_task(stage: Stage, pod: Any) -> StagePod:
    """Return the task of a stage; `pod` is its dict, or the promise of one."""
    return StagePod(pod_template_dict=pod, **stage_settings(stage))


def approved_task(stage: Stage, pod: Any) -> StagePod:
    """Return the task of a stage, behind one that may ask a person where the stage's row has a switch for that."""
    return stage_task(stage, Approval(stage=stage, pod=pod).output if stage.approval else pod)


def promotion_task(stage: Stage, pod: Any) -> StagePod:
    """Return the task of a stage that a manual override may make needless; nobody is asked again."""
    settings = stage_settings(stage) | {"trigger_rule": "none_failed", "on_success_callback": notify_answer}
    return OptionalPod(pod_template_dict=pod, **settings)


def stage_tasks(stage: Stage, pods: Any) -> Any:
    """Return the mapped task of a stage; `pods` is a list of dicts, or the promise of one."""
    return StagePod.partial(**stage_settings(stage)).expand(pod_template_dict=pods)


def pod_task(name: str, pod: Any, *, deferrable: bool = False, **settings: Any) -> StagePod:
    """Return the task of another pod of ours, for example `kubetune gc`."""
    labels = {"app.kubernetes.io/component": "stage"}
    return StagePod(
        task_id=name, pod_template_dict=pod, labels=labels, **(pod_settings(deferrable=deferrable) | settings)
    )


class OptionalPod(StagePod):
    """A pod that may not be needed: with an empty one the task is skipped."""

    def execute(self, context: Any) -> Any:
        """See `KubernetesPodOperator.execute`."""
        if not self.pod_template_dict:
            raise AirflowSkipException("this request does not need the stage")
        return super().execute(context)


class ShowAnswer(KubernetesPodOperatorCallback):
    """Shows what a pod left in its termination message, a JSON object, as XCom `answer`. Only notices read it."""

    @staticmethod
    def on_pod_completion(*, pod: Any, context: Any = None, **_: Any) -> None:
        """See `KubernetesPodOperatorCallback.on_pod_completion`."""
        states = [item.state for item in (pod.status.container_statuses or ()) if item.name == CONTAINER]
        ended = states[0].terminated if states else None
        answer = read_answer((ended and ended.message) or "")  # none in a failure's sentence: the policy shows that
        if answer is not None and context is not None:
            context["ti"].xcom_push(key="answer", value=answer)
