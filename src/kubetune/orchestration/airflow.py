"""What DAG files are made of: the DAG itself, the task that checks a request, and the pods of the stage table."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from kubetune.config.cluster import ClusterSettings, load_cluster
from kubetune.config.settings import Settings, load_settings
from kubetune.config.version import tag
from kubetune.errors import KubetuneError, RefusedError
from kubetune.orchestration import requests
from kubetune.orchestration.approval import approval_name
from kubetune.orchestration.bounds import check_runs, check_word, endpoint_of, with_recipes
from kubetune.orchestration.cleanup import delete_finished_pods, prune_database
from kubetune.orchestration.notices import notify, notify_answer, notify_started
from kubetune.orchestration.operators import ShowAnswer, approved_task, pod_task, promotion_task, stage_tasks
from kubetune.orchestration.pods import PodWork, run_pods, task_pod
from kubetune.orchestration.promotion_pods import (
    PROMOTED,
    promotion_pods,
    recordable_name,
    revocation_pod,
    rollback_pod,
)
from kubetune.orchestration.requests import PromoteRequest, RevokeRequest, RollbackRequest, RunRequest, SweepRequest
from kubetune.orchestration.retries import FINAL
from kubetune.orchestration.sweep_pods import TRIALS, WINNERS, sweep_pods
from kubetune.plan import plan
from kubetune.stages import STAGES, Stage, before

__all__ = [
    "STAGES",
    "WINNERS",
    "PromoteRequest",
    "RevokeRequest",
    "RollbackRequest",
    "RunRequest",
    "ShowAnswer",
    "SweepRequest",
    "approved_task",
    "connect",
    "dag",
    "dag_params",
    "delete_finished_pods",
    "gc_pod",
    "notify_answer",
    "pod_task",
    "promotion_tasks",
    "prune_database",
    "resolve",
    "resolve_promotion",
    "resolve_revocation",
    "resolve_rollback",
    "resolve_sweep",
    "trial_tasks",
]


def dag(name: str, doc: str, request: type[Any] | None = None, **settings: Any) -> DAG:
    """Return a DAG whose form is made from a request's model."""
    return DAG(
        dag_id=name,
        doc_md=doc,
        params=dag_params(request) if request is not None else None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        tags=["kubetune", tag()],
        is_paused_upon_creation=False,
        # A scheduler that is killed takes its Python tasks with it; pods state their own retries.
        default_args={
            "owner": "kubetune",
            "on_failure_callback": notify,
            "retries": 2,
            "retry_delay": timedelta(seconds=30),
        },
        **({"schedule": None} | settings),
    )


def dag_params(model: type[Any]) -> dict[str, Param]:
    """Return the params of a DAG from the model that reads them: names, types, defaults, rules and help are its own."""
    schema = model.model_json_schema()
    params = {}
    for name, field in model.model_fields.items():
        rules = {key: value for key, value in schema["properties"][name].items() if key not in {"default", "anyOf"}}
        for choice in schema["properties"][name].get("anyOf", ()):
            kinds = [*rules.get("type", []), choice["type"]]
            rules |= {key: value for key, value in choice.items() if key != "type"} | {"type": kinds}
        default = {} if field.is_required() else {"default": field.default}
        params[name] = Param(**default, **rules)
    return params


def connect(tasks: Mapping[str, Any]) -> None:
    """Draw the edges that follow from what stages read and write, between those stages that are here."""
    for stage in STAGES:
        for producer in before(stage):
            if stage.name in tasks and producer in tasks:
                tasks[producer] >> _first(tasks[stage.name], stage)


def _first(task: Any, stage: Stage) -> Any:
    """The task that stands for the stage to those before it: its approval where it has one."""
    asked = [item for item in task.upstream_list if item.task_id == approval_name(stage)]
    return asked[0] if asked else task


@task(on_success_callback=notify_started)
def resolve() -> dict[str, dict]:  # type: ignore[type-arg]  # Airflow reads this very form to offer a key a stage
    """Check the request and return the pod of each stage, by stage name; the recipe travels inside."""
    with refusals() as (context, settings):
        request = requests.read_request(RunRequest, context["params"], context["dag_run"].conf or {})
        recipe = requests.find_recipe(request.recipe, request.overrides, settings.recipes_dir)
        run = requests.run_name(request, recipe, context["dag_run"].run_id)
        cluster = _cluster(context, settings)
        check_runs([plan(recipe, run, request.endpoint)], _asked(context)[0], cluster)
        pods = run_pods(recipe, run, request.endpoint, cluster)
        context["ti"].xcom_push(key="run", value=run)
        return pods


@task(task_id="resolve", on_success_callback=notify_started)
def resolve_sweep() -> dict[str, Any]:
    """Check the request and return the pods of the trials and of the winner, by stage name."""
    with refusals() as (context, settings):
        request = requests.read_request(SweepRequest, context["params"], context["dag_run"].conf or {})
        sweep, trials = requests.sweep_calls(request, settings.recipes_dir, context["dag_run"].run_id)
        cluster = _cluster(context, settings)
        check_runs(trials, _asked(context)[0], cluster)
        return sweep_pods(sweep, trials, cluster)


@task(task_id="resolve")
def resolve_promotion() -> dict[str, dict]:  # type: ignore[type-arg]  # as `resolve`
    """Check the request and return the pod of each stage after the comparison; the override travels inside."""
    with refusals() as (context, settings):
        request = requests.read_request(PromoteRequest, context["params"], context["dag_run"].conf or {})
        cluster = _cluster(context, settings)
        check_word(endpoint_of(requests.check_promotion(request)), _asked(context)[0], cluster)
        return promotion_pods(request, *_asked(context), cluster)


@task(task_id="resolve")
def resolve_rollback() -> dict[str, Any]:
    """Check the request and return the pod that brings the former champion back."""
    with refusals() as (context, settings):
        request = requests.read_request(RollbackRequest, context["params"], context["dag_run"].conf or {})
        cluster = _cluster(context, settings)
        check_word(request.model, _asked(context)[0], cluster)
        return rollback_pod(request, *_asked(context), cluster)


@task(task_id="resolve")
def resolve_revocation() -> dict[str, Any]:
    """Check the request and return the pod that ends a version's signature."""
    with refusals() as (context, settings):
        request = requests.read_request(RevokeRequest, context["params"], context["dag_run"].conf or {})
        cluster = _cluster(context, settings)
        check_word(request.version.partition("@")[0], _asked(context)[0], cluster)
        return revocation_pod(request, *_asked(context), cluster)


def _cluster(context: Any, settings: Settings) -> ClusterSettings:
    """The cluster's settings; this run's pods learn where people read their logs, if Airflow knows its own address."""
    cluster = with_recipes(load_cluster(settings.cluster_file), settings.recipes_dir)
    base = conf.get("api", "base_url", fallback="")
    if not base:
        return cluster
    run = context["dag_run"]
    url = f"{base.rstrip('/')}/dags/{run.dag_id}/runs/{quote(run.run_id, safe='')}"
    shared = {**cluster.environment.get("default", {}), "KUBETUNE_LOG_URL": url}
    return cluster.model_copy(update={"environment": {**cluster.environment, "default": shared}})


def _asked(context: Any) -> tuple[str, str]:
    """Who asked, and an identity of the request that all of its tries share."""
    run = context["dag_run"]
    return recordable_name(getattr(run, "triggering_user_name", None)), run.run_id


def promotion_tasks(pods: Any) -> dict[str, Any]:
    """Return the tasks of the stages that a promotion by a manual override may need, by stage name."""
    return {stage.name: promotion_task(stage, pods[stage.name]) for stage in PROMOTED}


@task
def _listed(pods: dict[str, Any], stage: str) -> list[dict[str, Any]]:
    """Return the pods of one stage: a task can be mapped over what another returns, not over a part of it."""
    found: list[dict[str, Any]] = pods[stage]
    return found


def trial_tasks(pods: Any) -> dict[str, Any]:
    """Return the mapped tasks up to the training of each trial, by stage name."""
    return {
        stage.name: stage_tasks(stage, _listed.override(task_id=f"{stage.name}_pods")(pods, stage.name))
        for stage in TRIALS
    }


@contextmanager
def refusals() -> Iterator[tuple[Any, Any]]:
    """Turn a refusal of ours into a task that fails at once, with the sentence as XCom `reason`.

    Yields:
        The task's context and the settings.
    """
    context = get_current_context()
    try:
        yield context, load_settings()
    except KubetuneError as error:  # without another try: the same request would be refused again
        # As a stage's pod says it, so that `kubetune follow` ends with the same code: 77 by a policy, else 78.
        words = f"{FINAL[error.exit_code]}: " if isinstance(error, RefusedError) else ""
        context["ti"].xcom_push(key="reason", value=f"{words}{error}")
        raise AirflowFailException(str(error)) from None  # the sentence says it; its trace is of no use


@task
def gc_pod() -> dict[str, Any]:
    """Return the pod that removes what no run, endpoint or key needs."""
    return task_pod(PodWork("housekeeping", "ingest", ("gc",)), load_cluster(load_settings().cluster_file))
