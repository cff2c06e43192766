"""Promotion for real, on an endpoint of its own: promoted, promoted, kept out by one slice, rolled back, killed.

The story is that of `promotion_toys`, which the slow tier tells on one machine. The tests run in order.
"""

import json
import random
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

import promotion_toys as toys
from cluster_toys import archive
from cluster_world import ROOT, Cluster, wait
from kubetune.config.settings import Settings
from kubetune.execution.platform import open_configured_store
from kubetune.orchestration.pods import CONTAINER
from kubetune.storage.uploads import put_upload

pytestmark = pytest.mark.full

WHY = "letters are answered wrongly since noon"
MOMENTS = {"compare": 1.2, "register": 0.6, "deploy": 15.0}
"""Stage → seconds after its start within which it is killed; each lasts longer."""
KILL = """
until pid=$(pgrep --oldest --full -- "stage $2 --run $1 --"); do sleep 0.02; done
sleep "$3"
if grep -q '^State:.[RSD]' "/proc/$pid/status" && kill -9 "$pid"; then echo killed; fi
"""
"""Looks and kills inside the node, by the words of the process: kubectl and crictl see `register` when it is over."""
VANISHES = ("compare", "register")
"""Whose pod is deleted as well, as where a node is lost; that of `deploy` stays and shows 137."""
TRIED_AGAIN_S = 900
"""The policy tries again after half a minute where the pod vanished, and after five where it ended with 137."""


class Story:
    """Exports in the cluster's store, and the runs on one endpoint that learn from them."""

    def __init__(self, cluster: Cluster, folder: Path, endpoint: str) -> None:
        self.cluster, self.folder, self.endpoint = cluster, folder, endpoint
        known = cluster.settings()
        names = ("store", "s3_endpoint", "s3_access_key", "s3_secret_key")
        settings = Settings(**{name: known[f"KUBETUNE_{name.upper()}"] for name in names})
        store = open_configured_store(settings, probe=False)
        self.addresses = {name: put_upload(store, path) for name, path in toys.write_exports(folder).items()}

    def submit(self, name: str) -> str:
        """Begin a run of the story."""
        run, recipe = toys.RUNS[name], self.folder / f"{name}.yaml"
        recipe.write_text(toys.recipe_text(self.addresses, run), encoding="utf-8")
        return self.cluster.submit(str(recipe), self.run_of(name), *run.overrides, endpoint=self.endpoint)

    def run_of(self, name: str) -> str:
        """Its id: of this endpoint only, so that the tests can be run again in the same cluster."""
        return f"{self.endpoint}-{name}"

    def show(self, name: str) -> dict[str, Any]:
        """What the store knows of a run; its decision is printed."""
        found = self.cluster.show(self.run_of(name))
        print(f"\n{toys.told(self.run_of(name), accuracy(found), found['stages']['compare']['facts'])}")
        return found

    def complete(self, name: str) -> dict[str, Any]:
        """Run it to a good end."""
        self.cluster.complete(self.submit(name))
        return self.show(name)

    def registered(self) -> dict[str, Any]:
        """The model's record; its last line is printed."""
        done = self.cluster.kubetune("models", self.endpoint, "--json")
        assert done.code == 0, done.text
        (model,) = json.loads(done.text)
        print(f"registry: {model['aliases']}, last: {model['history'][-1]}")
        return dict(model)

    def answering(self) -> str:
        """Digest of the archive that answers a request, which the node makes; empty where none did."""
        service = self.cluster.get("service", f"{self.cluster.release}-serve-{self.endpoint}")
        url = f"http://{service['spec']['clusterIP']}:8080/predictions/{self.endpoint}"
        asked = ("-H", "content-type: application/json", "-d", json.dumps({"text": "dear all we are grateful"}), url)
        patience = ("--max-time", "30", "--retry", "5", "--retry-connrefused")
        headers = self.cluster.node("curl", "-s", "-D", "-", "-o", "/dev/null", *patience, *asked)
        found = re.search(r"^x-archive-digest: ([0-9a-f]{64})", headers, re.IGNORECASE | re.MULTILINE)
        return found[1] if found else ""

    def serves(self, found: dict[str, Any]) -> bool:
        """Whether registry, Deployment and whoever answers name the archive of a run."""
        digest, model = archive(found), self.registered()
        champion = model["versions"][model["aliases"]["champion"] - 1]
        wait(lambda: self.answering() == digest, "an answer of the champion", 60)
        return (champion["run"], champion["archive"]) == (found["run"], digest) and digest == self.cluster.served(
            self.endpoint
        )


def accuracy(found: dict[str, Any]) -> float:
    """Accuracy of a run on the test rows."""
    return float(found["stages"]["evaluate"]["metrics"]["accuracy"])


@pytest.fixture(scope="module")
def story(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The story on an endpoint that has never served; the endpoint is taken away after it."""
    endpoint = f"promotion-{secrets.token_hex(2)}"
    profile = yaml.safe_load((ROOT / "charts/kubetune/profiles/kind.yaml").read_text(encoding="utf-8"))
    entry = {key: value for key, value in profile["serving"]["endpoints"]["tweets"].items() if key != "service"}
    cluster.upgrade("--set-json", f"serving.endpoints.{endpoint}={json.dumps(entry)}")
    yield Story(cluster, tmp_path_factory.mktemp("promotion"), endpoint)
    cluster.upgrade()


def test_a_is_promoted_where_there_is_no_champion_and_serves(story: Story) -> None:
    found = story.complete("a")
    assert found["stages"]["compare"]["facts"]["outcome"] == "promote"
    assert "There is no champion" in found["stages"]["compare"]["facts"]["reasons"][0]
    assert story.registered()["aliases"] == {"champion": 1, "candidate": 1}
    assert story.serves(found)


def test_b_is_better_is_promoted_and_serves(story: Story) -> None:
    found = story.complete("b")
    assert found["stages"]["compare"]["facts"]["outcome"] == "promote"
    assert found["stages"]["compare"]["metrics"]["gain_p"] <= found["stages"]["compare"]["metrics"]["gain_level"]
    assert story.registered()["aliases"] == {"champion": 2, "previous": 1, "candidate": 2}
    assert story.serves(found)


def test_c_is_better_on_average_worse_for_one_slice_and_kept_out(story: Story) -> None:
    before, run = story.registered(), story.submit("c")
    ended = story.cluster.follow(run)
    assert ended.code == 99, ended.text[-2000:]
    found, b = story.show("c"), story.cluster.show(story.run_of("b"))
    compared = found["stages"]["compare"]
    assert accuracy(found) > accuracy(b) + 0.05
    assert (compared["facts"]["outcome"], compared["verdict"]["code"]) == ("keep", 99)
    assert compared["metrics"]["gain_p"] <= compared["metrics"]["gain_level"], "the gain itself is shown"
    assert "letter" in compared["facts"]["reasons"][0]
    assert {code_of_pod(pod) for pod in story.cluster.pods(run, "compare")} == {99}
    for stage in ("package", "register", "deploy"):
        assert story.cluster.pods(run, stage) == [], f"{stage} ran"
    assert story.registered() == before
    assert story.serves(b)


def code_of_pod(pod: dict[str, Any]) -> int | None:
    """Exit code of a stage's container; None while it runs."""
    states = [item["state"] for item in pod["status"]["containerStatuses"] if item["name"] == CONTAINER]
    return states[0].get("terminated", {}).get("exitCode")


def test_a_rollback_brings_a_back_and_says_what_changed(story: Story) -> None:
    conf = {"model": story.endpoint, "why": WHY}
    path = "/dags/rollback/dagRuns"
    run = story.cluster.airflow("POST", path, {"logical_date": None, "conf": conf})["dag_run_id"]

    def ended() -> str | None:
        state = story.cluster.airflow("GET", f"{path}/{quote(run, safe='')}")["state"]
        return state if state in {"success", "failed"} else None

    assert wait(ended, "the end of the rollback", 900) == "success"
    pods = story.cluster.get("pods", "--selector", "kubetune.io/stage=deploy")["items"]
    (pod,) = [pod for pod in pods if pod["spec"]["containers"][0]["args"][:2] == ["rollback", story.endpoint]]
    said = story.cluster.log(pod["metadata"]["name"])
    print(f"\n{said}")
    assert f"rolled back: {story.endpoint} went from version 2 to version 1, which serves" in " ".join(said.split())
    model = story.registered()
    assert model["aliases"] == {"champion": 1, "candidate": 2}
    assert model["versions"][1]["withdrawn"] == "person"
    last = model["history"][-1]
    assert (last["event"], last["version"], last["former"], last["why"]) == ("rolled-back", 1, 2, WHY)
    assert story.serves(story.cluster.show(story.run_of("a")))


def test_a_run_whose_compare_register_and_deploy_are_killed_ends_with_one_champion_that_serves(story: Story) -> None:
    seed = secrets.randbelow(1000)
    draw, run = random.Random(seed), story.submit("d")
    for stage, most in MOMENTS.items():
        moment = draw.uniform(0, most)
        strike(story.cluster, run, stage, moment)
        print(f"\nseed {seed}: {stage} was killed {moment:.1f} s after its start, and tried again")
    ended = story.cluster.follow(run)
    assert ended.code == 0, ended.text[-3000:]
    found, model = story.show("d"), story.registered()
    assert model["aliases"] == {"champion": 3, "previous": 1, "candidate": 3}
    assert (model["line"], [version["number"] for version in model["versions"]]) == ([1, 3], [1, 2, 3])
    assert [line["event"] for line in model["history"]].count("promoted") == 3
    assert story.serves(found)


def strike(cluster: Cluster, run: str, stage: str, moment: float) -> None:
    """SIGKILL a stage's process at a moment after its start; returns once the stage is tried again."""
    said = cluster.node("timeout", "900", "sh", "-c", KILL, "sh", run, stage, f"{moment:.2f}")
    assert "killed" in said, f"{stage} ended within {moment:.1f} s, before it could be killed: run this file again"
    struck = cluster.pods(run, stage)
    if stage in VANISHES:
        cluster.kubectl("delete", "pod", *(pod["metadata"]["name"] for pod in struck), "--now", "--wait=false")
    before = {pod["metadata"]["uid"] for pod in struck}

    def again() -> bool:
        task = cluster.airflow("GET", f"/dags/finetune/dagRuns/{quote(run, safe='')}/taskInstances/{stage}")
        # A process that has set its exit code and still tears down can be struck, and has ended well all the same.
        assert (task["state"], task["try_number"]) != ("success", 1), f"{stage} had ended when it was struck: run again"
        return any(pod["metadata"]["uid"] not in before for pod in cluster.pods(run, stage))

    wait(again, f"another pod of {stage}", TRIED_AGAIN_S)
