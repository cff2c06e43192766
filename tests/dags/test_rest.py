"""The client of the command line against the real api-server: the shapes that its loopback stand-in imitates."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_toys import path_first
from kubetune.client.airflow import Airflow, AirflowAccess
from kubetune.client.http import Way, request
from kubetune.client.watch import exit_code_of, outcome, stages_of
from kubetune.errors import ConfigError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STARTED_IN_S = 120.0


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real api-server with a database of its own, the DAGs read once; no scheduler, so that nothing moves."""
    home, port = tmp_path_factory.mktemp("rest"), free_port()
    (home / "passwords.json").write_text(json.dumps({"admin": "loopback"}))
    variables = {
        **os.environ,
        **path_first(),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": "loopback-" * 8,
    }
    for words in (["db", "migrate"], ["dags", "reserialize"]):
        subprocess.run(["airflow", *words], env=variables, check=True, capture_output=True, timeout=STARTED_IN_S)
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
        yield url
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def airflow(address: str) -> Airflow:
    return Airflow(AirflowAccess(address, "admin", "loopback"), Way())


def test_a_wrong_password_is_told_from_no_airflow(address: str) -> None:
    with pytest.raises(ConfigError, match="refuses user 'admin'"):
        Airflow(AirflowAccess(address, "admin", "wrong"), Way()).log_in()
    with pytest.raises(ConfigError, match="does not answer as Airflow does"):
        Airflow(AirflowAccess(f"{address}/nothing", "admin", "loopback"), Way()).log_in()


def test_a_run_is_begun_once_and_keeps_what_it_was_begun_with(airflow: Airflow) -> None:
    conf = {"recipe": "name: toy\n", "overrides": [], "run": "toy-1", "endpoint": None}
    assert airflow.find("toy-1") is None
    assert airflow.trigger("toy-1", conf) is True
    assert airflow.trigger("toy-1", conf) is False
    found = airflow.run("toy-1")
    assert (found.name, found.state, found.conf) == ("toy-1", "queued", conf)
    assert found.note.startswith("kubetune submit ")
    assert airflow.trigger("toy-2", conf) is True
    assert airflow.names("toy-%") == ["toy-2", "toy-1"] and airflow.names("other-%") == []
    assert airflow.paused() is False
    with pytest.raises(ConfigError, match="did you mean 'toy-1'"):
        airflow.run("toi-1")


def test_stages_reasons_and_logs_have_the_shapes_we_read(airflow: Airflow, address: str) -> None:
    airflow.trigger("toy-3", {"recipe": "tweets"})
    views = stages_of(airflow, "toy-3")
    assert [view.name for view in views] == [
        "resolve", "ingest", "fetch", "prepare", "train", "evaluate", "behave", "compare", "package", "register",
        "deploy",
    ]  # fmt: skip
    assert {(view.state, view.attempt) for view in views} == {("waiting", 0)}
    assert airflow.reason("toy-3", "train") is None
    assert airflow.log("toy-3", "train", 1) == []
    assert "No logs available for this task." in airflow.log("toy-3", "train", 0)
    sentence = "bad data: exit=65 DataError: no rows"
    path = "/api/v2/dags/finetune/dagRuns/toy-3/taskInstances/train/xcomEntries"
    headers = {"Authorization": f"Bearer {airflow._token}"}
    sent = request(Way(), "POST", address + path, value={"key": "reason", "value": sentence}, headers=headers)
    assert sent.status == 201, sent
    assert airflow.reason("toy-3", "train") == sentence


@pytest.mark.parametrize("code", [65, 69, 70, 75, 77, 78])
def test_the_retry_policys_sentence_tells_the_code(code: int) -> None:
    from kubetune.orchestration.retries import End, decide_retry

    for attempt in (1, 2):
        sentence = decide_retry(End(code=code, message="what the stage said"), RuntimeError(), attempt)[2]
        assert exit_code_of(sentence, "train") == code


def test_a_run_that_is_failed_by_hand_keeps_the_note(airflow: Airflow) -> None:
    airflow.trigger("toy-4", {"recipe": "tweets"})
    airflow.fail("toy-4", "cancelled with `kubetune cancel` by admin")
    found = airflow.run("toy-4")
    assert found.finished and found.state == "failed"
    assert outcome(airflow, found, stages_of(airflow, "toy-4")).code == 75
