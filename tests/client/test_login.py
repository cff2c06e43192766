"""`kubetune login` and the file it writes, and `predict` against a cluster's endpoint."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_server import Done, FakeAirflow
from kubetune.client.endpoint import url_of
from kubetune.client.http import Way, request
from kubetune.config.settings import load_settings, user_file
from kubetune.config.version import tag
from kubetune.errors import ConfigError
from loopback import QuietHandler, serving
from s3_server import S3Server, make_bucket, running_moto

Kubetune = Callable[..., Done]


@pytest.fixture
def own_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return user_file()


@contextmanager
def answering(answer: Callable[[str, dict[str, str], Any], tuple[int, Any]]) -> Iterator[tuple[str, list[Any]]]:
    """An HTTP server; yields its address and what it was asked."""
    asked: list[Any] = []

    class Handler(QuietHandler):
        def answer(self) -> None:
            body = json.loads(self.body() or b"null")
            asked.append((self.path, dict(self.headers), body))
            status, value = answer(self.path, dict(self.headers), body)
            self.send(
                status, json.dumps(value).encode(), **({"Location": "http://127.0.0.1:1/"} if status == 302 else {})
            )

    with serving(Handler) as url:
        yield url, asked


def test_one_block_opens_the_cluster_and_is_its_owners_alone(
    airflow: FakeAirflow, kubetune: Kubetune, own_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = os.environ["KUBETUNE_AIRFLOW_URL"]
    for name in ("URL", "USER", "PASSWORD"):
        monkeypatch.delenv(f"KUBETUNE_AIRFLOW_{name}")
    with running_moto() as address:
        make_bucket(S3Server(address, "moto", "moto-secret", "kubetune", real=False))
        done = kubetune(
            "login", "--airflow-url", url, "--airflow-user", "admin", "--airflow-password", "pass", "--store",
            "s3://kubetune", "--s3-endpoint", f"http://{address}", "--s3-access-key", "moto", "--s3-secret-key",
            "moto-secret",
        )  # fmt: skip
    assert done.code == 0, done.err
    assert "admin may enter" in done.out and "s3://kubetune: readable" in done.out
    assert "pass\n" not in done.out and "moto-secret" not in done.out
    assert stat.S_IMODE(own_file.stat().st_mode) == 0o600
    airflow.begin("toy-1", state="success")
    assert kubetune("follow", "toy-1").code == 0
    changed = kubetune("login", "--store", "kubetune-store")
    assert changed.code == 0, changed.err
    assert load_settings().airflow_user == "admin" and load_settings().store == "kubetune-store"


def test_a_door_that_does_not_open_leaves_the_former_block(
    airflow: FakeAirflow, kubetune: Kubetune, own_file: Path
) -> None:
    assert kubetune("login").code == 0
    former = own_file.read_text()
    done = kubetune("login", "--airflow-password", "wrong")
    assert done.code == 78 and "refuses user 'admin'" in done.last
    done = kubetune("login", "--endpoint-url", "http://127.0.0.1:9")
    assert done.code == 75 and "Nothing answers at http://127.0.0.1:9/healthz" in done.last
    done = kubetune("login", "--store", "s3://kubetune")
    assert done.code == 78 and "s3_endpoint" in done.last
    assert own_file.read_text() == former


def test_variables_come_before_the_file(own_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_file.parent.mkdir(parents=True)
    own_file.write_text("store: s3://theirs\nairflow_user: ann\n")
    own_file.chmod(0o600)
    monkeypatch.setenv("KUBETUNE_STORE", "mine")
    settings = load_settings()
    assert (settings.store, settings.airflow_user) == ("mine", "ann")


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        ("store: x\n", 0o644, "chmod 600"),
        ("stroe: x\n", 0o600, "names stroe"),
        ("- x\n", 0o600, "no map"),
        ("{", 0o600, "cannot be read"),
        ("port: many\n", 0o600, "KUBETUNE_PORT"),
    ],
)
def test_a_bad_file_is_refused(own_file: Path, text: str, mode: int, sentence: str) -> None:
    own_file.parent.mkdir(parents=True)
    own_file.write_text(text)
    own_file.chmod(mode)
    with pytest.raises(ConfigError, match=sentence):
        load_settings()


def cluster(monkeypatch: pytest.MonkeyPatch, url: str, key: str = "") -> None:
    values = {"STORE": "s3://kubetune", "ENDPOINT_URL": url, **({"API_KEY": key} if key else {})}
    for name, value in values.items():
        monkeypatch.setenv(f"KUBETUNE_{name}", value)


def test_predict_asks_the_clusters_endpoint_with_the_key(kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_path: str, _headers: dict[str, str], body: Any) -> tuple[int, Any]:
        return 200, {"results": [{"predictions": [{"label": "good", "score": 0.9}]} for _ in body["inputs"]]}

    with answering(answer) as (url, asked):
        cluster(monkeypatch, url, "open-sesame")
        done = kubetune("predict", "one", "two", "--endpoint", "tweets")
    assert done.code == 0, done.err
    assert done.out.count("good") == 2
    ((path, headers, _),) = asked
    assert (path, headers["Authorization"]) == ("/predictions/tweets", "Bearer open-sesame")


@pytest.mark.parametrize(
    ("status", "value", "code", "sentence"),
    [
        (503, {"error": {"status": 503, "reason": "nothing is deployed to tweets yet: `kubetune submit`"}}, 75, "yet"),
        (401, {"error": {"status": 401, "reason": "this key is not known"}}, 78, "KUBETUNE_API_KEY"),
        (404, {"code": 404, "type": "ModelNotFoundException", "message": "Model not found: tweets"}, 78, "not found"),
        (302, {}, 78, "redirects"),
    ],
)
def test_an_endpoint_that_refuses_is_one_sentence(
    kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch, status: int, value: Any, code: int, sentence: str
) -> None:
    with answering(lambda *_: (status, value)) as (url, _):
        cluster(monkeypatch, url)
        done = kubetune("predict", "one", "--endpoint", "tweets")
    assert done.code == code and sentence in done.last, done.err


def test_predict_needs_a_name_and_an_endpoint_that_runs(kubetune: Kubetune, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch, "http://127.0.0.1:9")
    done = kubetune("predict", "one")
    assert done.code == 78 and "--endpoint" in done.last
    done = kubetune("predict", "one", "--endpoint", "tweets")
    assert done.code == 75 and "Nothing answers at http://127.0.0.1:9/predictions/tweets" in done.last


def test_addresses_of_endpoints() -> None:
    assert url_of("https://models.example", "a") == "https://models.example/predictions/a"
    assert url_of("http://f-serve-{endpoint}:8080/", "a") == "http://f-serve-a:8080/predictions/a"
    assert url_of("https://x.example/{endpoint}/predictions/{endpoint}", "a") == "https://x.example/a/predictions/a"
    with pytest.raises(ConfigError, match="no address"):
        url_of("models.example", "a")


def test_a_proxy_is_used_but_for_loopback_and_exceptions() -> None:
    with answering(lambda *_: (200, {"by": "proxy"})) as (proxy, asked):
        reply = request(Way(proxy=proxy), "GET", "http://models.example/x")
        assert reply.value == {"by": "proxy"} and asked[0][0] == "http://models.example/x"
        with pytest.raises(OSError):
            request(Way(proxy=proxy), "GET", "http://127.0.0.1:9/", timeout_s=2)
        with pytest.raises(OSError):
            request(Way(proxy=proxy, no_proxy=".invalid"), "GET", "http://models.invalid/", timeout_s=2)
    assert len(asked) == 1


def test_a_private_authority_is_needed_and_honoured(tmp_path: Path) -> None:
    import ssl
    import subprocess

    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    class Handler(QuietHandler):
        def answer(self) -> None:
            self.send(200, b"{}")

    with serving(Handler, context) as url:
        with pytest.raises(ConfigError, match="KUBETUNE_CA_BUNDLE"):
            request(Way(), "GET", url)
        assert request(Way(ca_bundle=tmp_path / "cert.pem"), "GET", url).status == 200
        with pytest.raises(ConfigError, match="no PEM file"):
            request(Way(ca_bundle=tmp_path / "nothing.pem"), "GET", url)


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        (["kubetune", "kubetune-9.9.9"], "the cluster's is 9.9.9"),
        (["kubetune"], "the cluster's is older"),
        (["kubetune", tag()], None),
    ],
)
def test_another_version_in_the_cluster_is_said(
    airflow: FakeAirflow, kubetune: Kubetune, own_file: Path, recipe: Path, tags: list[str], sentence: str | None
) -> None:
    airflow.tags = tags
    done = kubetune("login")
    assert done.code == 0, done.err
    assert (sentence or "This kubetune is") in done.out or sentence is None
    assert ("This kubetune is" in done.out) == (sentence is not None)
    done = kubetune("submit", str(recipe))
    assert done.code == 0, done.err
    assert (sentence is None and "This kubetune is" not in done.err) or (sentence or "?") in done.err


def test_a_cluster_without_the_dag_is_no_other_version(
    airflow: FakeAirflow, kubetune: Kubetune, own_file: Path
) -> None:
    airflow.has_dag = False
    done = kubetune("login")
    assert done.code == 0 and "no DAG yet" in done.out and "This kubetune is" not in done.out
