"""The policy of an endpoint in Airflow: what `resolve` refuses before a pod starts, and whose answers count."""

from pathlib import Path
from typing import Any

import pytest

from airflow_toys import CLUSTER, write_cluster
from kubetune.client.watch import exit_code_of
from kubetune.config.cluster import ClusterSettings
from kubetune.config.load import load_recipe
from kubetune.errors import RefusedError
from kubetune.orchestration.approval import Approval
from kubetune.orchestration.bounds import check_runs, check_word, endpoint_of, with_recipes
from kubetune.orchestration.pods import APPROVAL, run_pods
from kubetune.orchestration.promotion_pods import promotion_pods, revocation_pod, rollback_pod
from kubetune.orchestration.requests import (
    PromoteRequest,
    RevokeRequest,
    RollbackRequest,
    SweepRequest,
    sweep_calls,
)
from kubetune.plan import plan
from kubetune.stages import BY_NAME

STRICT = {"recipes": ["tickets"], "overrides": ["training"], "users": ["ada"], "approvers": ["ada"], "approval": True}


def cluster(folder: Path, **policies: Any) -> ClusterSettings:
    given = {**CLUSTER, "policies": {"endpoints": policies}, "machine_users": ["trigger"]}
    return with_recipes(ClusterSettings.model_validate(given), folder / "recipes")


def environment_of(pod: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item.get("value", "") for item in pod["spec"]["containers"][0]["env"]}


def test_another_endpoint_cannot_be_had_by_naming_it(tmp_path: Path) -> None:
    """A recipe of one's own, random labels and all, with `endpoint` of somebody else."""
    bound = cluster(tmp_path, live=STRICT)
    own = load_recipe("cola")
    check_runs([plan(own, "cola-1")], "mallory", bound)
    with pytest.raises(RefusedError, match="mallory may not start runs for endpoint live"):
        check_runs([plan(own, "cola-1", "live")], "mallory", bound)
    with pytest.raises(RefusedError, match="Recipe cola differs from tickets in "):
        check_runs([plan(own, "cola-1", "live")], "ada", bound)
    check_runs([plan(load_recipe("tickets", ["training.epochs=9"]), "t-1", "live")], "ada", bound)


def test_each_trial_of_a_sweep_is_looked_at(tmp_path: Path) -> None:
    bound = cluster(tmp_path, tickets=STRICT)
    for grid, passes in (({"training.epochs": [1, 2]}, True), ({"model.max_length": [64, 256]}, False)):
        _, trials = sweep_calls(SweepRequest(recipes=["tickets"], grid=grid), tmp_path, "manual__1")
        if passes:
            check_runs(trials, "ada", bound)
        else:
            with pytest.raises(RefusedError, match=r"in model\.max_length"):
                check_runs(trials, "ada", bound)


def test_a_mounted_recipe_counts_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    text = Path("src/kubetune/recipes/cola.yaml").read_text(encoding="utf-8")
    (tmp_path / "recipes" / "tickets.yaml").write_text(text, encoding="utf-8")
    bound = cluster(tmp_path, live=STRICT)
    check_runs([plan(load_recipe("cola"), "c-1", "live")], "ada", bound)


def test_words_are_refused_where_the_endpoint_is_known(tmp_path: Path) -> None:
    bound = cluster(tmp_path, toy=STRICT)
    for asked in (PromoteRequest(what="toy@3", why="x"), PromoteRequest(what="run-1", why="x", endpoint="toy")):
        with pytest.raises(RefusedError, match="bob may not decide who serves endpoint toy"):
            check_word(endpoint_of(asked), "bob", bound)
        check_word(endpoint_of(asked), "ada", bound)
    assert endpoint_of(PromoteRequest(what="run-1", why="x")) is None, "then the pod knows, see the next test"


def test_pods_that_move_a_champion_are_told_the_policy(tmp_path: Path) -> None:
    bound = cluster(tmp_path, toy=STRICT, other={"gates": ["champion"]})
    pods = run_pods(load_recipe("tickets"), "t-1", "toy", bound)
    told = {name for name, pod in pods.items() if "KUBETUNE_POLICIES" in environment_of(pod)}
    assert told == {"register", "deploy"}
    one = environment_of(pods["register"])["KUBETUNE_POLICIES"]
    assert '"toy"' in one and '"other"' not in one and '"documents"' in one
    by_word = promotion_pods(PromoteRequest(what="run-1", why="x"), "bob", "1", bound)
    assert '"other"' in environment_of(by_word["register"])["KUBETUNE_POLICIES"], "whose run it is, the store knows"
    for pod in (
        rollback_pod(RollbackRequest(model="toy", why="x"), "bob", "1", bound),
        revocation_pod(RevokeRequest(version="toy@1", why="x"), "bob", "1", bound),
    ):
        assert '"ada"' in environment_of(pod)["KUBETUNE_POLICIES"]
    free = run_pods(load_recipe("tickets"), "t-1", "toy", cluster(tmp_path))
    assert not [name for name, pod in free.items() if "KUBETUNE_POLICIES" in environment_of(pod)]


def test_a_policy_asks_for_approval_where_the_recipe_does_not(tmp_path: Path) -> None:
    recipe = load_recipe("tickets")
    marked = run_pods(recipe, "t-1", "live", cluster(tmp_path, live={"approval": True}))
    assert [name for name, pod in marked.items() if APPROVAL in pod["metadata"]["annotations"]] == ["register"]
    assert marked["register"]["metadata"]["annotations"][APPROVAL] == "policy"
    free = run_pods(recipe, "t-1", None, cluster(tmp_path, live={"approval": True}))
    assert not [name for name, pod in free.items() if APPROVAL in pod["metadata"]["annotations"]]


@pytest.mark.parametrize(
    ("person", "options", "said"),
    [
        ("ada", ["Approve"], ""),
        ("ada", ["Reject"], "ada said no"),
        ("bob", ["Approve"], "bob may not decide who serves endpoint live: its policy allows ada"),
        ("trigger", ["Approve"], "trigger is the account of a program and nobody's approval"),
        (None, ["Reject"], "nobody agreed in time"),
    ],
)
def test_whose_answer_is_an_agreement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person: str | None, options: list[str], said: str
) -> None:
    policies = {"endpoints": {"live": {"approval": True, "approvers": ["ada", "trigger"]}}}
    write_cluster(tmp_path, monkeypatch, policies=policies, machine_users=["trigger"])
    pod = run_pods(load_recipe("tickets"), "t-1", "live", cluster(tmp_path, live={"approval": True}))["register"]
    task = Approval(stage=BY_NAME["register"], pod=pod)
    found = task.refusal({"chosen_options": options}, {"name": person} if person else None)
    assert found.startswith(said) and bool(found) is bool(said)


@pytest.mark.slow
def test_resolve_refuses_before_a_pod_starts(metadata_database: None, monkeypatch, tmp_path: Path) -> None:
    """The real task in the real DAG; who triggers it is called `dag_test` here."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    write_cluster(tmp_path, monkeypatch, policies={"endpoints": {"live": STRICT}})
    asked = {
        "finetune": {"recipe": "cola", "endpoint": "live"},
        "promote": {"what": "live@1", "why": "x"},
        "rollback": {"model": "live", "why": "x"},
        "revoke": {"version": "live@1", "why": "x"},
    }
    for name, conf in asked.items():
        dag = DagBag(str(Path(__file__).parents[2] / "dags" / f"{name}.py")).dags[name]
        done = dag.test(run_conf=conf, use_executor=False)
        with create_session() as session:
            states = {item.task_id: item.state for item in done.get_task_instances(session=session)}
            rows = session.query(XComModel).filter(XComModel.run_id == done.run_id, XComModel.dag_id == name)
            reasons = {row.task_id: XComModel.deserialize_value(row) for row in rows if row.key == "reason"}
        assert states.pop("resolve") == "failed" and set(states.values()) == {"upstream_failed"}
        verb = "start runs for" if name == "finetune" else "decide who serves"
        said = f"refused by a gate: dag_test may not {verb} endpoint live: its policy allows ada"
        assert reasons["resolve"].startswith(said) and exit_code_of(reasons["resolve"], "resolve") == 77
