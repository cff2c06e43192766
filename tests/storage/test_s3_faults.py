"""What networks and servers do to an S3 store, and what a stage makes of it."""

import random
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

import storage_contract as contract
from fault_proxy import Proxy
from kubetune.errors import ConfigError, ConflictingCommitError, KubetuneError, StoreUnavailableError
from kubetune.layout import PROBE, blob
from kubetune.storage.base import S3Settings, Store
from kubetune.storage.blobs import describe, fetch_blob, fetch_tree, put_blob, put_tree
from kubetune.storage.commits import create_commit, index, lookup, read_commit
from kubetune.storage.open import open_store
from kubetune.storage.records import pause
from kubetune.storage.s3_http import Backoff
from s3_server import S3Server, make_bucket, running_moto

pytestmark = pytest.mark.slow

Opener = Callable[..., Store]


def test_reply_lost_after_the_commit_is_success(through: Opener, proxy: Proxy) -> None:
    store = through()
    record = contract.a_commit()
    proxy.add("swallow", "COMMIT.json")
    assert create_commit(store, record) == record
    assert sum(line.startswith("PUT") and "COMMIT.json" in line for line in proxy.seen) == 2
    assert read_commit(store, record.run, record.stage) == record


def test_reply_lost_and_another_result_stands_is_a_conflict(through: Opener, proxy: Proxy) -> None:
    store = through()
    first = create_commit(store, contract.a_commit(metrics={"accuracy": 0.1}))
    proxy.add("swallow", "COMMIT.json")
    with pytest.raises(ConflictingCommitError):
        create_commit(store, contract.a_commit(metrics={"accuracy": 0.2}))
    assert read_commit(store, first.run, first.stage) == first


def test_reply_lost_after_a_swap_is_success(through: Opener, proxy: Proxy) -> None:
    store = through()
    first = store.swap("key", b"first", None)
    proxy.add("swallow", "key")
    second = store.swap("key", b"second", first)
    found = store.get("key")
    assert found is not None and (found.data, found.etag) == (b"second", second)


def test_create_that_lost_to_another_after_a_fault_is_no_success(through: Opener, proxy: Proxy) -> None:
    store = through()
    assert store.create("key", b"other") is True
    proxy.add("status", "key", times=2)
    assert store.create("key", b"ours") is False


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_bursts_are_waited_out_inside_the_deadline(through: Opener, proxy: Proxy, status: int) -> None:
    store = through()
    proxy.add("status", times=3, status=status)
    started = time.monotonic()
    assert store.create("key", b"content") is True
    assert len(proxy.seen) == 4
    assert 0.3 < time.monotonic() - started < 3


def test_bursts_hit_every_kind_of_request(through: Opener, proxy: Proxy, tmp_path: Path) -> None:
    store = through()
    large = tmp_path / "large"
    large.write_bytes(b"0123456789abcdef" * (11 << 16))
    for line in ["PUT", "GET", "HEAD", "DELETE", "POST", "uploads", "partNumber=2", "list-type"]:
        proxy.add("status", line)
    store.put("a/large", large)
    assert b"".join(store.read("a/large")) == large.read_bytes()
    assert [stat.key for stat in store.list("a/")] == ["a/large"]
    assert store.stat("a/large") is not None
    assert store.delete("a/large") is True
    assert all(fault.times == 0 for fault in proxy.faults)


def test_resets_and_latency_are_survived(through: Opener, proxy: Proxy) -> None:
    store = through()
    proxy.add("reset", times=2)
    assert store.create("key", b"content") is True
    proxy.add("delay", seconds=0.5)
    assert store.stat("key") is not None


def test_a_store_that_stays_away_ends_with_75(through: Opener, proxy: Proxy) -> None:
    store = through(deadline=0.4)
    proxy.add("status", times=10**6)
    for call in (
        lambda: store.create("key", b""),
        lambda: store.get("key"),
        lambda: store.stat("key"),
        lambda: store.put("key", b""),
        lambda: next(store.read("key")),
        lambda: list(store.list("a/")),
    ):
        started = time.monotonic()
        with pytest.raises(
            StoreUnavailableError, match=r"did not answer inside 0.4 s .*run the same command again"
        ) as caught:
            call()
        assert caught.value.exit_code == 75
        assert time.monotonic() - started < 2


def test_a_server_that_hangs_ends_with_75(through: Opener, proxy: Proxy) -> None:
    store = through(deadline=0.5, read_timeout=0.4)
    proxy.add("hang", times=10**6)
    with pytest.raises(StoreUnavailableError, match="ReadTimeoutError"):
        store.create("key", b"")


def test_nobody_listens_ends_with_75(moto_server: S3Server) -> None:
    store = moto_server.open("http://127.0.0.1:1", deadline=0.5)
    with pytest.raises(StoreUnavailableError, match="NewConnectionError"):
        store.get("key")


def test_a_connection_cut_again_and_again_ends_with_75(through: Opener, proxy: Proxy, tmp_path: Path) -> None:
    store = through(deadline=1.0)
    digest = put_blob(store, bytes(1000))
    proxy.add("cut", f"GET /{store.url.split('/')[2]}", times=10**6, after=0)
    with pytest.raises(StoreUnavailableError) as caught:
        fetch_blob(store, digest, tmp_path / "file")
    assert caught.value.exit_code == 75
    assert not (tmp_path / "file").exists()


def test_a_cut_download_goes_on_where_it_stopped(through: Opener, proxy: Proxy, tmp_path: Path) -> None:
    store = through()
    content = bytes(range(256)) * 20_000
    digest = put_blob(store, content)
    proxy.add("cut", "GET", times=3, after=1_600_000)
    fetch_blob(store, digest, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == content
    assert sum(line.startswith("GET") for line in proxy.seen) == 4


def test_a_cut_record_is_read_again(through: Opener, proxy: Proxy) -> None:
    store = through()
    record = create_commit(store, contract.a_commit())
    proxy.add("cut", "GET", times=2, after=10)
    assert read_commit(store, record.run, record.stage) == record


def test_a_bit_flipped_on_the_way_out_is_read_again(through: Opener, proxy: Proxy, tmp_path: Path) -> None:
    store = through()
    digest = put_blob(store, bytes(5000))
    record = create_commit(store, contract.a_commit())
    proxy.add("flip", "GET", times=1)
    fetch_blob(store, digest, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == bytes(5000)
    proxy.add("flip", "COMMIT.json", times=1)
    assert read_commit(store, record.run, record.stage) == record


def test_a_bit_flipped_on_the_way_in_is_sent_again(proxy: Proxy, server: S3Server, tmp_path: Path) -> None:
    if not server.real:
        pytest.skip("moto does not check Content-MD5; the real server does")
    store = server.open(proxy.url)
    for create in (lambda: store.create("runs/x", b"some record"), lambda: store.put("runs/x", b"some record")):
        proxy.add("flip_request", "runs/x")
        create()
        found = store.get("runs/x")
        assert found is not None and found.data == b"some record"


def test_a_lost_reply_to_the_last_part_is_success(through: Opener, proxy: Proxy, tmp_path: Path) -> None:
    store = through()
    large = tmp_path / "large"
    large.write_bytes(b"0123456789abcdef" * (11 << 16))
    digest = describe(large, "").sha256
    proxy.add("swallow", f"POST /{store.url.removeprefix('s3://')}/{blob(digest)}?uploadId")
    assert put_blob(store, large) == digest
    assert all(fault.times == 0 for fault in proxy.faults)
    fetch_blob(store, digest, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == large.read_bytes()


def test_a_folder_survives_a_bad_network(through: Opener, proxy: Proxy, tmp_path: Path) -> None:
    store, folder = through(), tmp_path / "out"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}").write_bytes(b"%d" % number * 1000)
    for _ in range(4):
        for kind in ("status", "reset", "swallow", "status"):
            proxy.add(kind)
    files = put_tree(store, folder)
    proxy.add("cut", times=6, after=100)
    fetch_tree(store, files, tmp_path / "in")
    assert {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_wrong_credentials_end_with_78(server: S3Server, proxy: Proxy) -> None:
    if server.real:
        for wrong in (replace(server.settings(), secret_key="wrong"), replace(server.settings(), access_key="nobody")):
            with pytest.raises(ConfigError, match="refuses our credentials") as caught:
                open_store(f"s3://{server.bucket}", wrong)
            assert caught.value.exit_code == 78
            assert "wrong" not in str(caught.value)
    store = server.open(proxy.url)
    for code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "AccessDenied"):
        for call in (lambda: store.create("key", b""), lambda: store.get("key"), lambda: store.put("key", b"")):
            proxy.add("status", status=403, code=code)
            with pytest.raises(ConfigError, match=f"refuses our credentials.*{code}"):
                call()
    proxy.add("status", "HEAD", status=403)
    with pytest.raises(ConfigError, match="refuses our credentials"):
        store.stat("key")
    assert len(proxy.seen) == 13, "a refusal is final and not tried again"


@pytest.mark.parametrize(
    ("status", "code", "error", "sentence"),
    [
        (404, "NoSuchBucket", ConfigError, "create the bucket"),
        (403, "RequestTimeTooSkewed", ConfigError, "clock is wrong"),
        (400, "AuthorizationHeaderMalformed", ConfigError, "KUBETUNE_S3_REGION"),
        (507, "XMinioStorageFull", StoreUnavailableError, "is full.*kubetune gc"),
        (418, "Teapot", KubetuneError, "answered Teapot"),
    ],
)
def test_other_refusals_say_what_to_do(
    through: Opener, proxy: Proxy, status: int, code: str, error: type[KubetuneError], sentence: str
) -> None:
    store = through()
    for call in (lambda: store.create("key", b""), lambda: store.get("key"), lambda: store.put("key", b"")):
        proxy.add("status", status=status, code=code)
        with pytest.raises(error, match=sentence) as caught:
            call()
        assert type(caught.value) is error


def test_a_missing_bucket_ends_with_78(server: S3Server) -> None:
    with pytest.raises(ConfigError, match="create the bucket"):
        open_store("s3://no-such-bucket-here", server.settings())


def test_a_store_that_ignores_conditions_ends_with_78() -> None:
    with running_moto(ignore_conditions=True) as address:
        blind = make_bucket(S3Server(address, "moto", "moto-secret", "blind", real=False))
        with pytest.raises(ConfigError, match="ignores conditional writes") as caught:
            open_store("s3://blind/prefix", blind.settings())
    assert caught.value.exit_code == 78


def test_the_probe_passes_again_and_again(server: S3Server, proxy: Proxy) -> None:
    for _ in range(3):
        store = open_store(f"s3://{server.bucket}/probed", server.settings(proxy.url))
    found = store.get(PROBE)
    assert found is not None and found.data == b"conditional writes\n"


def test_the_condition_is_a_header_and_the_signature_is_short(through: Opener, proxy: Proxy) -> None:
    through().create("key", b"content")
    assert "X-Amz-Expires=60" in proxy.seen[0]


def test_killed_while_uploading_is_invisible(server: S3Server, proxy: Proxy, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"0123456789abcdef" * (11 << 16))
    store = server.open(prefix="killed")
    code = (
        "import sys, pathlib\n"
        "from kubetune.storage.base import S3Settings\n"
        "from kubetune.storage.open import open_store\n"
        "from kubetune.storage.blobs import put_blob\n"
        "endpoint, key, secret, url, path = sys.argv[1:]\n"
        "settings = S3Settings(endpoint, key, secret, part_size=5 << 20)\n"
        "put_blob(open_store(url, settings, probe=False), pathlib.Path(path))\n"
    )
    proxy.add("hang", "partNumber=3")
    arguments = [proxy.url, server.access_key, server.secret_key, store.url, str(large)]
    with subprocess.Popen([sys.executable, "-c", code, *arguments]) as process:
        until = time.monotonic() + 30
        while not any("partNumber=3" in line for line in proxy.seen):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert list(store.list("blobs/")) == []
    digest = put_blob(store, large)
    fetch_blob(store, digest, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == large.read_bytes()
    store.delete(blob(digest))


def test_a_certificate_nobody_signed_ends_with_78(moto_server: S3Server, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path / "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is what we test
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        store = moto_server.open(f"https://localhost:{server.server_port}")
        with pytest.raises(ConfigError, match="KUBETUNE_CA_BUNDLE"):
            store.get("key")
        trusting = moto_server.open(f"https://localhost:{server.server_port}", ca_bundle=certificate)
        with pytest.raises(ConfigError, match="does not answer as an S3 server"):
            trusting.get("key")
    finally:
        server.shutdown()
        server.server_close()


def self_signed(path: Path) -> Path:
    """A key and a certificate for localhost in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(tz=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + builder.sign(key, hashes.SHA256()).public_bytes(pem))
    return path


def test_index_and_lookup_over_a_bad_network(through: Opener, proxy: Proxy) -> None:
    store = through()
    digest = put_blob(store, b"abc")
    record = contract.a_commit(outputs={"model": contract.one_file(b"abc")})
    assert digest == record.files[0].sha256
    proxy.add("swallow", "keys/")
    assert index(store, record).same
    proxy.add("status", times=2)
    assert lookup(store, record.stage, record.key).commit == record


@pytest.mark.slow
def test_a_versioned_bucket_never_loses_what_was_written_meanwhile(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer comes between the look at an object's age and its removal."""
    from minio import Minio
    from minio.commonconfig import ENABLED
    from minio.versioningconfig import VersioningConfig

    from kubetune.storage.s3 import S3Store

    versioned = make_bucket(replace(server, bucket="kubetune-versioned"))
    client = Minio(server.address, server.access_key, server.secret_key, secure=False, region="us-east-1")
    client.set_bucket_versioning(versioned.bucket, VersioningConfig(ENABLED))
    store, original = versioned.open(), S3Store._stat
    store.put("key", b"old")

    def with_a_writer_behind(self: S3Store, key: str) -> object:
        found = original(self, key)
        self.put(key, b"new")
        return found

    monkeypatch.setattr(S3Store, "_stat", with_a_writer_behind)
    assert store.delete("key", unless_newer_than=time.time() + 2) is True
    found = store.get("key")
    assert found is not None and found.data == b"new"


def test_a_pause_leaves_the_generator_of_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for the store would change what a seeded training draws."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    random.seed(0)
    before = random.getstate()
    backoff = Backoff(S3Settings("http://127.0.0.1:1", "key", "secret"))
    for _ in range(3):
        backoff.wait("it is away")
        pause(2)
    assert random.getstate() == before
