"""Keep the cluster tidy, once a night.

Removes from the store what no run, endpoint or key needs, the pods of stages that ended a day ago, and Airflow's own
rows that are older than three months.
"""

from kubetune.orchestration.airflow import dag, delete_finished_pods, gc_pod, pod_task, prune_database

with dag("housekeeping", __doc__, schedule="17 3 * * *", max_active_runs=1):
    pod_task("gc", gc_pod())
    delete_finished_pods()
    prune_database()
