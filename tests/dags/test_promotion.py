"""Who decides: a comparison that keeps the champion, a person who is asked, and one who asks. Pods are a stand-in."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_toys import connection_to, write_cluster
from kubetune.config.cluster import ClusterSettings
from kubetune.config.load import load_recipe
from kubetune.errors import ConfigError
from kubetune.orchestration.promotion_pods import promotion_pods, recordable_name, revocation_pod, rollback_pod
from kubetune.orchestration.requests import (
    PromoteRequest,
    RevokeRequest,
    RollbackRequest,
    check_promotion,
    read_request,
)
from process_kubelet import Kubelet

ROOT = Path(__file__).parents[2]
STAND_IN = """
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
codes = json.loads((folder / "codes.json").read_text())
sys.exit(codes.get(sys.argv[2] if sys.argv[1] == "stage" else sys.argv[1], 0))
"""
HOSTILE = """it's "better" $(HOME) $$ {{ params }} --by root; rm -rf / é"""


class Pipeline:
    """The DAGs with pods whose program notes its arguments and ends with the code that a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder, program = folder, folder / "kubetune.py"
        program.write_text(STAND_IN)
        self.kubelet = Kubelet(folder / "pods", [sys.executable, str(program)])

    def run(self, dag_id: str, codes: dict[str, int] | None = None, **conf: object) -> SimpleNamespace:
        """Run a DAG; return its state, its tasks' states, their reasons, and the arguments of each pod by its task."""
        from airflow.dag_processing.dagbag import DagBag
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        (self.folder / "codes.json").write_text(json.dumps(codes or {}))
        (self.folder / "calls").write_text("")
        dag = DagBag(str(ROOT / "dags" / f"{dag_id}.py")).dags[dag_id]
        for task in dag.tasks:
            if hasattr(task, "pod_template_dict"):
                quick = {"in_cluster": None, "poll_interval": 0.2, "startup_check_interval_seconds": 0.2}
                vars(task).update(quick | {"logging_interval": None, "retries": 0})
        done = dag.test(run_conf=conf, use_executor=False)
        with create_session() as session:
            states = {item.task_id: item.state for item in done.get_task_instances(session=session)}
            rows = session.query(XComModel).filter(XComModel.run_id == done.run_id, XComModel.dag_id == dag_id)
            reasons = {row.task_id: XComModel.deserialize_value(row) for row in rows if row.key == "reason"}
        calls = [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
        found = {words[1] if words[0] == "stage" else words[0]: words for words in calls}
        return SimpleNamespace(state=done.state, tasks=states, reasons=reasons, calls=found, run_id=done.run_id)


@pytest.fixture(scope="module")
def only_pipeline(tmp_path_factory: pytest.TempPathFactory, metadata_database: None) -> Iterator[Pipeline]:
    import airflow.dag_processing.dagbag  # noqa: F401
    from airflow.models import import_all_models

    import_all_models()  # two threads that import Airflow's modules at once wait for each other
    found = Pipeline(tmp_path_factory.mktemp("promotion"))
    yield found
    found.kubelet.close()


@pytest.fixture
def pipeline(only_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", connection_to(only_pipeline.kubelet.url))
    write_cluster(only_pipeline.folder, monkeypatch)
    return only_pipeline


@contextmanager
def answering(answer: str, name: str | None) -> Iterator[list[Any]]:
    """Answer the next question as the api-server does, or let its time run out where nobody has a name."""
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import handle_event_submit
    from airflow.sdk.timezone import utcnow
    from airflow.triggers.base import TriggerEvent
    from airflow.utils.session import create_session
    from sqlalchemy.exc import OperationalError

    asked: list[Any] = []
    ended = threading.Event()

    # `dag.test` writes the state that a task ended with once more, behind the api-server: an answer between the two
    # is lost, so the question is answered for as long as it stands.
    def look() -> None:
        while not ended.wait(0.2):
            with suppress(OperationalError), create_session() as session:  # SQLite has one writer
                waits = session.query(TaskInstance).filter(TaskInstance.state == "awaiting_input").first()
                detail = waits and session.get(HITLDetail, waits.id)
                if detail is None:
                    continue
                asked[:] = [(detail.subject, detail.body, detail.defaults, waits.trigger_timeout)]
                detail.responded_by = {"id": "7", "name": name} if name else None
                detail.responded_at, detail.chosen_options, detail.params_input = utcnow(), [answer], {}
                event = TriggerEvent(detail.as_resume_event_payload(timedout=name is None))
                handle_event_submit(event, task_instance=waits, session=session)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        ended.set()
        thread.join(30)


@pytest.mark.slow
def test_a_comparison_that_keeps_the_champion_ends_green_and_skips_what_follows(pipeline: Pipeline) -> None:
    done = pipeline.run("finetune", {"compare": 99}, recipe="tickets", run="kept")
    assert done.state == "success"
    skipped = {name for name, state in done.tasks.items() if state == "skipped"}
    assert skipped == {"compare", "package", "approve_register", "register", "deploy"}
    assert set(done.calls) == {"ingest", "fetch", "prepare", "train", "evaluate", "behave", "compare"}


@pytest.mark.slow
def test_a_register_that_changes_nothing_skips_deploy(pipeline: Pipeline) -> None:
    done = pipeline.run("finetune", {"register": 99}, recipe="tickets", run="stays")
    assert done.state == "success"
    assert {name for name, state in done.tasks.items() if state == "skipped"} == {"register", "deploy"}


@pytest.mark.slow
def test_nobody_is_asked_where_the_recipe_does_not_ask(pipeline: Pipeline) -> None:
    done = pipeline.run("finetune", recipe="tickets", run="plain")
    assert set(done.tasks.values()) == {"success"}
    assert "--by" not in done.calls["register"]


@pytest.mark.slow
def test_who_agreed_is_told_to_register(pipeline: Pipeline) -> None:
    with answering("Approve", "Zoë $(HOME)\n--why x") as asked:
        done = pipeline.run("finetune", recipe="tickets", overrides=["promotion.approval=true"], run="asks")
    assert set(done.tasks.values()) == {"success"}, done
    *_, option, request, by, name = done.calls["register"]
    assert (option, by, name) == ("--request", "--by", "Zoë $(HOME) --why x")
    assert request.startswith(f"{done.run_id} 2"), "a retry is the same approval, and one that is asked for anew is not"
    assert "--by" not in done.calls["deploy"]
    ((subject, body, defaults, until),) = asked
    assert subject == "Go on to register with run asks?"
    assert "promotion.approval" in body and "1440 minutes" in body
    assert defaults == ["Reject"] and until is not None


@pytest.mark.slow
@pytest.mark.parametrize(("person", "said"), [("ada", "ada said no"), (None, "nobody agreed in time")])
def test_without_agreement_what_serves_goes_on_serving(pipeline: Pipeline, person: str | None, said: str) -> None:
    with answering("Reject", person):
        done = pipeline.run("finetune", recipe="tickets", overrides=["promotion.approval=true"], run="refused")
    assert done.state == "success"
    assert done.tasks["approve_register"] == done.tasks["register"] == done.tasks["deploy"] == "skipped"
    assert "register" not in done.calls
    assert done.reasons["approve_register"] == f"not approved: {said}, what serves goes on serving"


@pytest.mark.slow
def test_a_run_that_was_kept_back_is_packaged_registered_and_served_by_a_word(pipeline: Pipeline) -> None:
    done = pipeline.run("promote", what="kept", why=HOSTILE)
    assert set(done.tasks.values()) == {"success"}, done
    word = ["--why", HOSTILE, "--by", "dag_test", "--request", done.run_id]
    assert done.calls == {name: ["stage", name, "--run", "kept", *word] for name in ("package", "register", "deploy")}


@pytest.mark.slow
def test_a_version_is_promoted_by_one_pod(pipeline: Pipeline) -> None:
    done = pipeline.run("promote", what="toy@3", why="the old one again")
    assert done.state == "success"
    assert done.tasks == {"resolve": "success", "package": "skipped", "register": "skipped", "deploy": "success"}
    word = ["--why", "the old one again", "--by", "dag_test", "--request", done.run_id]
    assert done.calls == {"promote": ["promote", "toy@3", *word]}


@pytest.mark.slow
def test_a_refused_promotion_stops_there_and_says_why(pipeline: Pipeline) -> None:
    done = pipeline.run("promote", {"register": 77}, what="kept", why="try")
    assert done.state == "failed"
    assert done.tasks["register"] == "failed" and done.tasks["deploy"] == "upstream_failed"
    assert done.reasons["register"].startswith("refused by a gate")


@pytest.mark.slow
def test_a_rollback_is_one_pod(pipeline: Pipeline) -> None:
    done = pipeline.run("rollback", model="toy", why=HOSTILE)
    assert done.state == "success"
    word = ["--why", HOSTILE, "--by", "dag_test", "--request", done.run_id]
    assert done.calls == {"rollback": ["rollback", "toy", *word]}


@pytest.mark.slow
def test_a_revocation_is_one_pod(pipeline: Pipeline) -> None:
    done = pipeline.run("revoke", version="toy@3", why=HOSTILE)
    assert done.state == "success"
    word = ["--why", HOSTILE, "--by", "dag_test", "--request", done.run_id]
    assert done.calls == {"revoke": ["revoke", "toy@3", *word]}


def test_a_revocation_is_where_the_signing_key_is() -> None:
    cluster = settings().model_copy(update={"signing_secret": "keys", "trusted_secret": "trusted"})
    pod = revocation_pod(RevokeRequest(version="toy@3", why="x", undo=True), "ada", "1", cluster)
    assert "--undo" in pod["spec"]["containers"][0]["args"]
    mounted = {mount["name"]: mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    environment = {item["name"]: item.get("value") for item in pod["spec"]["containers"][0]["env"]}
    assert environment["KUBETUNE_SIGNING_KEY"] == f"{mounted['signing']}/signing.key"
    assert environment["KUBETUNE_TRUSTED_KEYS"] == mounted["trusted-keys"], "else no key that went before is believed"
    assert pod["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("model", "conf", "said"),
    [
        (PromoteRequest, {"what": "toy@0", "why": "x"}, "`what`"),
        (PromoteRequest, {"what": "--store", "why": "x"}, "`what`"),
        (PromoteRequest, {"what": "toy", "why": " "}, "`why`.*say it in a sentence"),
        (PromoteRequest, {"what": "toy", "why": "two\nlines"}, "`why`.*one line"),
        (PromoteRequest, {"what": "toy", "why": "x" * 501}, "`why`"),
        (PromoteRequest, {"what": "toy", "why": "x", "wy": "y"}, "did you mean `why`"),
        (RollbackRequest, {"model": "toy@3", "why": "x"}, "`model`"),
        (RollbackRequest, {"model": "toy"}, "`why`"),
        (RevokeRequest, {"version": "toy", "why": "x"}, "`version`"),
        (RevokeRequest, {"version": "toy@3"}, "`why`"),
    ],
)
def test_a_word_that_is_none_is_refused(model: Any, conf: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_request(model, conf, conf)


def test_a_version_has_no_other_endpoint() -> None:
    with pytest.raises(ConfigError, match="leave `endpoint` out"):
        check_promotion(PromoteRequest(what="toy@3", why="x", endpoint="live"))
    found = promotion_pods(PromoteRequest(what="toy", why="x", endpoint="live"), "ada", "1", settings())
    for pod in found.values():
        args = pod["spec"]["containers"][0]["args"]
        assert args[args.index("--endpoint") + 1] == "live"


def test_only_what_moves_the_endpoint_has_a_token() -> None:
    found = promotion_pods(PromoteRequest(what="toy", why="x"), "ada", "1", settings())
    tokens = {name: pod["spec"]["automountServiceAccountToken"] for name, pod in found.items()}
    assert tokens == {"package": False, "register": False, "deploy": True}
    version = promotion_pods(PromoteRequest(what="toy@1", why="x"), "ada", "1", settings())["deploy"]
    for pod in (version, rollback_pod(RollbackRequest(model="toy", why="x"), "ada", "1", settings())):
        assert pod["spec"]["serviceAccountName"] == "kubetune-deploy"
        assert pod["spec"]["automountServiceAccountToken"] is True


def settings() -> ClusterSettings:
    from airflow_toys import CLUSTER

    return ClusterSettings.model_validate(CLUSTER)


def test_a_name_is_one_printable_line_or_airflows() -> None:
    assert recordable_name("  Ada\tLovelace\x07 ") == "Ada Lovelace"
    assert recordable_name(None) == recordable_name("\n") == "airflow"


def test_trials_that_would_be_judged_differently_are_refused(tmp_path: Path) -> None:
    from kubetune.orchestration.requests import SweepRequest, sweep_calls

    assert load_recipe("tickets").promotion.approval is False
    grid = {"promotion.approval": [True, False]}
    with pytest.raises(ConfigError, match="Two trials differ in promotion"):
        sweep_calls(SweepRequest(recipes=["tickets"], grid=grid), tmp_path, "manual__1")
