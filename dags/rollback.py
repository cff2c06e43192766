"""Bring back the champion before the present one, and serve it.

The version that served is marked as withdrawn, so that no run puts it back by itself. A sentence has to say why; it is
recorded with the name of who triggered this.
"""

from kubetune.orchestration.airflow import RollbackRequest, dag, notify_answer, pod_task, resolve_rollback

with dag("rollback", __doc__, RollbackRequest):
    pod_task("rollback", resolve_rollback(), deferrable=True, on_success_callback=notify_answer)
