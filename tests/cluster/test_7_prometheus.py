"""A real Prometheus reads the cluster: every metric that a rule or a panel names is there, and rules are evaluated."""

import json
import os
import re
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cluster_world import Cluster, wait
from prometheus import metric_names, panels, program, rules, write_rules


class Prometheus:
    """A server on loopback."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"{self.url}/{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as reply:
                return json.loads(reply.read())["data"]
        except OSError:
            return None

    def query(self, text: str) -> list[Any]:
        """Return the samples of an expression."""
        found = self.ask("query", query=text)
        return list(found["result"]) if found else []

    def alert(self, name: str, model: str) -> str:
        """Return the state of an alert about a model."""
        found = self.ask("alerts") or {"alerts": []}
        states = {item["state"] for item in found["alerts"]
                  if (item["labels"]["alertname"], item["labels"].get("model")) == (name, model)}  # fmt: skip
        return "".join(states) or "quiet"


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process after the block."""
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def job(name: str, pod: dict[str, Any], port: int, path: str, proxy: int) -> dict[str, Any]:
    """One target through the Kubernetes API, with the labels that the operator gives it."""
    where = pod["metadata"]
    return {
        "job_name": f"{name}/{where['name']}",
        "metrics_path": f"/api/v1/namespaces/{where['namespace']}/pods/{where['name']}:{port}/proxy{path}",
        "static_configs": [
            {"targets": [f"127.0.0.1:{proxy}"], "labels": {"namespace": where["namespace"], "pod": where["name"]}}
        ],
    }


def metrics_port(pod: dict[str, Any]) -> int:
    """The port that the monitor of the chart reads."""
    ports = {port["name"]: port["containerPort"] for item in pod["spec"]["containers"] for port in item["ports"]}
    return int(ports.get("probes", ports["http"]))


@pytest.fixture(scope="module")
def prometheus(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It reads the endpoint's pods and the store; its rules expect an endpoint `ghost`, too, which has no pod."""
    server, folder = program("prometheus"), tmp_path_factory.mktemp("prometheus")
    spec = rules("serving.endpoints.ghost={}")
    proxy, port = free_port(), free_port()
    store = cluster.get("pod", f"{cluster.release}-object-store-0")
    pods = cluster.ready_pods()
    assert pods, "the endpoint has no ready pod"
    jobs = [job("endpoints", pod, metrics_port(pod), "/metrics", proxy) for pod in pods]
    jobs.append(job("store", store, 9000, "/minio/v2/metrics/cluster", proxy))
    timing = {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "3s"}
    config = {"global": timing, "rule_files": [str(write_rules(folder, spec))], "scrape_configs": jobs}
    (folder / "prometheus.yaml").write_text(json.dumps(config), encoding="utf-8")
    command = [server, f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
               f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]  # fmt: skip
    forward = ["kubectl", "--context", cluster.context, "proxy", f"--port={proxy}"]
    with (
        ended(subprocess.Popen(forward, stdout=subprocess.DEVNULL)),
        ended(subprocess.Popen(command, env={**os.environ, "TZ": "UTC"})),
    ):
        found = Prometheus(port)
        wait(lambda: len(found.query("up == 1")) == len(jobs), "every target that is up", 90)
        cluster.predict()
        # Rates want two samples.
        wait(lambda: found.query("min(count_over_time(kubetune_gateway_ready[1m])) >= 3"), "three samples", 60)
        yield found


def spelled(query: str, cluster: Cluster) -> str:
    """A dashboard's query as Grafana would ask it, with every model chosen."""
    if found := re.fullmatch(r"label_values\((.*), \w+\)", query):
        query = found[1]
    return query.replace("$namespace", cluster.namespace).replace("$model", ".*")


def test_every_metric_that_is_named_is_returned(prometheus: Prometheus) -> None:
    queries = [rule["expr"] for group in rules()["groups"] for rule in group["rules"]]
    names = metric_names(queries + [query for group in panels().values() for query in group])
    assert len(names) >= 6
    assert {name for name in names if not prometheus.query(name)} == set()


def test_every_panel_shows_something(prometheus: Prometheus, cluster: Cluster) -> None:
    empty = [
        (title, query)
        for title, queries in panels().items()
        for query in queries
        if not prometheus.query(spelled(query, cluster))
    ]
    assert len(panels()) >= 6
    assert empty == []


def test_rules_are_evaluated_and_an_endpoint_without_a_pod_is_missed(prometheus: Prometheus) -> None:
    groups = (prometheus.ask("rules") or {"groups": []})["groups"]
    found = {rule["name"]: (rule["health"], rule.get("lastError")) for group in groups for rule in group["rules"]}
    assert len(found) >= 6
    assert set(found.values()) == {("ok", None)}
    wait(lambda: prometheus.alert("KubetuneEndpointNotReady", "ghost") == "pending", "the alert of the missing one", 60)
    assert prometheus.alert("KubetuneEndpointNotReady", "tweets") == "quiet"


def test_every_status_has_its_series_before_it_is_answered(prometheus: Prometheus) -> None:
    found = {item["metric"]["status"] for item in prometheus.query("kubetune_gateway_requests_total")}
    assert {"200", "429", "500", "503", "504"} <= found


def test_the_targets_are_those_of_the_monitors(cluster: Cluster) -> None:
    """What is read above is the port and path that the chart's monitors name."""
    from chart_helm import objects, template

    known = "--api-versions=monitoring.coreos.com/v1/ServiceMonitor"
    text = template(["kind"], settings=["monitoring.serviceMonitor.enabled=true"], extra=[known])
    monitors = [item["spec"]["endpoints"][0] for item in objects(text) if item["kind"] == "ServiceMonitor"]
    paths = {item["path"] for item in monitors}
    assert paths == {"/metrics", "/minio/v2/metrics/cluster"}
    (serving,) = (item for item in monitors if item["path"] == "/metrics")
    pod = cluster.ready_pods()[0]
    named = {port["name"]: port["containerPort"] for item in pod["spec"]["containers"] for port in item["ports"]}
    assert named[serving.get("targetPort") or serving["port"]] == metrics_port(pod)
