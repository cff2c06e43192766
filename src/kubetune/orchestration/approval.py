"""A person's agreement before a stage, where the recipe asks for it; the DAG is the same either way."""

import copy
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

from kubetune.config.cluster import load_cluster
from kubetune.config.settings import load_settings
from kubetune.errors import RefusedError
from kubetune.orchestration.pods import APPROVAL, ENDPOINT, RUN_LABEL, Pod, literal
from kubetune.orchestration.promotion_pods import recordable_name
from kubetune.stages import Stage

BODY = """\
Run **{run}** is packaged, and its recipe asks for a person's approval before it goes on (`{asked}`).

`kubetune show {run}` says how good it is and how it compares with the champion; `kubetune pull {run} decision` fetches
the report about it.
No answer within {minutes} minutes counts as a no: then what serves goes on serving.
"""


def approval_name(stage: Stage) -> str:
    """Return the task id of the approval before a stage."""
    return f"approve_{stage.name}"


class Approval(ApprovalOperator):
    """Waits for a person where the pod is marked, else for nobody; returns the pod with who agreed in its arguments.

    A no, or nobody's answer in time, skips this task and all after it; the sentence is XCom `reason`.
    """

    template_fields = (*ApprovalOperator.template_fields, "pod")

    def __init__(self, *, stage: Stage, pod: Any, **settings: Any) -> None:
        """See `ApprovalOperator`; `pod` is the stage's dict, or the promise of one."""
        # The words are set when it runs: a template would read what a recipe says as one.
        super().__init__(task_id=approval_name(stage), subject=stage.name, defaults="Reject", **settings)
        self.stage, self.pod = stage.name, pod

    def execute(self, context: Any) -> Pod:
        """Return the pod as it is where nobody has to be asked, else wait; see `execute_complete`."""
        pod: Pod = self.pod
        asked = pod["metadata"]["annotations"].get(APPROVAL)
        if asked is None:
            return pod
        minutes = load_cluster(load_settings().cluster_file).approval_timeout_minutes
        self.response_timeout = timedelta(minutes=minutes)
        run = pod["metadata"]["labels"][RUN_LABEL]
        self.subject = f"Go on to {self.stage} with run {run}?"
        self.body = BODY.format(run=run, asked=asked, minutes=minutes)
        super().execute(context)
        raise AssertionError("a task that waits for a person does not come here")

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Pod:
        """Return the pod with `--by NAME`, or skip what follows."""
        answer = super(ApprovalOperator, self).execute_complete(context, event)
        person = answer["responded_by_user"]
        if reason := self.refusal(answer, person):
            context["ti"].xcom_push(key="reason", value=f"not approved: {reason}, what serves goes on serving")
            raise AirflowSkipException(f"not approved: {reason}")
        pod: Pod = copy.deepcopy(self.pod)
        # An answer is a request of its own: one that is asked for anew, in the same run, is another.
        request = f"{context['run_id']} {answer['responded_at'].isoformat()}"
        pod["spec"]["containers"][0]["args"] += [
            "--request",
            literal(request),
            "--by",
            literal(recordable_name(person["name"])),
        ]
        return pod

    def refusal(self, answer: Mapping[str, Any], person: Mapping[str, str] | None) -> str:
        """Return why an answer is no agreement; empty: it is one.

        Airflow lets everybody answer who may edit a run of the DAG, also the account that starts scheduled runs.
        """
        if person is None:
            return "nobody agreed in time"
        name = recordable_name(person["name"])
        if answer["chosen_options"] != [self.APPROVE]:
            return f"{name} said no"
        cluster = load_cluster(load_settings().cluster_file)
        if name in cluster.machine_users:
            return f"{name} is the account of a program and nobody's approval; clear {self.task_id} to ask again"
        endpoint = self.pod["metadata"]["annotations"][ENDPOINT]
        try:
            cluster.policies.of(endpoint).check_approver(endpoint, name)
        except RefusedError as error:
            return f"{error}; clear {self.task_id} to ask again"
        return ""
