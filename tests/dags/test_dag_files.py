"""DAG files: they load, they are short, they decide nothing, and their forms are the models that read them."""

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from kubetune.orchestration.requests import PromoteRequest, RevokeRequest, RollbackRequest, RunRequest, SweepRequest
from kubetune.stages import STAGES, before

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "dags").glob("*.py"))
IDS = ["finetune", "finetune_many", "housekeeping", "promote", "revoke", "rollback"]
FORMS = {
    "finetune": RunRequest,
    "finetune_many": SweepRequest,
    "promote": PromoteRequest,
    "revoke": RevokeRequest,
    "rollback": RollbackRequest,
}
HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "pyarrow",
    "sklearn",
    "minio",
    "kubetune.storage",
    "kubetune.execution.run",
)


def test_every_file_loads_into_one_dag(dagbag) -> None:
    assert dagbag.import_errors == {}
    assert sorted(dagbag.dags) == IDS == [path.stem for path in FILES]
    for dag in dagbag.dags.values():
        dag.validate()
        assert dag.doc_md
        assert not dag.is_paused_upon_creation
        assert dag.tags == {"kubetune", f"kubetune-{metadata.version('kubetune')}"}, "the version is asked from outside"


def test_importing_the_dags_imports_nothing_heavy_and_no_store() -> None:
    program = (
        f"import runpy, sys; [runpy.run_path(path) for path in {[str(path) for path in FILES]!r}]\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dag_file_is_short_imports_one_module_and_decides_nothing(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    tree = ast.parse(text)
    found = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert [node.module for node in found] == ["kubetune.orchestration.airflow"]
    deciding = (ast.If, ast.IfExp, ast.Match, ast.Try, ast.While, ast.FunctionDef, ast.Lambda, ast.JoinedStr)
    assert not [type(node).__name__ for node in ast.walk(tree) if isinstance(node, deciding)]


@pytest.mark.parametrize(("name", "model"), FORMS.items())
def test_the_form_is_the_model(dagbag, name: str, model) -> None:
    params = dagbag.dags[name].params
    schema = model.model_json_schema()["properties"]
    assert set(params) == set(model.model_fields)
    for key, field in model.model_fields.items():
        param = params.get_param(key)
        assert param.description == field.description
        assert param.schema["title"] == field.title
        assert field.is_required() or param.value == field.default
        choices = schema[key].get("anyOf", [schema[key]])
        assert param.schema["type"] in (choices[0]["type"], [choice["type"] for choice in choices])
        assert param.schema.get("pattern") == choices[0].get("pattern")


def test_edges_follow_from_the_stage_table(dagbag) -> None:
    dag = dagbag.dags["finetune"]
    for stage in STAGES:
        found = dag.get_task(stage.name).upstream_task_ids
        if stage.approval:
            assert found == {f"approve_{stage.name}"}, "nothing goes past the person who is asked"
            found = dag.get_task(f"approve_{stage.name}").upstream_task_ids
        assert found == {*before(stage), "resolve"}
    many = dagbag.dags["finetune_many"]
    for name in ("evaluate", "behave", "compare", "package", "register", "deploy"):
        assert "choose" in many.get_task(name).upstream_task_ids, "nothing of the winner before the choice"
    assert not many.get_task("evaluate").is_mapped
    assert many.get_task("train").is_mapped
    assert many.get_task("register").upstream_task_ids == {"approve_register", "choose"}
    promote = dagbag.dags["promote"]
    assert {task.task_id for task in promote.tasks} == {"resolve", "package", "register", "deploy"}
    assert promote.get_task("deploy").upstream_task_ids == {"resolve", "package", "register"}
    told = (*promote.tasks[1:], dagbag.dags["rollback"].get_task("rollback"))
    assert all([call.__name__ for call in task.on_success_callback] == ["notify_answer"] for task in told)
    assert promote.get_task("register").upstream_task_ids == {"resolve", "package"}, "who promotes is not asked again"


def test_every_pod_runs_with_the_measured_settings(dagbag) -> None:
    seen = 0
    for dag in dagbag.dags.values():
        for task in dag.tasks:
            values = task.partial_kwargs if task.is_mapped else vars(task)
            if "on_finish_action" not in values:
                continue
            seen += 1
            assert str(getattr(values["on_finish_action"], "value", values["on_finish_action"])) == "delete_active_pod"
            assert values["in_cluster"] is True
            assert values["do_xcom_push"] is False
            assert values["log_pod_spec_on_failure"] is False
            assert values["retries"] == 5
            assert values["termination_message_policy"] == "FallbackToLogsOnError"
            assert type(values["retry_policy"]).__name__ == "ExitCodePolicy"
            assert values["on_failure_callback"]
            assert values["schedule_timeout_seconds"] >= 900
            if values["deferrable"]:
                assert values["poll_interval"] >= 15, "a faster trigger costs tries"
                assert values["logging_interval"] == 30
    assert seen == 10 + 11 + 1 + 3 + 1 + 1
    finetune = dagbag.dags["finetune"]
    assert {task.task_id for task in finetune.tasks if getattr(task, "deferrable", False)} == {
        "prepare",
        "train",
        "evaluate",
        "behave",
        "compare",
        "deploy",
    }
    assert finetune.get_task("train").termination_grace_period == 120


def test_the_lock_of_the_tests_is_the_lock_of_the_image() -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        return set(re.findall(r"^([a-z0-9][^ ;]*==[^ ;]+)", text, re.MULTILINE))

    assert len(pins("airflow.txt")) > 100
    assert pins("airflow.txt") <= pins("airflow-dev.txt")
