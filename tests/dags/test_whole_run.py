"""`finetune` from the first task to the last under Airflow's own runner; pods are local processes of the pipeline."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_toys import connection_to, write_cluster
from kubetune.orchestration import waiting
from kubetune.stages import STAGES
from process_kubelet import Kubelet

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KUBETUNE = ROOT / ".venv" / "bin" / "kubetune"
RECIPE = """
name: toy
description: "{{{{ no.template }}}} and $(NO_VARIABLE) $$ $"
data:
  source: {{kind: files, paths: {{all: {data}}}}}
  splits: {{validation: 0.2, test: 0.3}}
model: {{source: {{kind: path, path: {model}}}, max_length: 32}}
training: {{epochs: 4, batch: 16, learning_rate: 5.0e-3, precision: fp32, best_metric: loss}}
evaluation: {{bootstrap_samples: 100, refuse_collapsed: false}}
promotion: {{gate: thresholds}}
"""


class Cluster:
    """A kubelet, a store in a folder, and the DAGs pointed at both."""

    def __init__(self, folder: Path, recipe: str) -> None:
        self.folder, self.recipe = folder, recipe
        self.kubelet = Kubelet(folder / "pods", [str(KUBETUNE)])
        self.first: SimpleNamespace | None = None

    def run(self, dag_id: str, **conf: object) -> SimpleNamespace:
        """Run a DAG to its end; return its state, and the state and the XComs of its tasks by task id."""
        from airflow.dag_processing.dagbag import DagBag
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        dag = DagBag(str(ROOT / "dags" / f"{dag_id}.py")).dags[dag_id]  # afresh: `test` leaves its conf in the params
        for task in dag.tasks:
            quick = {"in_cluster": None, "poll_interval": 0.2, "startup_check_interval_seconds": 0.2}
            quick |= {"logging_interval": None, "schedule_timeout_seconds": 3, "retries": 0}
            if task.is_mapped:
                task.partial_kwargs.update(quick)
            elif hasattr(task, "pod_template_dict"):
                vars(task).update(quick)
        done = dag.test(run_conf=conf, use_executor=False)
        with create_session() as session:
            states = {(item.task_id, item.map_index): item.state for item in done.get_task_instances(session=session)}
            rows = session.query(XComModel).filter(XComModel.run_id == done.run_id, XComModel.dag_id == dag_id)
            answers = {(row.task_id, row.key): XComModel.deserialize_value(row) for row in rows}
        return SimpleNamespace(state=done.state, tasks=states, xcoms=answers)


@pytest.fixture(scope="module")
def cluster_of_processes(
    tmp_path_factory: pytest.TempPathFactory, toys_on_disk: dict[str, str], metadata_database: None
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    cluster = Cluster(folder, RECIPE.format(**toys_on_disk))
    yield cluster
    cluster.kubelet.close()
    environment = {**os.environ, "KUBETUNE_STORE": str(folder / "store"), "KUBETUNE_STATE_DIR": str(folder / "state")}
    subprocess.run([KUBETUNE, "stop", "toy"], env=environment, check=False, capture_output=True)


@pytest.fixture
def processes(cluster_of_processes: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    folder, kubelet = cluster_of_processes.folder, cluster_of_processes.kubelet
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", connection_to(kubelet.url))
    store = {"url": str(folder / "store"), "endpoint": ""}
    here = {"KUBETUNE_SERVING": "local", "KUBETUNE_STATE_DIR": str(folder / "state"), "KUBETUNE_SECRETS": ""}
    monkeypatch.setattr(waiting, "SETTLED_S", 0.0)  # no scheduler runs beside this one
    monkeypatch.setattr(waiting, "QUOTA_POLL_S", 0.2)
    monkeypatch.setattr(waiting, "BRIEF_POLL_S", 0.2)
    write_cluster(folder, monkeypatch, store=store, environment={"default": here})
    kubelet.created.clear()
    return cluster_of_processes


def stages_of(cluster: Cluster) -> set[str]:
    return {pod.labels["kubetune.io/stage"] for pod in cluster.kubelet.created}


@pytest.fixture
def first(processes: Cluster) -> SimpleNamespace:
    """The run that others adopt from, made by whichever test asks first; with the pods that it took."""
    if processes.first is None:
        done = processes.run("finetune", recipe=processes.recipe, run="first")
        processes.first = SimpleNamespace(**vars(done), pods=list(processes.kubelet.created))
        processes.kubelet.created.clear()
    return processes.first


def test_a_run_goes_from_rows_to_a_served_model(processes: Cluster, first: SimpleNamespace) -> None:
    done = first
    assert done.state == "success", done
    stages = [pod.labels["kubetune.io/stage"] for pod in done.pods]
    assert sorted(stages) == sorted(stage.name for stage in STAGES)
    assert all(pod.document["status"]["phase"] == "Succeeded" for pod in done.pods)
    assert done.xcoms["resolve", "run"] == "first"
    recorded = json.loads((processes.folder / "store" / "runs" / "first" / "run.json").read_text())
    assert recorded["recipe"]["description"] == "{{ no.template }} and $(NO_VARIABLE) $$ $", (
        "text is data, on every layer"
    )


@pytest.mark.usefixtures("first")
def test_a_missed_threshold_ends_the_run_with_its_sentence(processes: Cluster) -> None:
    bar = "evaluation.thresholds=[{metric: accuracy, at_least: 1.1}]"
    done = processes.run("finetune", recipe=processes.recipe, overrides=[bar], run="second")
    assert done.state == "failed"
    assert done.tasks["evaluate", -1] == "failed"
    assert {done.tasks[name, -1] for name in ("behave", "compare", "package", "register", "deploy")} == {
        "upstream_failed"
    }
    assert re.match(r"refused by a gate: .*accuracy.*1\.1", done.xcoms["evaluate", "reason"])
    assert stages_of(processes) == {"ingest", "fetch", "prepare", "train", "evaluate"}
    logs = {pod.labels["kubetune.io/stage"]: pod.log.read_text() for pod in processes.kubelet.created}
    assert "train:" not in logs["train"], "the training of the first run is adopted"


@pytest.mark.parametrize(
    ("conf", "sentence"),
    [
        ({"recipe": "twets"}, r"did you mean 'tweets'\?"),
        ({"recipe": "tweets", "overrides": ["training.epocs=1"]}, r"did you mean `epochs`\?"),
        ({"recipe": "tweets", "epochs": 3}, r"`epochs` is not a known key"),
        ({"recipe": "tweets", "run": "one"}, r"cluster.yaml cannot be read"),
    ],
)
def test_a_bad_request_fails_at_once_with_the_sentence(
    processes: Cluster, conf: dict[str, object], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if conf.get("run"):
        monkeypatch.setenv("KUBETUNE_CLUSTER_FILE", "/nowhere/cluster.yaml")
    done = processes.run("finetune", **conf)
    assert done.state == "failed"
    assert done.tasks["resolve", -1] == "failed"
    assert re.search(sentence, done.xcoms["resolve", "reason"])
    assert not processes.kubelet.created


def test_a_pod_without_a_place_fails_with_the_schedulers_sentence(processes: Cluster) -> None:
    message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    processes.kubelet.unschedulable["ingest"] = message
    try:
        done = processes.run("finetune", recipe=processes.recipe, run="third")
    finally:
        processes.kubelet.unschedulable.clear()
    assert done.tasks["ingest", -1] == "failed"
    assert done.xcoms["ingest", "reason"] == f"the pod found no place: {message}"


def test_a_full_quota_is_waited_for_in_the_first_try(processes: Cluster) -> None:
    full = 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
    refused, room = (403, full), None
    processes.kubelet.refusals += [refused, refused, room, refused, room]  # creation, look, look, creation, look
    processes.kubelet.unschedulable["fetch"] = "no node"
    try:
        done = processes.run("finetune", recipe=processes.recipe, run="fourth")
    finally:
        processes.kubelet.unschedulable.clear()
    assert not processes.kubelet.refusals
    assert done.tasks["ingest", -1] == "success"
    assert stages_of(processes) == {"ingest", "fetch"}


@pytest.mark.full
def test_a_pod_that_the_cluster_refuses_fails_with_the_apis_sentence(processes: Cluster) -> None:
    sentence = 'pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2'
    processes.kubelet.refusals += [(403, sentence)] * 2  # `ingest` and `fetch`, which wait for nobody
    done = processes.run("finetune", recipe=processes.recipe, run="fifth")
    assert done.xcoms["ingest", "reason"] == f"the cluster refuses the pod: {sentence}"
    assert done.tasks["fetch", -1] == "failed"
    assert not processes.kubelet.created


def test_a_sweep_opens_the_test_rows_for_its_winner_alone(processes: Cluster) -> None:
    grid = {"training.learning_rate": [1.0e-6, 5.0e-3]}
    done = processes.run("finetune_many", recipes=[processes.recipe], grid=grid, sweep="sweep")
    assert done.state == "success", done
    pods = [(pod.labels["kubetune.io/stage"], pod.labels["kubetune.io/run"]) for pod in processes.kubelet.created]
    assert sorted(pods) == sorted(
        [
            ("ingest", "sweep-1"),
            ("fetch", "sweep-1"),
            ("prepare", "sweep-1"),
            ("train", "sweep-1"),
            ("train", "sweep-2"),
            ("evaluate", "sweep"),
            ("evaluate", "sweep"),
            ("behave", "sweep"),
            ("compare", "sweep"),
            ("package", "sweep"),
            ("register", "sweep"),
            ("deploy", "sweep"),
        ]
    )
    answer = done.xcoms["choose", "answer"]
    winner, loser = sorted(answer["trials"], key=answer["trials"].__getitem__)
    assert answer["winner"] == winner, "the smaller validation loss"
    assert answer["trials"][winner] < answer["trials"][loser]
    runs = processes.folder / "store" / "runs"
    assert (runs / winner / "evaluate" / "COMMIT.json").is_file()
    assert not (runs / loser / "evaluate").exists()
