"""What piles up in a cluster: finished pods, which stay so that a retry can adopt them, and Airflow's old rows."""

import logging
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.sdk import task
from airflow.sdk.exceptions import AirflowException

from kubetune.config.cluster import load_cluster
from kubetune.config.environment import child_environment
from kubetune.config.settings import load_settings

log = logging.getLogger(__name__)
PODS_HOURS, ROWS_DAYS = 24, 90
FINISHED = ("Succeeded", "Failed")
BLOCKED = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN")
"""What a task's process is given in place of the database's address, which stands in `…_CMD`."""


@task(retries=2, retry_delay=timedelta(minutes=5))
def delete_finished_pods(hours: float = PODS_HOURS) -> int:
    """Delete stage pods that ended more than so many hours ago and return how many; needs `list` and `delete` only.

    Not `airflow kubernetes cleanup-pods`: that prints whole pods, their environment included.
    """
    cluster = load_cluster(load_settings().cluster_file)
    client = KubernetesHook(in_cluster=True).core_v1_client
    selector = f"app.kubernetes.io/instance={cluster.release},app.kubernetes.io/component=stage,kubernetes_pod_operator"
    deleted = 0
    for pod in client.list_namespaced_pod(cluster.namespace, label_selector=selector).items:
        if ended_before(pod, datetime.now(tz=UTC) - timedelta(hours=hours)):
            client.delete_namespaced_pod(pod.metadata.name, cluster.namespace)
            deleted += 1
    log.info("deleted %d finished pods", deleted)
    return deleted


def ended_before(pod: Any, moment: datetime) -> bool:
    """Whether a pod is done since before a moment; a pod that says no end counts from its creation."""
    ends = [
        status.state.terminated.finished_at
        for status in pod.status.container_statuses or ()
        if status.state and status.state.terminated and status.state.terminated.finished_at
    ]
    ended: datetime = max(ends, default=pod.metadata.creation_timestamp)
    return pod.status.phase in FINISHED and ended < moment


@task(retries=2, retry_delay=timedelta(minutes=5))
def prune_database(days: int = ROWS_DAYS) -> None:
    """Delete Airflow's own rows that are older than so many days.

    By Airflow's command in a process of its own: a task's process is kept from the database, and its command line
    reads the address from the file that the chart mounts. Needs LocalExecutor, where tasks run beside the scheduler.
    """
    before = (datetime.now(tz=UTC) - timedelta(days=days)).isoformat()
    command = ["airflow", "db", "clean", "--clean-before-timestamp", before, "--skip-archive", "--yes"]
    environment = {name: value for name, value in child_environment({}).items() if name not in BLOCKED}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    log.info("%s", done.stdout[-4000:])
    if done.returncode:
        raise AirflowException(f"airflow db clean ended with {done.returncode}: {done.stderr[-500:]}")
