"""Who may answer an approval, asked of the real api-server with both managers of logins that the chart offers."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_toys import path_first
from kubetune.client.airflow import Airflow, AirflowAccess
from kubetune.client.http import Way, request

pytestmark = [pytest.mark.slow, pytest.mark.full]

ROOT = Path(__file__).parents[2]
STARTED_IN_S = 600.0
PASSWORD = "loopback"
MANAGERS = {
    "simple": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
    "fab": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
}
WAITING = """
import sys
from sqlalchemy import select
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
with create_session() as session:
    for task in session.scalars(select(TaskInstance).where(TaskInstance.run_id.in_(sys.argv[1:]))):
        if task.task_id == "approve_register":
            task.state = TaskInstanceState.AWAITING_INPUT
            session.add(HITLDetail(ti_id=task.id, options=["Approve", "Reject"], subject="Go on?", body="",
                                   defaults=["Reject"], multiple=False, params={}, assignees=None))
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Login:
    """A real api-server with a database of its own and the users that the chart makes."""

    manager: str
    url: str
    variables: dict[str, str]

    def of(self, user: str) -> Airflow:
        return Airflow(AirflowAccess(self.url, user, PASSWORD), Way())

    def ask(self, user: str, method: str, path: str, value: object = None) -> int:
        airflow = self.of(user)
        airflow.log_in()
        headers = {"Authorization": f"Bearer {airflow._token}"}
        return request(Way(), method, f"{self.url}/api/v2{path}", value=value, headers=headers).status

    def wait_for_a_person(self, *runs: str) -> None:
        """As if the scheduler had come to the approvals of these runs."""
        subprocess.run([sys.executable, "-c", WAITING, *runs], env=self.variables, check=True, timeout=STARTED_IN_S)


@pytest.fixture(scope="module", params=MANAGERS)
def login(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Login]:
    """The server, its users made by the chart's own programs where they lie in the database."""
    home, port = tmp_path_factory.mktemp(request.param), free_port()
    (home / "passwords.json").write_text(json.dumps({"admin": PASSWORD, "trigger": PASSWORD}))
    variables = {
        **os.environ,
        **path_first(),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__AUTH_MANAGER": MANAGERS[request.param],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,trigger:user",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": "loopback-" * 8,
    }
    run = {"env": variables, "capture_output": True, "timeout": STARTED_IN_S}
    for words in (["db", "migrate"], ["dags", "reserialize"]):
        subprocess.run(["airflow", *words], check=True, **run)
    if request.param == "fab":
        for user in ("admin", "trigger"):
            (home / "login" / user).mkdir(parents=True)
            (home / "login" / user / "username").write_text(user)
            (home / "login" / user / "password").write_text(PASSWORD)
        users = ROOT / "charts" / "kubetune" / "files" / "users.sh"
        subprocess.run(["sh", str(users), str(home / "login")], check=True, start_new_session=True, **run)
        # Each upgrade runs it again.
        subprocess.run([sys.executable, str(users.with_name("trigger_role.py")), "trigger"], check=True, **run)
    server = subprocess.Popen(
        [sys.executable, "-m", "airflow", "api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + STARTED_IN_S
    try:
        while True:
            try:
                urllib.request.urlopen(f"{url}/api/v2/version", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, "the api-server did not start"
                time.sleep(0.5)
        yield Login(request.param, url, variables)
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def test_whose_answers_airflow_takes(login: Login) -> None:
    """With `simple` every user may answer, so that the approval itself looks at who it was; `fab` refuses at once."""
    for run in ("toy-1", "toy-2"):
        assert login.of("trigger").trigger(run, {"recipe": "tweets"}) is True, "it begins runs"
    login.wait_for_a_person("toy-1", "toy-2")

    def answer(user: str, run: str) -> int:
        path = f"/dags/finetune/dagRuns/{run}/taskInstances/approve_register/-1/hitlDetails"
        return login.ask(user, "PATCH", path, {"chosen_options": ["Approve"], "params_input": {}})

    assert answer("trigger", "toy-1") == {"simple": 200, "fab": 403}[login.manager]
    assert answer("admin", "toy-2") == 200


def test_what_else_the_account_of_schedules_may(login: Login) -> None:
    """`kubetune submit` and `kubetune check airflow` need these; a person's words and others' runs are not its."""
    trigger = login.of("trigger")
    assert {"finetune", "finetune_many"} <= set(trigger.dags())
    assert trigger.paused() is False and trigger.find("nothing") is None
    assert trigger.trigger("toy-9", {"recipe": "tweets"}) is True
    refused = {"simple": 200, "fab": 403}[login.manager]
    word = {"logical_date": None, "conf": {"model": "toy", "why": "mine"}}
    for dag, conf in (("rollback", word), ("promote", {**word, "conf": {"what": "toy@1", "why": "mine"}})):
        assert login.ask("trigger", "POST", f"/dags/{dag}/dagRuns", conf) == refused
        assert login.ask("admin", "POST", f"/dags/{dag}/dagRuns", conf) == 200
    path = "/dags/finetune/dagRuns/toy-9"
    assert login.ask("trigger", "PATCH", path, {"state": "success"}) == refused
    assert login.ask("trigger", "PATCH", "/dags/finetune", {"is_paused": True}) in (200, refused)
