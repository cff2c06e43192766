"""Make a run or a version the champion of its model by a manual override, and serve it.

Give a run that passed its thresholds and was kept back by the comparison (its remaining stages run), or `MODEL@VERSION`
(then the last task alone has a pod). A sentence has to say why; it is recorded with the name of who triggered this.
"""

from kubetune.orchestration.airflow import PromoteRequest, connect, dag, promotion_tasks, resolve_promotion

with dag("promote", __doc__, PromoteRequest):
    connect(promotion_tasks(resolve_promotion()))
