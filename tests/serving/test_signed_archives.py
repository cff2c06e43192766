"""Where keys are trusted, nothing unsigned is placed or started: init container, gateway, servers of this machine."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import chain_toys
from gateways import gateway
from kubetune import layout
from kubetune.cli.app import app
from kubetune.config.settings import Settings
from kubetune.errors import ConfigError, DataError
from kubetune.execution.platform import trust_for
from kubetune.models.delivery import fetch_archive
from kubetune.models.sign import commits_json, sign_and_store, statement_of_run, verify_run
from kubetune.provenance.keys import write_key_pair
from kubetune.provenance.trust import Trust, statement_file
from kubetune.serving.archive.manifest import archive_digest
from kubetune.serving.gateway.supervisor import Options, start_torchserve
from kubetune.serving.local.record import Record
from kubetune.serving.local.target import LocalTarget
from kubetune.serving.torchserve import server
from kubetune.storage import commits
from kubetune.storage.blobs import put_tree
from kubetune.storage.local import LocalStore
from kubetune.storage.runs import create_run
from kubetune.storage.statements import read_statement


class ServesOnly:
    """A store whose user may GET blobs and statements and nothing else, as the policy of `serve` says."""

    def __init__(self, store: LocalStore) -> None:
        self.store, self.url, self.read_keys = store, store.url, []

    def read(self, key: str) -> Iterator[bytes]:
        assert key.startswith((layout.BLOBS, layout.STATEMENTS)), key
        self.read_keys.append(key)
        return self.store.read(key)

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"a serving pod may not call {name}")


@pytest.fixture
def store(tmp_path: Path, archive: Path) -> LocalStore:
    """With a whole run, tweets-1, that made the archive."""
    found = LocalStore(tmp_path / "store")
    put_tree(found, archive)
    create_run(found, "tweets-1", {"name": "tweets"})
    for commit in chain_toys.commits("tweets-1", archive).values():
        if commit.stage in {"ingest", "fetch", "prepare", "train", "evaluate", "package"}:
            commits.create_commit(found, commit)
    return found


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    write_key_pair(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def settings(keys: Path) -> Settings:
    return Settings(signing_key=keys / "signing.key", trusted_keys=keys / "signing.pub")


@pytest.fixture
def signed(store: LocalStore, settings: Settings) -> LocalStore:
    assert sign_and_store(store, settings, statement_of_run(store, "tweets-1", "toy", {"outcome": "promote"}))
    return store


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "archives").mkdir()
    return tmp_path / "archives"


def tamper(store: LocalStore, digest: str) -> None:
    """Change one letter of the signed payload; the record around it stays whole."""
    from kubetune.storage.records import encode

    envelope = read_statement(store, "toy", digest)
    place = len(envelope["payload"]) // 2
    other = "A" if envelope["payload"][place] != "A" else "B"
    envelope["payload"] = envelope["payload"][:place] + other + envelope["payload"][place + 1 :]
    store.put(layout.statement("toy", digest), encode({"format": 1, "envelope": envelope}))


def test_the_init_container_places_the_statement_beside_the_archive(signed, settings, archive, into) -> None:
    digest, narrow = archive_digest(archive), ServesOnly(signed)
    fetch_archive(narrow, digest, into, trust_for(settings, "toy", narrow))
    assert {path.name for path in into.iterdir()} == {digest, f"{digest}.intoto.json", "revocations.json"}
    assert narrow.read_keys[:2] == [layout.statement("toy", digest), layout.REVOCATIONS]
    before = len(narrow.read_keys)
    fetch_archive(narrow, digest, into, trust_for(settings, "toy", narrow))  # a restarted container asks for no more
    assert narrow.read_keys[before:] == [layout.REVOCATIONS]  # than whether it may still be served
    statement_file(into, digest).write_text("{}")  # and repairs what does not verify
    fetch_archive(narrow, digest, into, trust_for(settings, "toy", narrow))
    assert trust_for(settings, "toy").require(into, digest)["subject"][0]["digest"]["sha256"] == digest


def test_the_init_container_places_nothing_unsigned(store, settings, archive, into, tmp_path) -> None:
    digest, narrow = archive_digest(archive), ServesOnly(store)
    trust = trust_for(settings, "toy", narrow)
    with pytest.raises(DataError, match="has no statement") as caught:
        fetch_archive(narrow, digest, into, trust)
    assert caught.value.exit_code == 65 and not list(into.iterdir())
    sign_and_store(store, settings, statement_of_run(store, "tweets-1", "toy"))
    tamper(store, digest)
    with pytest.raises(DataError, match="was changed"):
        fetch_archive(narrow, digest, into, trust)
    write_key_pair(tmp_path / "stranger")
    stranger = settings.model_copy(update={"signing_key": tmp_path / "stranger" / "signing.key"})
    store.delete(layout.statement("toy", digest))
    sign_and_store(store, stranger, statement_of_run(store, "tweets-1", "toy"))
    with pytest.raises(DataError, match="it is signed by"):
        fetch_archive(narrow, digest, into, trust)
    assert not list(into.iterdir()) and not [key for key in narrow.read_keys if key.startswith(layout.BLOBS)]


def test_the_statement_of_another_archive_does_not_help(signed, settings, archive, pair_archive, into) -> None:
    put_tree(signed, pair_archive)
    other = archive_digest(pair_archive)
    signed.put(layout.statement("toy", other), signed.get(layout.statement("toy", archive_digest(archive))).data)
    with pytest.raises(DataError, match=f"it is of archive {archive_digest(archive)[:12]}, not of {other[:12]}"):
        fetch_archive(signed, other, into, trust_for(settings, "toy", signed))
    assert not list(into.iterdir())


def test_an_archive_that_was_signed_as_another_model_is_not_served(signed, settings, archive, into, tmp_path) -> None:
    digest, other = archive_digest(archive), trust_for(settings, "other", signed)
    with pytest.raises(DataError, match="has no statement as model other"):
        fetch_archive(signed, digest, into, other)
    signed.put(layout.statement("other", digest), signed.get(layout.statement("toy", digest)).data)
    with pytest.raises(DataError, match="it is of model 'toy', not of 'other'"):
        fetch_archive(signed, digest, into, other)
    assert not list(into.iterdir())
    trust_for(settings, "toy", signed).require(into, digest)
    shutil.copytree(archive, into / digest)
    with pytest.raises(DataError, match="it is of model 'toy', not of 'other'"):
        start_torchserve(Options("other", digest, into, trusted_keys=settings.trusted_keys), tmp_path / "scratch")
    target = LocalTarget(tmp_path / "state", "other", trust=other)
    with target.exclusive(), pytest.raises(DataError, match="it is of model 'toy', not of 'other'"):
        target.apply(archive, 10, lambda: False)
    assert target.record() is None


def test_one_archive_may_be_signed_as_two_models(signed, settings, archive, into) -> None:
    sign_and_store(signed, settings, statement_of_run(signed, "tweets-1", "staging"))
    for model in ("toy", "staging"):
        found = trust_for(settings, model, signed).find(into, archive_digest(archive))
        assert found["predicate"]["model"] == model


def test_a_folder_is_verified_as_the_model_that_is_named(archive, into, tmp_path) -> None:
    folder = into / "copy"
    shutil.copytree(archive, folder)
    public = str(chain_toys.vouch(tmp_path / "keys", archive, into, "toy"))

    def say(*words: str) -> Result:
        return CliRunner().invoke(app, ["verify", str(folder), "--key", public, *words])

    assert isinstance(say().exception, ConfigError) and "name it with --endpoint" in str(say().exception)
    assert "is signed as model toy by a trusted key" in say("--endpoint", "toy").output
    other = say("--endpoint", "other", "--store", str(tmp_path / "store"))
    assert isinstance(other.exception, DataError) and "has no statement as model other" in str(other.exception)


def test_a_lost_key_stops_serving_and_says_so(signed, settings, keys, archive, into) -> None:
    (keys / "signing.pub").unlink()
    with pytest.raises(ConfigError, match=r"The trusted key .* cannot be read"):
        fetch_archive(signed, archive_digest(archive), into, trust_for(settings, "toy", signed))


def test_without_trusted_keys_no_statement_is_asked_for(store, archive, into) -> None:
    assert trust_for(Settings(), "toy") is None
    placed = fetch_archive(store, archive_digest(archive), into, trust_for(Settings(), "toy", store))
    assert [path.name for path in into.iterdir()] == [placed.name]


def test_the_gateway_starts_no_server_for_an_unsigned_archive(signed, settings, archive, into, tmp_path) -> None:
    digest = archive_digest(archive)
    shutil.copytree(archive, into / digest)
    options = Options("toy", digest, into, trusted_keys=settings.trusted_keys)
    with pytest.raises(DataError, match="there is no "):
        start_torchserve(options, tmp_path / "scratch")
    envelope = read_statement(signed, "toy", digest)
    envelope["signatures"][0]["sig"] = "A" * 86 + "=="
    statement_file(into, digest).write_text(json.dumps(envelope))
    with pytest.raises(DataError, match="was changed"):
        start_torchserve(options, tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()


@pytest.mark.slow
def test_a_gateway_ends_with_65_once_its_archive_is_signed_by_nobody_it_trusts(archive, tmp_path) -> None:
    """That it serves one that is signed is shown by test_gateway.py, whose gateway trusts a key."""
    shutil.copytree(archive, tmp_path / "archives" / archive_digest(archive))
    chain_toys.vouch(tmp_path / "old", archive, tmp_path / "archives", "toy")
    write_key_pair(tmp_path / "new")
    with gateway(tmp_path, archive_digest(archive), trusted_keys=str(tmp_path / "new" / "signing.pub")) as running:
        assert running.process.wait(120) == 65
    assert (
        (tmp_path / "termination").read_text().startswith("exit=65 The archive's statement is not valid: it is signed")
    )


def test_a_local_endpoint_refuses_before_it_touches_the_former(
    signed, settings, archive, tmp_path, monkeypatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a server was started")

    monkeypatch.setattr(server.processes, "spawn", never)
    digest = archive_digest(archive)
    unsigned = LocalTarget(tmp_path / "state", "toy", trust=Trust(settings.trusted_keys, "toy", lambda *_: None))
    with unsigned.exclusive(), pytest.raises(DataError, match="has no statement"):
        unsigned.apply(archive, 10, lambda: False)
    assert unsigned.record() is None
    target = LocalTarget(tmp_path / "state", "toy", trust=trust_for(settings, "toy", signed))
    with target.exclusive(), pytest.raises(AssertionError, match="a server was started"):
        target.apply(archive, 10, lambda: False)
    beside = statement_file(tmp_path / "state" / "toy" / "archives", digest)
    assert beside.is_file()
    target._tidy({digest}, tmp_path)
    assert beside.is_file() and target.archive(digest).is_dir()
    target._tidy(set(), tmp_path)
    assert not beside.exists() and not target.archive(digest).exists()


def test_a_running_local_endpoint_without_a_statement_is_no_longer_ready(archive, settings, tmp_path) -> None:
    target = LocalTarget(tmp_path / "state", "toy", trust=Trust(settings.trusted_keys, "toy"))
    digest = archive_digest(archive)
    target.folder.mkdir(parents=True)
    target._keep(archive)
    process = server.Process(**{**dict.fromkeys(server.Process.__dataclass_fields__), "pid": 1})
    running = server.TorchServeProcess(
        "toy", digest, "http://127.0.0.1:1/predictions/toy", "", "", str(tmp_path), "", process
    )
    Record("toy", digest, running, "2026-01-01T00:00:00+00:00").write(target.folder)
    assert "there is no " in target.observe().problems[0]


def test_nothing_is_signed_without_a_key(store) -> None:
    assert sign_and_store(store, Settings(), statement_of_run(store, "tweets-1", "toy")) is None
    assert not list(store.list(layout.STATEMENTS))


def test_signing_again_changes_nothing_and_another_key_adds_its_signature(signed, settings, archive, tmp_path) -> None:
    digest = archive_digest(archive)
    before = signed.get(layout.statement("toy", digest)).etag
    sign_and_store(signed, settings, statement_of_run(signed, "tweets-1", "toy", {"outcome": "promote"}))
    sign_and_store(
        signed, settings, statement_of_run(signed, "tweets-1", "toy", {"outcome": "another"})
    )  # the first stays
    assert signed.get(layout.statement("toy", digest)).etag == before
    write_key_pair(tmp_path / "new")
    rotated = settings.model_copy(update={"signing_key": tmp_path / "new" / "signing.key"})
    sign_and_store(signed, rotated, statement_of_run(signed, "tweets-1", "toy", {"outcome": "promote"}))
    assert len(read_statement(signed, "toy", digest)["signatures"]) == 2
    for public in (settings.trusted_keys, tmp_path / "new" / "signing.pub"):
        assert verify_run(signed, "tweets-1", "toy", public)["predicate"]["decision"] == {"outcome": "promote"}


def test_a_statement_that_somebody_else_put_there_first_gives_way(store, settings, archive, tmp_path) -> None:
    write_key_pair(tmp_path / "stranger")
    stranger = settings.model_copy(update={"signing_key": tmp_path / "stranger" / "signing.key"})
    sign_and_store(store, stranger, statement_of_run(store, "tweets-1", "toy", {"outcome": "forged"}))
    # A list of revoked versions does not: it may be ours by a former key, and made anew it would forget them.
    with pytest.raises(DataError, match="list of revoked versions is not valid: it is signed by"):
        sign_and_store(store, settings, statement_of_run(store, "tweets-1", "toy", {"outcome": "promote"}))
    store.delete(layout.REVOCATIONS)
    sign_and_store(store, settings, statement_of_run(store, "tweets-1", "toy", {"outcome": "promote"}))
    found = verify_run(store, "tweets-1", "toy", settings.trusted_keys)
    assert found["predicate"]["decision"] == {"outcome": "promote"}


def test_many_signers_at_once_leave_one_valid_statement(store, settings, archive) -> None:
    statement = statement_of_run(store, "tweets-1", "toy")
    threads = [threading.Thread(target=sign_and_store, args=(store, settings, statement)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_statement(store, "toy", archive_digest(archive))["signatures"]) == 1
    assert verify_run(store, "tweets-1", "toy", settings.trusted_keys) == statement


def test_a_run_is_compared_with_what_was_signed(signed, settings, archive) -> None:
    other = chain_toys.commits("tweets-2", archive)["package"]
    create_run(signed, "tweets-2", {"name": "tweets"})
    for found in commits_json(signed, "tweets-1"):
        record = commits.parse_commit({**found, "run": "tweets-2"})
        if record.stage == "evaluate":
            record = commits.parse_commit({**record.to_json(), "metrics": {"accuracy": 0.5}})
        commits.create_commit(signed, record)
    assert other.outputs["archive"]
    with pytest.raises(DataError, match="run tweets-2 differs from it in evaluate"):
        verify_run(signed, "tweets-2", "toy", settings.trusted_keys)
