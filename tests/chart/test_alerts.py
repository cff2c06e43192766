"""Each alert is quiet, fires and resolves under Prometheus' own evaluation, also where its series are gone or new."""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kubetune.serving.gateway.metrics import Metrics
from prometheus import metric_names, panels, program, rules, write_rules

pytestmark = pytest.mark.slow

WHERE = 'namespace="kubetune",model="tweets"'


@dataclass(frozen=True)
class Scene:
    """What Prometheus reads, minute by minute in promtool's notation, and what an alert makes of it.

    Attributes:
        alert: Its name.
        series: Values by series; `_` is nothing read, `stale` is a target that is gone.
        states: Minute → whether the alert fires then.
        value: What the alert's summary shows.
        labels: Labels of the alert beside namespace and model.
    """

    alert: str
    series: dict[str, str]
    states: dict[int, bool]
    value: str = ""
    labels: dict[str, str] = field(default_factory=dict)


def ready(pod: str, values: str) -> dict[str, str]:
    """The gauge of one pod."""
    return {f'kubetune_gateway_ready{{{WHERE},pod="{pod}"}}': values}


def requests(**by_status: str) -> dict[str, str]:
    """The counters of one pod by status."""
    name = "kubetune_gateway_requests_total"
    return {f'{name}{{{WHERE},pod="a",status="{key[1:]}"}}': values for key, values in by_status.items()}


def seconds(fast: str, total: str) -> dict[str, str]:
    """The histogram: requests of up to 0.1 s, and all, of which none took between that and 2.5 s."""
    name, bounds = "kubetune_gateway_request_seconds_bucket", {"0.1": fast, "2.5": fast, "5.0": total, "+Inf": total}
    return {f'{name}{{{WHERE},le="{bound}"}}': values for bound, values in bounds.items()}


NOT_READY, DEGRADED, ERRORS = "KubetuneEndpointNotReady", "KubetuneEndpointDegraded", "KubetuneEndpointErrors"
SCENES = {
    "no pod has ever been there": Scene(NOT_READY, {}, {4: False, 6: True, 30: True}),
    "all pods are gone, then one comes": Scene(
        NOT_READY, ready("a", "1x10 stale _x20 1x20"), {9: False, 14: False, 18: True, 40: False}
    ),
    "no pod is ready, then one is": Scene(
        NOT_READY, {**ready("a", "1x5 0x15 1x20"), **ready("b", "0x60")}, {5: False, 12: True, 25: False}
    ),
    "one of two is ready": Scene(NOT_READY, {**ready("a", "1x60"), **ready("b", "0x60")}, {30: False, 60: False}),
    "one of two is lost, then back": Scene(
        DEGRADED, {**ready("a", "1x90"), **ready("b", "1x10 stale _x25 1x50")}, {20: False, 32: True, 45: False}, "1"
    ),
    "one of two does not become ready": Scene(
        DEGRADED, {**ready("a", "1x90"), **ready("b", "0x40 1x50")}, {10: False, 20: True, 45: False}, "1"
    ),
    "the first failures of all, then none": Scene(
        ERRORS, requests(_200="0+100x90", _503="0x10 0+5x20 100x60"), {9: False, 15: False, 25: True, 45: False}
    ),
    "a failure in two hundred": Scene(ERRORS, requests(_200="0+200x90", _500="0+1x90"), {30: False, 90: False}),
    "every request fails, as a status that was never seen": Scene(
        ERRORS, requests(_200="0x90", _504="0x10 0+1x20 20x60"), {9: False, 25: True, 45: False}
    ),
    "slow for a while": Scene(
        "KubetuneEndpointSlow", seconds("0+100x90", "0+100x10 1110+110x30 4510+100x50"), {9: False, 30: True, 60: False}
    ),
    "nobody asks": Scene("KubetuneEndpointSlow", seconds("0x60", "0x60"), {30: False, 60: False}),
    "workers die again and again, then no more": Scene(
        "KubetuneEndpointWorkersDie",
        {f'kubetune_gateway_worker_restarts_total{{{WHERE},pod="a"}}': "0x10 1 2 3 4 4x60"},
        {10: False, 16: True, 40: False},
        labels={"pod": "a"},
    ),
    "one worker died": Scene(
        "KubetuneEndpointWorkersDie",
        {f'kubetune_gateway_worker_restarts_total{{{WHERE},pod="a"}}': "0x10 1x60"},
        {16: False, 40: False},
        labels={"pod": "a"},
    ),
}


def promtool(folder: Path, *arguments: str) -> str:
    """Run it; what it prints must be no complaint."""
    done = subprocess.run([program("promtool"), *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def expected(alert: dict[str, Any], scene: Scene) -> dict[str, Any]:
    """The alert as it would be sent."""
    labels = {"namespace": "kubetune", "model": "tweets", **scene.labels, **alert["labels"]}
    shown = {key: text.replace("{{ $labels.model }}", "tweets") for key, text in alert["annotations"].items()}
    shown = {key: text.replace("{{ $value }}", scene.value) for key, text in shown.items()}
    return {"exp_labels": labels, "exp_annotations": shown}


@pytest.mark.parametrize("name", sorted(SCENES))
def test_an_alert_says_what_is(name: str, tmp_path: Path) -> None:
    scene = SCENES[name]
    spec = rules("serving.endpoints.tweets.replicas=2")
    (alert,) = (rule for group in spec["groups"] for rule in group["rules"] if rule.get("alert") == scene.alert)
    tests = [
        {"eval_time": f"{minute}m", "alertname": scene.alert, "exp_alerts": [expected(alert, scene)] if fires else []}
        for minute, fires in scene.states.items()
    ]
    series = [{"series": key, "values": values} for key, values in scene.series.items()]
    whole = {"interval": "1m", "input_series": series, "alert_rule_test": tests}
    (tmp_path / "test.yaml").write_text(
        json.dumps({"rule_files": [write_rules(tmp_path, spec).name], "evaluation_interval": "1m", "tests": [whole]}),
        encoding="utf-8",
    )
    promtool(tmp_path, "test", "rules", "test.yaml")


def test_every_alert_is_seen_quiet_firing_and_resolved() -> None:
    alerts = {rule["alert"] for group in rules()["groups"] for rule in group["rules"] if "alert" in rule}
    states = [(scene.alert, list(scene.states.values())) for scene in SCENES.values()]
    seen = {alert for alert, fires in states if True in fires and not fires[0] and not fires[-1]}
    assert len(alerts) == 5
    assert seen == alerts


def test_rules_are_prometheus_rules_for_any_endpoints(tmp_path: Path) -> None:
    for settings in (
        (),
        ('serving.endpoints.other={"autoscaling":{"enabled":true,"minReplicas":3}}',),
        ("serving.endpoints=null",),
    ):
        found = promtool(tmp_path, "check", "rules", write_rules(tmp_path, rules(*settings)).name)
        assert "SUCCESS" in found


def test_the_pods_that_should_be_there_are_a_series_of_each_endpoint() -> None:
    spec = rules(
        'serving.endpoints.other={"autoscaling":{"enabled":true,"minReplicas":3}}',
        'serving.endpoints.none={"replicas":0}',
    )
    records = [rule for group in spec["groups"] for rule in group["rules"] if "record" in rule]
    assert {rule["labels"]["model"]: rule["expr"] for rule in records} == {
        "tweets": "vector(1)",
        "other": "vector(3)",
        "none": "vector(0)",
    }
    assert {rule["record"] for rule in records} == {"kubetune_endpoint_expected"}


def exposed(metrics: Metrics) -> dict[str, float]:
    """What Prometheus reads of the gateway: value by series."""
    lines = [line for line in metrics.render({}, {}).splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


@pytest.mark.parametrize("status", [500, 503, 504, 429, 200, 599])
def test_the_first_answer_of_a_status_is_an_increase(status: int, tmp_path: Path) -> None:
    """Prometheus sees none where a series is born at 1, so what the gateway exposes before counts."""
    metrics = Metrics({"model": "tweets"})
    before = exposed(metrics)
    metrics.observe(status, 0.01)
    after = exposed(metrics)
    assert set(after) == set(before), "a series was born"
    name = "kubetune_gateway_requests_total"
    series = [
        {"series": key, "values": f"{before[key]:.0f}x4 {value:.0f}x4"} for key, value in after.items() if name in key
    ]
    kind = f"{status // 100}.."
    query = f'sum(increase({name}{{status=~"{kind}"}}[5m])) > bool 0'
    ask = [{"expr": query, "eval_time": "6m", "exp_samples": [{"labels": "{}", "value": 1}]}]
    whole = {"interval": "1m", "input_series": series, "promql_expr_test": ask}
    (tmp_path / "test.yaml").write_text(json.dumps({"evaluation_interval": "1m", "tests": [whole]}), encoding="utf-8")
    promtool(tmp_path, "test", "rules", "test.yaml")


def test_panels_and_alerts_name_metrics_that_the_gateway_has_from_the_start() -> None:
    spec = rules()
    queries = [rule["expr"] for group in spec["groups"] for rule in group["rules"]]
    queries += [query for group in panels().values() for query in group]
    names = metric_names(queries)
    assert len(names) >= 6
    gauges = {"ready", "in_flight", "workers_ready"}
    text = Metrics({"model": "tweets"}).render(
        {name: ("x", 0.0) for name in gauges}, {"worker_restarts_total": ("x", 0.0)}
    )
    known = metric_names(text.splitlines()) | {"kubetune_endpoint_expected"}
    assert names - known == set()
