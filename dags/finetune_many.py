"""Try several recipes, or one recipe over a grid of values, and deploy the best.

Data and pretrained models that trials share are frozen and prepared once; every trial is trained. `choose` compares
the trials on *validation* rows (its table is in its log, the short of it in XCom `answer`) and records the winner,
which alone is measured on the test rows, compared with the champion and, if it is better, packaged and deployed. A
training that fails does not stop the others.
"""

from kubetune.orchestration.airflow import (
    WINNERS,
    ShowAnswer,
    SweepRequest,
    approved_task,
    connect,
    dag,
    pod_task,
    resolve_sweep,
    trial_tasks,
)

with dag("finetune_many", __doc__, SweepRequest):
    pods = resolve_sweep()
    trials = trial_tasks(pods)
    choose = pod_task("choose", pods["choose"], callbacks=[ShowAnswer], trigger_rule="all_done_min_one_success")
    winner = {stage.name: approved_task(stage, pods[stage.name]) for stage in WINNERS}
    connect(trials)
    connect(winner)
    list(trials.values())[-1] >> choose >> list(winner.values())
