"""Fine-tune one recipe, from data to a served model.

Give the name of a recipe (shipped with kubetune or mounted by the chart) or paste the text of one, and what to
change in it. `resolve` checks all of it; then every stage runs in a pod of its own, and work that was done before
is adopted. A stage that fails shows its reason as XCom `reason`; where the champion stays, the stages after the
comparison are skipped. `approve_register` waits for a person only where the recipe says `promotion.approval: true`.
"""

from kubetune.orchestration.airflow import STAGES, RunRequest, approved_task, connect, dag, resolve

with dag("finetune", __doc__, RunRequest):
    pods = resolve()
    connect({stage.name: approved_task(stage, pods[stage.name]) for stage in STAGES})
