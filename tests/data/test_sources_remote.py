"""Files from an S3 server, the web and the store's uploads."""

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from data.reading import files_of, read
from kubetune.data.sources import identify
from kubetune.errors import ConfigError, CorruptArtifactError, DataError, KubetuneError, TemporaryError
from kubetune.storage.open import open_store
from kubetune.storage.uploads import fetch_upload, put_upload
from s3_server import S3Server, make_bucket, running_moto

CSV = b"text,label\na,b\n"
ROWS = {"all": [{"text": "a", "label": "b"}]}


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off between tries is urllib3's own."""
    real = time.sleep
    monkeypatch.setattr("time.sleep", lambda seconds: real(min(seconds, 0.01)))


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with running_moto() as address:
        yield make_bucket(S3Server(address, "moto", "moto-secret", "kubetune-data", real=False))


@pytest.fixture
def client(server: S3Server) -> Any:
    from minio import Minio

    return Minio(server.address, access_key="moto", secret_key="moto-secret", secure=False, region="us-east-1")


def put(client: Any, key: str, data: bytes, bucket: str = "kubetune-data") -> str:
    import io

    client.put_object(bucket, key, io.BytesIO(data), len(data))
    return f"s3://{bucket}/{key}"


def test_an_object_is_read_and_its_content_is_its_identity(server: S3Server, client: Any, tmp_path: Path) -> None:
    address = put(client, "folder/rows.csv.gz", gzip.compress(CSV, mtime=0))
    s3 = server.settings()
    rows, facts = read(files_of(address), tmp_path, s3=s3)
    assert rows == ROWS
    assert facts.files[0].name == "rows.csv.gz"
    first = identify(files_of(address), {"s3": s3})
    assert first == facts.identity
    put(client, "folder/rows.csv.gz", gzip.compress(CSV, mtime=0))
    assert identify(files_of(address), {"s3": s3}) == first
    put(client, "folder/rows.csv.gz", gzip.compress(CSV + b"c,d\n", mtime=0))
    assert identify(files_of(address), {"s3": s3}) != first


def test_a_versioned_object_is_named_by_its_version(server: S3Server, client: Any) -> None:
    from minio.commonconfig import ENABLED
    from minio.versioningconfig import VersioningConfig

    client.make_bucket("versioned")
    client.set_bucket_versioning("versioned", VersioningConfig(ENABLED))
    address = put(client, "rows.csv", CSV, "versioned")
    first = identify(files_of(address), {"s3": server.settings()})
    put(client, "rows.csv", CSV, "versioned")
    assert identify(files_of(address), {"s3": server.settings()}) != first


@pytest.mark.parametrize(
    ("address", "error", "sentence"),
    [
        ("s3://kubetune-data/none.csv", DataError, "s3://kubetune-data/none.csv does not exist"),
        ("s3://no-such-bucket/none.csv", DataError, "does not exist"),
        ("s3://kubetune-data", ConfigError, "names no object"),
        ("s3://kubetune-data/folder/", ConfigError, "names no object"),
    ],
)
def test_an_object_that_is_not_there(server: S3Server, address: str, error: type[KubetuneError], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        identify(files_of(address), {"s3": server.settings()})


def test_s3_needs_settings_and_a_server_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = files_of("s3://bucket/rows.csv")
    with pytest.raises(ConfigError, match="KUBETUNE_S3_ENDPOINT"):
        identify(source, {"s3": None})
    away = S3Server("127.0.0.1:9", "key", "never-shown", "bucket", real=False).settings()
    with pytest.raises(TemporaryError, match="could not be had from the S3 server") as caught:
        identify(source, {"s3": away})
    assert "never-shown" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [(403, ConfigError, "may not be read"), (500, TemporaryError, "run the same command again")],
)
def test_an_s3_server_that_refuses(status: int, error: type[KubetuneError], sentence: str) -> None:
    with web({"/bucket/rows.csv": (status, b"", {})}) as host:
        s3 = S3Server(host, "key", "secret", "bucket", real=False).settings()
        with pytest.raises(error, match=sentence):
            identify(files_of("s3://bucket/rows.csv"), {"s3": s3})


@contextmanager
def web(pages: dict[str, tuple[int, bytes, dict[str, str]]], asked: list[str] | None = None) -> Iterator[str]:
    """Serve pages (status, body, headers) on a free port; yields `host:port`. Absolute paths are a proxy's."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if asked is not None:
                asked.append(self.path)
            path = self.path.partition("://")[2].partition("/")[2] if "://" in self.path else self.path[1:]
            status, body, headers = pages.get("/" + path.partition("?")[0], (404, b"", {}))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)
            self.close_connection = True

        do_HEAD = do_GET

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def test_a_web_address_has_no_identity_and_is_read(tmp_path: Path) -> None:
    packed = gzip.compress(CSV)
    pages = {
        "/a/rows.csv": (200, CSV, {}),
        "/a/rows.csv.gz": (200, packed, {}),
        "/coded/rows.csv": (200, packed, {"Content-Encoding": "gzip"}),
        "/coded/rows.csv.gz": (200, packed, {"Content-Encoding": "gzip"}),
        "/moved/rows.csv": (302, b"", {"Location": "/a/rows.csv"}),
    }
    with web(pages) as host:
        for path in pages:
            source = files_of(f"http://{host}{path}?edition=unsaid")
            assert identify(source, {}) is None
            rows, facts = read(source, tmp_path)
            assert rows == ROWS
            assert facts.identity is None
            assert facts.files[0].name == path.rpartition("/")[2]


@pytest.mark.parametrize(
    ("page", "error", "sentence"),
    [
        ((404, b"", {}), DataError, r"rows\.csv does not exist \(HTTP 404\)"),
        ((403, b"", {}), ConfigError, "answered HTTP 403"),
        ((200, CSV, {"Content-Length": "1000"}), TemporaryError, "was not delivered whole"),
        ((503, b"", {}), TemporaryError, "run the same command again"),
    ],
)
def test_a_web_server_that_does_not_deliver(
    tmp_path: Path, page: tuple[int, bytes, dict[str, str]], error: type[KubetuneError], sentence: str
) -> None:
    with web({"/rows.csv": page}) as host, pytest.raises(error, match=sentence) as caught:
        read(files_of(f"http://{host}/rows.csv?edition=unsaid"), tmp_path)
    assert "unsaid" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "platform", "sentence"),
    [
        ("https://127.0.0.1/", {}, "names no file"),
        ("https://127.0.0.1/rows.csv", {"offline": True}, "settings say offline"),
    ],
)
def test_an_address_that_is_not_tried(tmp_path: Path, address: str, platform: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read(files_of(address), tmp_path, **platform)


def test_a_proxy_is_used_but_not_for_loopback_nor_for_excepted_hosts(tmp_path: Path) -> None:
    asked: list[str] = []
    pages = {"/rows.csv": (200, CSV, {})}
    with web(pages, asked) as proxy, web(pages) as host:
        proxies = {"http": f"http://{proxy}"}
        outside = files_of("http://data.invalid/rows.csv")
        assert read(outside, tmp_path, proxies=proxies)[0] == ROWS
        assert asked == ["http://data.invalid/rows.csv"]
        assert read(files_of(f"http://{host}/rows.csv"), tmp_path, proxies=proxies)[0] == ROWS
        with pytest.raises(TemporaryError):
            read(outside, tmp_path, proxies=proxies, no_proxy="data.invalid")
        assert len(asked) == 1


def test_an_upload_is_its_own_identity(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    (tmp_path / "rows.csv").write_bytes(CSV)
    address = put_upload(store, tmp_path / "rows.csv")
    platform = {"resolve_upload": partial(fetch_upload, store)}
    source = files_of(address)
    assert read(source, tmp_path, **platform)[0] == ROWS
    assert identify(source, {}) == identify(source, platform)
    (stored,) = [path for path in (tmp_path / "store" / "uploads").rglob("*") if path.is_file()]
    stored.chmod(0o600)
    stored.write_bytes(CSV.replace(b"a", b"x"))
    with pytest.raises(CorruptArtifactError):
        read(source, tmp_path, **platform)
    with pytest.raises(ConfigError, match="Nothing was uploaded"):
        read(files_of(f"upload:{'0' * 64}/rows.csv"), tmp_path, **platform)
    with pytest.raises(ConfigError, match="none is open"):
        read(source, tmp_path)


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(CSV)
    marks = iter([(1, 1), (1, 2)])
    monkeypatch.setattr("kubetune.data.sources.tables._mark", lambda _: next(marks))
    with pytest.raises(TemporaryError, match=r"rows\.csv was changed while it was read"):
        read(files_of(path), tmp_path)


def test_a_private_authority_is_needed_for_a_private_certificate(tmp_path: Path) -> None:
    import ssl

    certificate, key = private_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), page_of(CSV))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # the refused handshake
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        source = files_of(f"https://127.0.0.1:{server.server_port}/rows.csv")
        with pytest.raises(ConfigError, match="set KUBETUNE_CA_BUNDLE"):
            read(source, tmp_path)
        assert read(source, tmp_path, ca_bundle=str(certificate))[0] == ROWS
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def page_of(body: bytes) -> type[BaseHTTPRequestHandler]:
    class Page(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Page


def private_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private
