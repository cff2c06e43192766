"""A backup, taken and restored into another namespace by the very commands of the page for operators."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from cluster_world import KUBETUNE, ROOT, Cluster, wait

PAGE = ROOT / "docs" / "operations.md"
NAMESPACE = "kt-backup"
PORTS = {"api-server": (18080, 8080), "object-store": (19000, 9000), "serve-tweets": (18081, 8080)}
VALUES = """
airflow: {apiServer: {service: {type: ClusterIP, nodePort: null}}}
objectStore: {bundled: {service: {type: ClusterIP, nodePort: null}}}
serving: {endpoints: {tweets: {service: {type: ClusterIP, nodePort: null}}}}
tracking: {enabled: false}
"""


def commands(mark: str) -> str:
    """Return the commands that stand after a mark of the page."""
    found = re.search(rf"<!-- {mark}: .*? -->\n\n```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert found is not None, f"{PAGE.name} has no commands marked {mark!r}"
    return found[1]


class Restored(Cluster):
    """The second release, behind forwarded ports."""

    def __init__(self) -> None:
        super().__init__()
        self.namespace = NAMESPACE
        self.url = f"http://127.0.0.1:{PORTS['serve-tweets'][0]}"

    def settings(self) -> dict[str, str]:
        """Return what the command line needs; the addresses are the forwarded ones."""
        return {
            **super().settings(),
            "KUBETUNE_AIRFLOW_URL": f"http://127.0.0.1:{PORTS['api-server'][0]}",
            "KUBETUNE_S3_ENDPOINT": f"http://127.0.0.1:{PORTS['object-store'][0]}",
        }


@contextmanager
def forwarded(cluster: Cluster, part: str) -> Iterator[None]:
    """Forward a Service of the second release to this machine."""
    here, there = PORTS[part]
    command = ["kubectl", "--context", cluster.context, "--namespace", NAMESPACE, "port-forward"]
    process = subprocess.Popen(
        [*command, f"service/{cluster.release}-{part}", f"{here}:{there}"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and "Forwarding" in process.stdout.readline()
    try:
        yield
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def run(script: str, **environment: str) -> None:
    """Run commands of the page as they stand there."""
    path = f"{KUBETUNE.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env={**os.environ, "PATH": path, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def root_settings(cluster: Cluster) -> dict[str, str]:
    """Return the settings of the store with its root keys."""
    name = f"{cluster.release}-object-store-root"
    keys = {"ACCESS_KEY": cluster.secret(name, "root_user"), "SECRET_KEY": cluster.secret(name, "root_password")}
    own = {key: value for key, value in cluster.settings().items() if "S3" in key or key == "KUBETUNE_STORE"}
    return own | {f"KUBETUNE_S3_{key}": value for key, value in keys.items()}


@pytest.fixture(scope="module")
def restored(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    """The release that was made from the backup; it is deleted at the end."""
    folder, second = tmp_path_factory.mktemp("backup"), Restored()
    began = time.monotonic()
    config = folder / "kubeconfig"
    config.write_text(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten"))
    at = {"BACKUP": str(folder), "NAMESPACE": NAMESPACE, "KUBECONFIG": str(config)}
    for _ in range(2):  # the page says to repeat it where the dump came without its end
        with suppress(AssertionError):
            run(commands("backup"), **at, **root_settings(cluster))
            break
    else:
        run(commands("backup"), **at, **root_settings(cluster))
    print(f"\nbacked up after {time.monotonic() - began:.0f} s")
    (folder / "values.yaml").write_text(VALUES)
    profile = os.environ.get("PROFILE", "charts/kubetune/profiles/kind.yaml")
    values = f"{os.environ.get('HELM_FLAGS', '')} --values {profile} --values {folder}/values.yaml"
    second.kubectl("create", "namespace", NAMESPACE)
    second.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    try:
        before, after = commands("restore").split("kubetune store restore", 1)
        run(before, **at, VALUES=values)
        with forwarded(second, "object-store"):
            run(f"kubetune store restore{after}", **at, **root_settings(second), VALUES=values)
        print(f"restored after {time.monotonic() - began:.0f} s")
        yield second
    finally:
        second.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.full
def test_the_run_list_of_airflow_and_of_the_store_is_there(cluster: Cluster, restored: Restored) -> None:
    with forwarded(restored, "api-server"), forwarded(restored, "object-store"):
        listed = json.loads(restored.kubetune("runs", "--json").text)
        known = {item["run"] for item in json.loads(cluster.kubetune("runs", "--json").text)}
        assert listed and {item["run"] for item in listed} == known
        path = "/dags/finetune/dagRuns?limit=100"
        runs = {item["dag_run_id"]: item["state"] for item in restored.airflow("GET", path)["dag_runs"]}
        then = {item["dag_run_id"]: item["state"] for item in cluster.airflow("GET", path)["dag_runs"]}
        assert runs and {name: state for name, state in then.items() if state == "success"}.items() <= runs.items()


@pytest.mark.full
def test_the_champion_is_there_and_serves_again(cluster: Cluster, restored: Restored) -> None:
    with forwarded(restored, "api-server"), forwarded(restored, "object-store"):
        models = json.loads(restored.kubetune("models", "--json").text)
        assert models == json.loads(cluster.kubetune("models", "--json").text)
        (model,) = [model for model in models if model["name"] == "tweets"]
        assert restored.served() is None, "a new endpoint serves nothing by itself"
        conf = {"what": f"tweets@{model['aliases']['champion']}", "why": "it serves again after the restore"}
        value = {"dag_run_id": "after-restore", "logical_date": None, "conf": conf}
        restored.airflow("POST", "/dags/promote/dagRuns", value)
        state = f"/dags/promote/dagRuns/{value['dag_run_id']}"
        ended = wait(
            lambda: restored.airflow("GET", state)["state"] in {"success", "failed"},
            "the end of promote",
            600,
            pause=3.0,
        )
        assert ended and restored.airflow("GET", state)["state"] == "success"
        assert restored.served() == cluster.served()
    restored.ready("deployment", restored.deployment)
    with forwarded(restored, "serve-tweets"):
        status, body, digest = restored.predict()
        assert (status, digest) == (200, cluster.served()), body
