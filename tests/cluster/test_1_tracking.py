"""The mirror in MLflow after the first run: people see it there, with a login, and no stage had to know."""

import base64
import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from cluster_world import Cluster, wait

URL = "http://127.0.0.1:30083"
API = "/api/2.0/mlflow"


def ask(path: str, login: tuple[str, str] | None, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """Return status and answer; 0 where nobody answers."""
    request = Request(f"{URL}{path}", None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if login is not None:
        request.add_header("Authorization", f"Basic {base64.b64encode(':'.join(login).encode()).decode()}")
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, {}
    except OSError:
        return 0, {}


@pytest.fixture(scope="module")
def login(cluster: Cluster) -> tuple[str, str]:
    """The administrator's, as NOTES.txt tells people."""
    secret = f"{cluster.release}-tracking-admin"
    return cluster.secret(secret, "username"), cluster.secret(secret, "password")


def mirrored(run: str, login: tuple[str, str]) -> dict[str, Any] | None:
    """The MLflow run of one of ours, once it is finished."""
    _, found = ask(f"{API}/experiments/get-by-name?experiment_name=kubetune", login)
    if not found:
        return None
    where = {"experiment_ids": [found["experiment"]["experiment_id"]], "filter": f"attributes.run_name = '{run}'"}
    _, runs = ask(f"{API}/runs/search", login, where)
    done = [item for item in runs.get("runs", []) if item["info"]["status"] == "FINISHED"]
    return done[0] if done else None


def test_the_server_is_ready_and_opens_with_the_password_alone(cluster: Cluster, login: tuple[str, str]) -> None:
    for name in ("tracking", "tracking-mirror"):
        cluster.ready("deployment", f"{cluster.release}-{name}")
    search = f"{API}/experiments/search?max_results=1"
    assert ask(search, login)[0] == 200
    assert ask(search, (login[0], "not-the-password"))[0] == 401
    assert ask(search, None)[0] == 401


def test_the_mirror_waited_for_its_user_instead_of_dying(cluster: Cluster) -> None:
    """On a new cluster it begins before the Job that makes its user in the store has ended."""
    (pod,) = cluster.get("pods", "--selector", "app.kubernetes.io/component=tracking-mirror")["items"]
    (state,) = pod["status"]["containerStatuses"]
    assert (state["ready"], state["restartCount"]) == (True, 0), state.get("lastState")


def test_the_first_run_and_its_champion_are_there(cluster: Cluster, login: tuple[str, str]) -> None:
    assert cluster.show("tweets-1")["stages"]["evaluate"]["metrics"]["macro_f1"] > 0.65
    found = wait(lambda: mirrored("tweets-1", login), "tweets-1 in MLflow", 180)
    metrics = {item["key"]: item["value"] for item in found["data"]["metrics"]}
    ours = cluster.show("tweets-1")["stages"]["evaluate"]["metrics"]["macro_f1"]
    assert any(name.endswith("macro_f1") and abs(value - ours) < 1e-9 for name, value in metrics.items()), metrics
    status, model = ask(f"{API}/registered-models/alias?name=tweets&alias=champion", login)
    assert (status, model["model_version"]["tags"] != []) == (200, True)


def test_it_is_not_ready_while_its_database_is_away(cluster: Cluster, login: tuple[str, str]) -> None:
    """Alive all the while: nothing restarts it, and it answers by itself once the database does."""
    selector = "app.kubernetes.io/component=tracking"

    def pod() -> dict[str, Any]:
        return dict(cluster.get("pods", "--selector", selector)["items"][0])

    def is_ready() -> bool:
        return all(item["ready"] for item in pod()["status"]["containerStatuses"])

    before = pod()

    def sql(text: str) -> None:
        # Airflow's database on the same server goes on.
        psql = ("psql", "--username", "airflow", "--quiet", "--set", "ON_ERROR_STOP=1", "--command", text)
        cluster.kubectl("exec", f"{cluster.release}-database-0", "--", *psql)

    sql("ALTER DATABASE tracking ALLOW_CONNECTIONS false")
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tracking'")
    try:
        wait(lambda: not is_ready(), "an unready server", 120)
        assert ask("/health", None)[0] in {0, 200}  # the Service sends nobody to it
    finally:
        sql("ALTER DATABASE tracking ALLOW_CONNECTIONS true")
    wait(is_ready, "a server that is ready again", 180)
    after = pod()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    counts = [item["status"]["containerStatuses"][0]["restartCount"] for item in (before, after)]
    assert counts[0] == counts[1]
    assert ask(f"{API}/experiments/search?max_results=1", login)[0] == 200
