"""Keys, limits, quarantine and metrics, without a server."""

import ast
import asyncio
import hashlib
import json
import math
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kubetune.errors import ConfigError
from kubetune.serving import gateway
from kubetune.serving.gateway.keys import KeyRing, admit, new_key, parse_keys
from kubetune.serving.gateway.limits import InFlight, RateLimit
from kubetune.serving.gateway.metrics import STATUSES, Metrics
from kubetune.serving.gateway.quarantine import BLOCKED_S, MOST, Bulkhead, PoisonRequests
from kubetune.serving.gateway.refusal import HttpRefusal, with_id


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_new_key_opens_with_its_line_and_only_its_hash_is_in_it() -> None:
    key, line = new_key("alice")
    other, _ = new_key("alice")
    assert key != other and len(key) >= 40
    assert line == f"alice:{hashlib.sha256(key.encode()).hexdigest()}"
    assert parse_keys(line)[0][0].name == "alice"
    with pytest.raises(ConfigError, match="is not allowed"):
        new_key("a:b")


def test_lines_that_are_no_keys_open_nothing() -> None:
    digest = "a" * 64
    keys, wrong = parse_keys(
        f"# comment\n\nalice:{digest}\nbob:{digest}:toy,tweets\nbob {digest}\neve:abc\n:{digest}\n"
    )
    assert [key.name for key in keys] == ["alice", "bob"]
    assert keys[1].endpoints == ("toy", "tweets")
    assert wrong == (5, 6, 7)


def test_keys_are_admitted_revoked_and_scoped(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "keys"
    (alice, line), (bob, scoped) = new_key("alice"), new_key("bob")
    file.write_text(f"{line}\n{scoped}:other\n")
    ring = KeyRing(file, clock)
    assert admit(ring, {"Authorization": f"Bearer {alice}"}, "toy") == "alice"
    assert admit(ring, {"x-api-key": alice}, "toy") == "alice"
    assert admit(ring, {"x-api-key": bob}, "other") == "bob"
    for headers, status in (
        ({}, 401),
        ({"x-api-key": "wrong"}, 401),
        ({"x-api-key": "\udcff\udcfe"}, 401),
        ({"Authorization": f"Basic {alice}"}, 401),
        ({"x-api-key": bob}, 403),
    ):
        with pytest.raises(HttpRefusal) as caught:
            admit(ring, headers, "toy")
        assert caught.value.status == status
    replacement = tmp_path / "next"
    replacement.write_text(f"{scoped}\n")
    replacement.replace(file)
    clock.now += 2
    with pytest.raises(HttpRefusal, match="revoked"):
        admit(ring, {"x-api-key": alice}, "toy")
    assert admit(ring, {"x-api-key": bob}, "toy") == "bob"
    file.unlink()
    clock.now += 2
    with pytest.raises(HttpRefusal):
        admit(ring, {"x-api-key": bob}, "toy")
    assert admit(None, {}, "toy") == ""
    with pytest.raises(ConfigError, match="does not exist"):
        KeyRing(tmp_path / "nowhere")


def test_the_rate_of_a_key_is_its_own() -> None:
    clock = Clock()
    rate = RateLimit(2.0, clock)
    for _ in range(4):
        rate.take("alice")
    with pytest.raises(HttpRefusal) as caught:
        rate.take("alice")
    assert caught.value.status == 429 and caught.value.headers["Retry-After"] == "1"
    rate.take("bob")
    clock.now += 0.5
    rate.take("alice")
    with pytest.raises(HttpRefusal):
        rate.take("alice")
    for _ in range(1000):
        RateLimit(0.0).take("anyone")


def test_requests_in_flight_are_bounded() -> None:
    bound = InFlight(1)
    with bound.entered(), pytest.raises(HttpRefusal) as caught, bound.entered():
        pass
    assert caught.value.status == 503 and caught.value.headers["Retry-After"]
    with bound.entered():
        assert bound.now == 1
    assert bound.now == 0


def test_a_suspect_is_blocked_only_where_a_worker_died_under_it_alone() -> None:
    clock = Clock()
    quarantine = PoisonRequests(clock)
    assert not quarantine.check("a")
    quarantine.died("a", alone=False)
    quarantine.died("b", alone=False)
    assert quarantine.check("a") and quarantine.check("b")
    quarantine.answered("b")
    assert not quarantine.check("b")
    quarantine.died("a", alone=True)
    with pytest.raises(HttpRefusal, match="two workers") as caught:
        quarantine.check("a")
    assert caught.value.status == 422 and quarantine.blocked == 1
    clock.now += BLOCKED_S
    assert not quarantine.check("a") and quarantine.blocked == 0
    for number in range(2 * MOST):
        quarantine.died(str(number), alone=True)
    assert quarantine.blocked == MOST


def test_a_suspect_is_alone_and_the_others_wait() -> None:
    async def scene() -> list[str]:
        lane, told = Bulkhead(), []

        async def work(name: str, *, alone: bool) -> None:
            async with lane.entered(alone=alone):
                told.append(f"{name}+")
                await asyncio.sleep(0.01)
                told.append(f"{name}-")

        await asyncio.gather(
            work("a", alone=False), work("b", alone=False), work("S", alone=True), work("c", alone=False)
        )
        return told

    told = asyncio.run(scene())
    assert told.index("S-") == told.index("S+") + 1
    assert set(told[:2]) == {"a+", "b+"} and told.index("c+") > told.index("S-")


def test_metrics_are_cumulative_seconds_with_labels() -> None:
    metrics = Metrics({"model": 'a "toy"', "archive": "abc"})
    for seconds in (0.003, 0.005, 0.2, 99.0):
        metrics.observe(200, seconds)
    metrics.observe(503, 0.01)
    text = metrics.render({"ready": ("Ready.", 1.0), "age": ("Age.", float("nan"))}, {"deaths_total": ("Deaths.", 3.0)})
    families = {family.name: family for family in text_string_to_metric_families(text)}
    found = {
        (sample.name.removeprefix("kubetune_gateway_"), sample.labels.get("status") or sample.labels.get("le")): sample
        for family in families.values()
        for sample in family.samples
    }
    assert all(sample.labels.items() >= {"model": 'a "toy"', "archive": "abc"}.items() for sample in found.values())
    values = {key: sample.value for key, sample in found.items()}
    assert values["requests_total", "200"] == 4 and values["requests_total", "503"] == 1
    assert values["request_seconds_bucket", "0.005"] == 2 and values["request_seconds_bucket", "30.0"] == 4
    assert values["request_seconds_bucket", "+Inf"] == values["request_seconds_count", None] == 5
    assert values["deaths_total", None] == 3 and math.isnan(values["age", None])
    assert {name.removeprefix("kubetune_gateway_"): family.type for name, family in families.items()} == {
        "requests": "counter", "retries": "counter", "deaths": "counter",
        "request_seconds": "histogram", "ready": "gauge", "age": "gauge",
    }  # fmt: skip
    assert all(line.startswith(("#", "kubetune_gateway_")) for line in text.splitlines())


def test_every_status_of_the_gateway_has_its_series_from_the_start() -> None:
    """To Prometheus a counter that is born at 1 has never grown."""
    calls = [
        node
        for path in Path(gateway.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "HttpRefusal" and node.args
    ]
    refused = {node.args[0].value for node in calls if isinstance(node.args[0], ast.Constant)}
    assert len(refused) >= 10
    handlers = {400, 413, 422, 500}  # of the predictor, passed on as they are
    assert (refused | handlers | {200}) - set(STATUSES) == {421}  # of the front of this machine, which has no metrics
    metrics = Metrics({"model": "toy"})
    before = {line.rpartition(" ")[0] for line in metrics.render({}, {}).splitlines()}
    for status in (*STATUSES, 507, 418):  # unknown ones count as the first of their class
        metrics.observe(status, 0.01)
    text = metrics.render({}, {})
    assert {line.rpartition(" ")[0] for line in text.splitlines()} == before
    assert 'kubetune_gateway_requests_total{model="toy",status="500"} 2.0' in text
    assert 'kubetune_gateway_requests_total{model="toy",status="400"} 2.0' in text


def test_every_error_gets_one_format() -> None:
    ours = with_id(b'{"error": {"status": 400, "reason": "the body is empty"}}', 400, "7")
    assert ours == b'{"error": {"status": 400, "reason": "the body is empty", "request_id": "7"}}'
    theirs = with_id(b'{"code": 503, "type": "X", "message": "no worker"}', 503, "7")
    assert theirs == b'{"error": {"status": 503, "reason": "no worker", "request_id": "7"}}'
    assert b"gave no reason" in with_id(b"<html>", 500, "7")
    listed = b'{"results": [{"error": {"status": 422, "reason": "empty"}}]}'
    assert json.loads(with_id(listed, 422, "7")) == {**json.loads(listed), "request_id": "7"}
