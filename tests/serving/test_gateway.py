"""The whole gateway with a real TorchServe behind it, one after the other on one process, which ends with its drain."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.http as triton

import chain_toys
from gateways import NAME, Reply, Running, gateway
from kubetune.serving.archive.manifest import archive_digest
from kubetune.serving.gateway.app import PROBES
from kubetune.serving.gateway.keys import new_key
from kubetune.serving.torchserve import config as configuration

pytestmark = pytest.mark.slow
LIMIT = 6


@dataclass
class Live:
    """The gateway and its keys."""

    running: Running
    digest: str
    keys: Path
    alice: str
    bob: str

    def predict(self, text: str = "a good day", **headers: str) -> Reply:
        return self.running.predict(text, **{"x_api_key": self.alice, **headers})

    def send(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Reply:
        return self.running.send(method, path, body, **{"x_api_key": self.alice, **headers})

    def worker(self) -> psutil.Process:
        """The Python process that holds the model."""
        family = psutil.Process(self.running.process.pid).children(recursive=True)
        (found,) = [member for member in family if "model_service_worker" in " ".join(member.cmdline())]
        return found

    def has_worker(self) -> bool:
        """Whether TorchServe has started one again."""
        with contextlib.suppress(ValueError, psutil.NoSuchProcess):
            return self.worker().is_running()
        return False

    def metric(self, name: str, **labels: str) -> float:
        found = 0.0
        for line in self.running.probe("/metrics").body.decode().splitlines():
            if line.startswith(f"kubetune_gateway_{name}{{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
                found = float(line.rpartition(" ")[2])
        return found


@pytest.fixture(scope="module")
def live(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("gateway")
    digest = archive_digest(archive)
    shutil.copytree(archive, folder / "archives" / digest)
    (alice, first), (bob, second) = new_key("alice"), new_key("bob")
    keys = folder / "keys"
    keys.write_text(f"{first}\n{second}\n")
    settings = {"api_keys_file": str(keys), "gateway_max_in_flight": str(LIMIT), "gateway_drain_s": "1"}
    settings["trusted_keys"] = str(chain_toys.vouch(folder / "signing", archive, folder / "archives", "toy"))
    with gateway(folder, digest, **settings) as running:
        running.wait("/healthz", 200)
        early = running.send("GET", "/readyz")
        assert early.status == 503 and early.reason == "the model is loading"
        running.wait("/readyz", 200)
        yield Live(running, digest, keys, alice, bob)


def test_a_prediction_names_its_model(live: Live) -> None:
    for path in (f"/predictions/{NAME}", f"/predictions/{NAME}/1.0"):
        reply = live.send("POST", path, '{"text": "a good day"}', Content_Type="application/json", x_request_id="mine")
        assert reply.status == 200, reply
        assert reply.value["predictions"][0]["label"] in {"positive", "negative"}
        assert reply.headers["x-archive-digest"] == live.digest
        assert reply.headers["x-model-name"] == NAME and reply.headers["x-model-version"] == "1.0"
        assert reply.headers["x-request-id"] == "mine" and reply.headers["content-type"].startswith("application/json")
        assert reply.headers["x-precision"] in {"fp32", "bf16"} and "aiohttp" not in reply.headers["server"]
    plain = live.send("POST", f"/predictions/{NAME}", "a good day", Content_Type="text/plain")
    assert plain.status == 200
    assert live.running.send("GET", "/ping").value == {"status": "Healthy"}


def test_the_worker_is_asked_in_the_open_inference_protocol(live: Live) -> None:
    client = triton.InferenceServerClient(f"127.0.0.1:{live.running.port}")
    given = triton.InferInput("text", [2], "BYTES")
    given.set_data_from_numpy(np.array(["a good day", "a sad film"], dtype=object))
    found = client.infer(NAME, [given], headers={"x-api-key": live.alice}, parameters={"top_k": 2})
    assert found.as_numpy("label").shape == (2, 2) and found.as_numpy("score").sum(axis=1) == pytest.approx([1, 1])
    client.close()


def test_every_path_but_the_probes_asks_for_a_key(live: Live) -> None:
    paths = [
        f"/predictions/{NAME}",
        f"/predictions/{NAME}/1.0",
        "/predictions/other",
        "/",
        "/models",
        "/api-description",
    ]
    for path in [*paths, f"/explanations/{NAME}", "/v2/models", "/metrics/", "/../metrics"]:
        for method in ("GET", "POST"):
            reply = live.running.send(method, path)
            assert (reply.status, reply.headers.get("www-authenticate")) == (401, 'Bearer realm="kubetune"'), path
            error = reply.value["error"]  # the Open Inference Protocol has a sentence alone
            assert "send an API key" in (error if path.startswith("/v2") else error["reason"])
            assert path.startswith("/v2") or error["request_id"] == reply.headers["x-request-id"]
    assert {path: live.running.probe(path).status for path in PROBES} == dict.fromkeys(PROBES, 200)
    assert [live.running.send("GET", f"/v2/health/{state}").status for state in ("live", "ready")] == [200, 200]
    open_to_all = {"/healthz": 200, "/readyz": 200, "/ping": 200, "/metrics": 401}
    assert {path: live.running.send("GET", path).status for path in PROBES} == open_to_all
    for path in ("/", f"/predictions/{NAME}", "/models"):
        assert live.running.probe(path).status == 404, path


REFUSED = [
    ("GET", "/predictions/toy/1.0", None, {}, 405, "use POST"),
    ("PUT", "/predictions/toy", "{}", {}, 405, "use POST"),
    ("DELETE", "/predictions/toy", None, {}, 405, "use POST"),
    ("OPTIONS", "/predictions/toy", None, {}, 405, "use POST"),
    ("POST", "/readyz", None, {}, 405, "use GET"),
    ("POST", "/predictions/other", "{}", {}, 404, "POST /predictions/toy"),
    ("POST", "/predictions/toy/2.0", "{}", {}, 404, "POST /predictions/toy"),
    ("GET", "/models", None, {}, 404, "not served"),
    ("POST", "/explanations/toy", "{}", {}, 404, "explanations are not served"),
    ("POST", "/predictions/toy?a=1", "{}", {}, 400, "takes no query"),
    ("POST", "/predictions/toy", "<a/>", {"Content_Type": "text/xml"}, 415, "application/json or text/plain"),
    ("POST", "/predictions/toy", "{}", {"Content_Encoding": "gzip"}, 415, "without compression"),
    ("POST", "/predictions/toy", b"x" * (1 << 20 | 1), {}, 413, "at most 1048576"),
    ("POST", "/predictions/toy", '{"text":', {}, 400, "not JSON"),
    ("POST", "/predictions/toy", '{"text": "' + "a" * 5000 + '"}', {}, 413, "characters"),
    ("POST", "/predictions/toy", "[" * 100_000, {}, 400, "not JSON"),
    ("POST", "/predictions/toy", "{}", {"x_large": "a" * 20_000}, 431, "too long"),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "status", "reason"), REFUSED)
def test_refusals_have_one_format(method, path, body, headers, status: int, reason: str, live: Live) -> None:
    reply = live.send(method, path, body, **headers)
    assert reply.status == status, reply
    assert set(reply.value["error"]) == {"status", "reason", "request_id"}
    assert reply.value["error"]["status"] == status and reason in reply.reason


def test_a_body_without_a_length_is_bounded_and_what_is_no_http_refused(live: Live) -> None:
    head = f"POST /predictions/toy HTTP/1.1\r\nHost: a\r\nx-api-key: {live.alice}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", live.running.port), timeout=20) as connection:
        connection.sendall(head.encode())
        connection.sendall((b"40000\r\n" + b"x" * 0x40000 + b"\r\n") * 5)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")
    smuggled = head.replace("Transfer-Encoding: chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked")
    for nonsense in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n", smuggled.encode()):
        with socket.create_connection(("127.0.0.1", live.running.port), timeout=20) as connection:
            connection.sendall(nonsense)
            answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.") and b" 400 " in answer and b'"request_id"' in answer


def test_two_ports_are_open_beyond_loopback(live: Live) -> None:
    process = psutil.Process(live.running.process.pid)
    family = [process, *process.children(recursive=True)]
    listening = [
        socket_.laddr
        for member in family
        for socket_ in member.net_connections(kind="all")
        if socket_.status == psutil.CONN_LISTEN
    ]
    loopback = [address for address in listening if address.ip in {"127.0.0.1", "::1", "::ffff:127.0.0.1"}]
    assert len(loopback) >= 4  # TorchServe's own, so that this test sees them
    first = range(configuration.FIRST_PORT, configuration.LAST_PORT + 1)
    assert not [address for address in loopback if address.port in first], "another that starts now would choose it too"
    beyond = {address.port for address in listening if address not in loopback}
    assert beyond == {live.running.port, live.running.probe_port}


def test_metrics_hold_ours_and_torchserves(live: Live) -> None:
    text = live.running.probe("/metrics").body.decode()
    assert f'archive="{live.digest}"' in text and "ts_inference_requests_total{" in text
    assert live.metric("requests_total", status="200") >= 3 and live.metric("requests_total", status="405") >= 3
    assert 0 <= live.metric("golden_check_age_seconds") < 300
    assert live.metric("ready") == 1 and live.metric("in_flight") == 0 and live.metric("keys") == 2
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_a_key_is_revoked_by_removing_its_line(live: Live) -> None:
    assert live.predict(x_api_key=live.bob).status == 200
    replacement = live.keys.with_suffix(".new")
    replacement.write_text(live.keys.read_text().splitlines()[0])
    replacement.replace(live.keys)
    deadline = time.monotonic() + 10
    while live.predict(x_api_key=live.bob).status == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    refused = live.predict(x_api_key=live.bob)
    assert refused.status == 401 and "revoked" in refused.reason
    assert live.predict().status == 200


def test_the_bound_on_requests_in_flight(live: Live) -> None:
    worker = live.worker()
    worker.suspend()
    with ThreadPoolExecutor(LIMIT) as pool:
        waiting = [pool.submit(live.predict, f"the film {number}") for number in range(LIMIT)]
        wait_for(lambda: live.metric("in_flight") == LIMIT)
        refused = live.predict()
        worker.resume()
        assert [future.result().status for future in waiting] == [200] * LIMIT
    assert refused.status == 503 and refused.headers["retry-after"] == "1" and "6 requests" in refused.reason


def test_a_worker_that_dies_costs_no_request(live: Live) -> None:
    worker = live.worker()
    worker.suspend()
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(live.predict, f"a sad {word}") for word in ("film", "day")]
        wait_for(lambda: live.metric("in_flight") == 2)
        time.sleep(0.5)  # the batch goes out to the worker, which does not read it
        worker.kill()
        live.running.wait("/readyz", 503)
        assert live.running.send("GET", "/healthz").status == 200  # no reason to restart the container
        assert [future.result().status for future in waiting] == [200, 200]
    live.running.wait("/readyz", 200)
    # The second request may have waited in TorchServe's queue, where it survives.
    assert live.metric("worker_restarts_total") == 1 and live.metric("retries_total") in {1, 2}
    assert live.metric("golden_check_age_seconds") < 60


def test_a_worker_that_dies_while_it_loads_is_counted_too(live: Live) -> None:
    before = live.metric("worker_restarts_total")
    for number in (1, 2, 3):
        live.worker().kill()
        wait_for(lambda number=number: live.metric("worker_restarts_total") == before + number)
        wait_for(live.has_worker)
    refused = live.predict()
    assert (refused.status, refused.headers.get("retry-after")) == (503, "2"), refused
    assert "no worker of the model is ready" in refused.reason
    live.running.wait("/readyz", 200)
    assert live.metric("worker_restarts_total") == before + 3


def test_sigterm_drains_and_leaves_no_process(live: Live) -> None:
    family = psutil.Process(live.running.process.pid).children(recursive=True)
    worker = live.worker()
    worker.suspend()
    answers: list[Reply] = []
    thread = threading.Thread(target=lambda: answers.append(live.predict("the last one")))
    thread.start()
    wait_for(lambda: live.metric("in_flight") == 1)
    live.running.process.send_signal(signal.SIGTERM)
    refused = live.running.wait("/readyz", 503)
    assert refused.reason == "the pod is about to end" and refused.headers["connection"] == "close"
    assert live.running.send("GET", "/healthz").status == 200
    wait_for(lambda: is_refused(live.running))  # none came for a while: now nothing new is taken
    assert live.running.process.poll() is None
    worker.resume()
    thread.join(30)
    assert [answer.status for answer in answers] == [200]
    assert live.running.process.wait(30) == 0
    assert not [member for member in family if member.is_running() and member.status() != psutil.STATUS_ZOMBIE]


def test_before_the_first_deploy_it_is_ready_and_says_how_to_deploy(tmp_path: Path) -> None:
    with gateway(tmp_path, gateway_drain_s="0") as running:
        assert running.wait("/readyz", 200).value == {"status": "ready", "archive": None}
        assert running.send("GET", "/healthz").status == 200
        reply = running.predict()
        assert reply.status == 503 and "serves no model yet: run a recipe" in reply.reason
        assert "x-archive-digest" not in reply.headers
        assert running.send("GET", "/ping").status == 503
        assert 'requests_total{archive="",model="toy",status="503",version="1.0"} 1' in (
            running.probe("/metrics").body.decode()
        )
        assert running.end() == 0


def only_java(pid: int) -> psutil.Process:
    """Wait for the server below a gateway, which is alive before it has started one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            found = [member for member in psutil.Process(pid).children(recursive=True) if member.name() == "java"]
            if found:
                return found[0]
        time.sleep(0.1)
    raise AssertionError("no java was started")


def test_a_torchserve_that_dies_ends_the_container_with_its_reason(archive: Path, tmp_path: Path) -> None:
    digest = archive_digest(archive)
    shutil.copytree(archive, tmp_path / "archives" / digest)
    with gateway(tmp_path, digest) as running:
        running.wait("/healthz", 200)
        java = only_java(running.process.pid)
        family = psutil.Process(running.process.pid).children(recursive=True)
        java.kill()
        assert running.process.wait(30) == 69
        wait_for(lambda: not [member for member in family if member.is_running() and member.status() != "zombie"])
    assert "TorchServe for toy ended while starting" in (tmp_path / "termination").read_text()


@pytest.mark.parametrize(
    ("endpoint", "digest", "sentence"),
    [
        ("tokenizer", "", "not starting with `token`"),
        ("Toy", "", "lower-case letters"),
        (NAME, "abc", "which is no SHA-256"),
        (NAME, "0" * 64, "is no archive"),
    ],
)
def test_what_cannot_be_served_is_78(endpoint: str, digest: str, sentence: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kubetune", "gateway", "--endpoint", endpoint, "--archives", str(tmp_path)]
    variables = {"KUBETUNE_ARCHIVE": digest, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*command, "--port", "0"], env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 78 and sentence in done.stderr.splitlines()[-1], done.stderr


def is_refused(running: Running) -> bool:
    try:
        running.send("GET", "/readyz")
    except ConnectionRefusedError:
        return True
    return False


def wait_for(condition, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_command_for_keys(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kubetune", "endpoint-key", "new", "alice", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    value = json.loads(done.stdout)
    assert value["line"].startswith("alice:") and value["key"] not in value["line"]
