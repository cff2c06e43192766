"""A sweep over REST: trials share what is the same, the winner alone meets the test rows and is deployed."""

import json
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from cluster_toys import archive
from cluster_world import Cluster, wait

RATES = [1.0e-6, 2.0e-4]
SHARED = ("ingest", "fetch", "prepare")


class Rest:
    """Airflow's REST API, as a script of a user's asks it."""

    def __init__(self, cluster: Cluster) -> None:
        known = cluster.settings()
        self.url, self.token = known["KUBETUNE_AIRFLOW_URL"], ""
        user = {"username": known["KUBETUNE_AIRFLOW_USER"], "password": known["KUBETUNE_AIRFLOW_PASSWORD"]}
        self.token = self.ask("/auth/token", user)["access_token"]

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """GET, or POST with a body."""
        headers = {"content-type": "application/json"} | (
            {"authorization": f"Bearer {self.token}"} if self.token else {}
        )
        request = Request(f"{self.url}{path}", json.dumps(body).encode() if body is not None else None, headers)
        with urlopen(request, timeout=30) as reply:
            return dict(json.loads(reply.read()))


@pytest.mark.full
def test_the_winner_of_a_sweep_is_chosen_on_validation_and_deployed(
    cluster: Cluster, undisturbed: dict[str, Any]
) -> None:
    rest, name = Rest(cluster), "manual__sweep"
    conf = {
        "recipes": [yaml.safe_dump(undisturbed["recipe"])],
        "grid": {"training.learning_rate": RATES},
        "overrides": ["training.epochs=3"],
        "sweep": "rates",
        "endpoint": "tweets",
    }
    rest.ask("/api/v2/dags/finetune_many/dagRuns", {"dag_run_id": name, "logical_date": None, "conf": conf})

    def ended() -> str | None:
        state = str(rest.ask(f"/api/v2/dags/finetune_many/dagRuns/{name}")["state"])
        return state if state in {"success", "failed"} else None

    assert wait(ended, "the end of the sweep", 1200, pause=3.0) == "success"
    worse, better = cluster.show("rates-1"), cluster.show("rates-2")
    for stage in SHARED:
        assert better["stages"][stage]["attempt"].startswith("adopted:"), f"{stage} ran for the second trial"
    assert set(worse["stages"]) == {*SHARED, "train"}, "a trial that lost has met the test rows"
    assert {"evaluate", "package"} <= set(better["stages"])
    assert cluster.served() == archive(better)
