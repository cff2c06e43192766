"""Endpoints on this machine, with the real TorchServe. The tests of a module share one and run in order."""

import concurrent.futures
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

import served_toys
from kubetune.errors import ConfigError, InterruptedRunError, NotReadyError, TemporaryError
from kubetune.serving import client
from kubetune.serving.archive.manifest import archive_digest, write_manifest
from kubetune.serving.local import endpoints, processes
from kubetune.serving.local.record import Record, read_record
from kubetune.serving.local.target import LocalTarget
from kubetune.serving.torchserve.config import free_ports
from kubetune.serving.torchserve.server import TorchServeProcess
from kubetune.stages import deploy
from kubetune.storage.local import LocalStore
from served_toys import Quiet

pytestmark = pytest.mark.slow

NAME = "toy"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two good archives, and one whose vocabulary was mixed up after training."""
    folder = tmp_path_factory.mktemp("archives")
    for name, seed in (("first", 0), ("second", 1)):
        (folder / name).mkdir()
        served_toys.toy_archive(folder / name, seed=seed)
    broken = Path(shutil.copytree(folder / "first" / "archive", folder / "broken"))
    tokenizer = json.loads((broken / "tokenizer" / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    for one, other in (("good", "bad"), ("nice", "sad"), ("love", "hate")):
        vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    (broken / "tokenizer" / "tokenizer.json").write_text(json.dumps(tokenizer))
    from kubetune.serving.archive.manifest import _parse

    write_manifest(broken, _parse(broken))
    return {"first": folder / "first" / "archive", "second": folder / "second" / "archive", "broken": broken}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


def put(state: Path, archive: Path, **platform: object) -> dict:
    context = Quiet(state, state_dir=str(state), endpoint=NAME, ready_timeout_s=120, **platform)
    return dict(deploy.run(None, {"archive": archive}, {}, context).facts)


def recorded(state: Path) -> Record:
    record = read_record(state / NAME)
    assert record is not None
    return record


def running(state: Path) -> TorchServeProcess:
    found = recorded(state).server
    assert found is not None
    return found


@pytest.fixture(scope="module")
def served(state: Path, archives: dict[str, Path]):
    """The first archive, deployed, on a port that no endpoint of this machine's user is at."""
    (port,) = free_ports(1)
    yield put(state, archives["first"], port=port)
    endpoints.stop_endpoint(state, NAME)


@contextmanager
def slow_request(url: str) -> Iterator[Callable[[], tuple[int, str]]]:
    """A request whose body waits until it is asked for: what is called sends the rest and returns what came back."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        head = f"POST {parts.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n"
        connection.sendall(head.encode() + b"good")

        def finish() -> tuple[int, str]:
            connection.sendall(b" food")
            response = http.client.HTTPResponse(connection)
            response.begin()
            response.read()
            return response.status, response.headers["x-archive-digest"]

        yield finish


@pytest.fixture
def url(served: dict) -> str:
    return served["url"]


def test_it_is_deployed(served: dict, state: Path, archives: dict[str, Path]) -> None:
    digest = archive_digest(archives["first"])
    assert (served["archive"], served["previous"], served["changed"]) == (digest, None, True)
    (found,) = endpoints.local_endpoints(state)
    assert (found.name, found.state, found.digest, found.url) == (NAME, "serving", digest, served["url"])
    assert os.getsid(served["pid"]) == served["pid"], "it must survive the terminal that started it"


def test_the_same_archive_again_restarts_nothing(served: dict, state: Path, archives: dict[str, Path]) -> None:
    start = time.monotonic()
    again = put(state, archives["first"])
    assert (again["changed"], again["pid"]) == (False, served["pid"])
    assert time.monotonic() - start < 1


def test_json_plain_text_and_batches(url: str, state: Path) -> None:
    single = client.call(url, "POST", {"text": "good food", "top_k": 2})
    assert single.status == 200
    assert single.headers["content-type"] == "application/json"
    assert single.headers["x-archive-digest"] == running(state).digest
    assert [entry["label"] for entry in single.value["predictions"]] == ["positive", "negative"]
    plain = raw(url, b"bad film", "text/plain")
    assert plain[0] == 200
    assert json.loads(plain[1])["predictions"][0]["label"] == "negative"
    batch = client.call(url, "POST", {"inputs": ["good", {"text": "bad"}, 3, "a" * 3000], "all_scores": True})
    assert batch.status == 200
    assert [next(iter(result)) for result in batch.value["results"]] == ["predictions", "predictions", "error", "error"]
    assert [result["error"]["status"] for result in batch.value["results"][2:]] == [400, 413]
    assert len(batch.value["results"][0]["predictions"]) == 2


def test_a_web_page_cannot_ask_under_its_own_name(url: str) -> None:
    """DNS rebinding: the browser connects to loopback, and says the page's name in `Host`."""
    found = {host: raw(url, b"good food", "text/plain", host=host) for host in ("evil.example:8080", "localhost")}
    assert [status for status, _ in found.values()] == [421, 200]
    assert "KUBETUNE_SERVE_HOSTS adds names" in json.loads(found["evil.example:8080"][1])["error"]["reason"]


def test_no_header_breaks_the_batch(url: str) -> None:
    """TorchServe hands the parts of a body and the headers of its request over in one mapping; the front sends none."""
    assert raw(url, b"good food", "text/plain", more={"body": "x"})[0] == 200
    assert raw(url, b"good food", "text/plain")[0] == 200


def raw(
    url: str, body: bytes, kind: str, method: str = "POST", host: str | None = None, more: dict[str, str] | None = None
) -> tuple[int, bytes]:
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.putrequest(method, parts.path, skip_host=host is not None)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **(more or {}),
            **({"Host": host} if host else {}),
        }
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


BAD_REQUESTS = [
    (b"", "application/json", 400),
    (b'{"text": ', "application/json", 400),
    (b"[" * 100_000, "application/json", 400),
    (b'"caf\xe9"', "application/json", 400),
    (b'{"text": null}', "application/json", 400),
    (b'{"text": NaN}', "application/json", 400),
    (b'{"text": "a \\ud800"}', "application/json", 422),
    (b'{"text": "a \\u0000"}', "application/json", 422),
    (b'{"text": ""}', "application/json", 422),
    (json.dumps({"text": "a " * 250_000}).encode(), "application/json", 413),
    (b"a" * 1_200_000, "text/plain", 413),
    (b"<text>a</text>", "application/xml", 415),
]


def test_bad_requests_do_not_disturb_the_good_ones_beside_them(url: str) -> None:
    good = (b'{"text": "good food"}', "application/json", 200)
    requests = [pair for bad in BAD_REQUESTS for pair in (bad, good)] * 2
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda request: raw(url, request[0], request[1]), requests))
    assert [status for status, _ in found] == [status for _, _, status in requests]
    for (status, body), (_, kind, _) in zip(found, requests, strict=True):
        if status == 200:
            assert json.loads(body)["predictions"][0]["label"] == "positive"
        elif kind == "application/json":
            assert json.loads(body)["error"]["status"] == status


def test_it_listens_on_loopback_only_and_takes_no_models(served: dict, state: Path) -> None:
    server = running(state)
    family = [psutil.Process(served["pid"]), *psutil.Process(served["pid"]).children(recursive=True)]
    listening = [
        entry.laddr for member in family for entry in member.net_connections("inet") if entry.status == "LISTEN"
    ]
    assert len(listening) == 4  # predictions, metrics and gRPC; the management API has a socket that its owner opens
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert server.management.startswith("http+unix://")
    assert client.call(f"{server.management}/models?url=https://example.org/x.mar", "POST", {}).status == 405
    assert client.call(f"{server.management}/models/{NAME}", "DELETE").status == 405
    (model,) = client.call(f"{server.management}/models/{NAME}").value
    assert (model["batchSize"], model["maxBatchDelay"], model["maxWorkers"]) == (32, 5, 1)
    assert raw(server.metrics, b"", "text/plain", "GET")[0] == 200


def test_no_request_text_is_in_the_log_and_no_secret_in_the_workers(url: str, served: dict, state: Path) -> None:
    secret = "my card number is 4111"
    for body in (f'{{"text": "{secret}'.encode(), f'"{secret}"'.encode(), secret.encode() + b"\xff"):
        raw(url, body, "application/json")
    assert secret not in running(state).log.read_text()
    inherited = set(os.environ) - {"PATH", "HOME", "LANG", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM"}
    assert not inherited & set(psutil.Process(served["pid"]).environ())


def test_predictions_by_name(served: dict, state: Path) -> None:
    by_name = endpoints.predict_locally(state, NAME, [{"text": "good"}, {"text": "bad"}], top_k=1)
    assert [result["predictions"][0]["label"] for result in by_name] == ["positive", "negative"]
    assert endpoints.predict_locally(state, served["url"], [{"text": "good"}, {"text": "bad"}], top_k=1) == by_name
    with pytest.raises(ConfigError, match="Endpoint 'toi' does not exist on this machine: known are toy"):
        endpoints.predict_locally(state, "toi", [{"text": "good"}])
    with pytest.raises(ConfigError, match="does not exist"):
        endpoints.stop_endpoint(state, "../toy")


def test_an_archive_that_fails_its_vectors_leaves_the_former_one_untouched(
    served: dict, state: Path, archives: dict[str, Path]
) -> None:
    with pytest.raises(NotReadyError) as found:
        put(state, archives["broken"])
    assert found.value.exit_code == 69
    assert "does not reproduce its golden vectors: golden vector" in str(found.value)
    assert f"The former archive {served['archive'][:12]} serves." in str(found.value)
    (still,) = endpoints.local_endpoints(state)
    assert (still.state, still.pid, still.url) == ("serving", served["pid"], served["url"])
    assert (state / NAME / "failed.log").is_file()


def test_two_commands_cannot_change_one_endpoint_at_once(served: dict, state: Path, archives: dict[str, Path]) -> None:
    with LocalTarget(state, NAME).exclusive(), pytest.raises(TemporaryError, match="is being changed"):
        put(state, archives["second"])


def test_an_interrupted_deployment_leaves_no_process_behind(
    served: dict, state: Path, archives: dict[str, Path]
) -> None:
    context = Quiet(state, state_dir=str(state), endpoint=NAME)
    context.stopping = True
    with pytest.raises(InterruptedRunError):
        deploy.run(None, {"archive": archives["second"]}, {}, context)
    assert [path.name for path in (state / NAME).glob("server-*")] == [Path(running(state).folder).name]
    assert endpoints.local_endpoints(state)[0].pid == served["pid"]


def test_a_killed_server_is_seen_and_can_be_brought_back(served: dict, state: Path) -> None:
    os.kill(served["pid"], signal.SIGKILL)
    target = LocalTarget(state, NAME)
    deadline = time.monotonic() + 10
    while not target.observe().problems and time.monotonic() < deadline:
        time.sleep(0.05)
    assert target.observe().problems == ("the server process has ended",)
    assert endpoints.local_endpoints(state)[0].state == "ended"
    with pytest.raises(ConfigError, match="does not run"):
        endpoints.predict_locally(state, NAME, [{"text": "good"}])
    target.rollback(120)
    assert target.observe().problems == ()
    assert recorded(state).url == served["url"]
    assert running(state).digest == served["archive"]


def test_another_archive_takes_over_the_address_without_a_gap(
    served: dict, state: Path, archives: dict[str, Path]
) -> None:
    """Requests all the time, each on a new connection; some send half of their body and the rest a while later."""
    former, front, url = running(state), recorded(state).front, served["url"]
    ended, seen = threading.Event(), []

    def ask() -> None:
        while not ended.wait(0.05):
            reply = client.call(url, "POST", "good")
            seen.append((reply.status, reply.headers.get("x-archive-digest", "")))

    def ask_slowly() -> None:
        while not ended.is_set():
            with slow_request(url) as finish:
                ended.wait(0.7)
                seen.append(finish())

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(each) for each in (ask, ask_slowly, ask_slowly)]
        try:
            facts = put(state, archives["second"])
            time.sleep(1)
        finally:
            ended.set()
        for each in asking:
            each.result()
    assert facts["archive"] == archive_digest(archives["second"])
    assert facts["previous"] == former.digest
    assert facts["url"] == url
    assert recorded(state).front == front
    assert {status for status, _ in seen} == {200}
    digests = [digest for _, digest in seen]
    assert set(digests) == {former.digest, facts["archive"]}
    assert not processes.alive(former.process)
    assert sorted(path.name for path in (state / NAME / "archives").iterdir()) == sorted(
        [former.digest, facts["archive"]]
    )
    assert len(list((state / NAME).glob("server-*"))) == 1


def test_a_move_that_fails_leaves_the_endpoint_where_it_was(
    served: dict, state: Path, archives: dict[str, Path]
) -> None:
    before, (port,) = recorded(state), free_ports(1)
    with pytest.raises(NotReadyError, match=r"The former archive .* serves"):
        put(state, archives["broken"], port=port)
    assert recorded(state) == before
    assert client.call(before.url, "POST", "good").status == 200
    with pytest.raises(OSError, match=r"refused"):
        client.call(f"http://127.0.0.1:{port}/ping")


def test_an_endpoint_can_be_moved_to_another_port(served: dict, state: Path, archives: dict[str, Path]) -> None:
    former = running(state)
    (port,) = free_ports(1)
    facts = put(state, archives["second"], port=port)
    assert facts["changed"]
    assert facts["url"] == f"http://127.0.0.1:{port}/predictions/{NAME}"
    assert not processes.alive(former.process)
    assert not put(state, archives["second"], port=port)["changed"]


def test_stop_leaves_no_process_and_no_folder(served: dict, state: Path) -> None:
    server = running(state)
    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    assert len(family) == 2
    endpoints.stop_endpoint(state, NAME)
    assert not any(processes._runs(member) for member in family)
    assert not Path(server.folder).exists()
    (found,) = endpoints.local_endpoints(state)
    assert (found.state, found.url, found.pid) == ("stopped", "", None)
    endpoints.stop_endpoint(state, NAME)


def test_what_is_left_of_an_ended_endpoint_is_deleted_with_it(archives: dict[str, Path], tmp_path: Path) -> None:
    (port,) = free_ports(1)
    put(tmp_path / "state", archives["first"], port=port)
    left, front = running(tmp_path / "state"), recorded(tmp_path / "state").front
    assert front is not None
    processes.terminate(front.process)
    assert endpoints.local_endpoints(tmp_path / "state")[0].state == "ended"
    LocalStore(tmp_path / "store").put("runs/none", b"")
    done = subprocess.run(
        [sys.executable, "-m", "kubetune", "endpoints", "delete", NAME, "--yes", "--store", str(tmp_path / "store")],
        env={**os.environ, "KUBETUNE_STATE_DIR": str(tmp_path / "state")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not processes.alive(left.process)
    assert not (tmp_path / "state" / NAME).exists()


def test_a_port_in_use_is_refused_before_anything_starts(archives: dict[str, Path], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {port} on 127.0.0.1 is in use"):
            put(tmp_path, archives["first"], port=port)
    assert not list((tmp_path / NAME).glob("server-*"))


def test_no_java_is_a_sentence(archives: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from kubetune.serving.torchserve import server

    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(server, "distribution", absent)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="No Java was found, which TorchServe needs: install a JRE"):
        put(tmp_path, archives["first"])


def test_names_that_torchserve_treats_specially_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="starts with `token`"):
        LocalTarget(tmp_path, "tokenclassifier")
