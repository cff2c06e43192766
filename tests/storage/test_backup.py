"""A store into another one: whole, again, after a kill at any change, beside writers, never over another history."""

import base64
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import storage_contract as contract
from kubetune import layout
from kubetune.errors import ConfigError, ConflictingCommitError, CorruptArtifactError, StoreUnavailableError
from kubetune.storage.backup import copy_store
from kubetune.storage.base import Stat, Store
from kubetune.storage.blobs import broken_blobs, put_blob
from kubetune.storage.checkpoints import StoredCheckpoints
from kubetune.storage.commits import Commit, create_commit, find_result, index, read_commit
from kubetune.storage.comparisons import reserve_comparison
from kubetune.storage.endpoints import ServedArchive, change_endpoint, read_endpoint
from kubetune.storage.gc import collect
from kubetune.storage.open import open_store
from kubetune.storage.registry import Event, Version, change_model, read_model, set_champion, with_version
from kubetune.storage.runs import create_run, delete_run, list_runs, put_telemetry, read_run, record_attempt
from kubetune.storage.statements import put_statement, read_revocations, read_statement, update_revocations
from kubetune.storage.transfer import Copied
from kubetune.storage.uploads import fetch_upload, put_upload
from kubetune.storage.versions import FORMAT, files_of, put_document, read_document

pytestmark = pytest.mark.slow

REAL = [pytest.param("real", marks=pytest.mark.s3)] if "KUBETUNE_TEST_S3" in os.environ else []
STAGES = ("ingest", "prepare", "train")
ARCHIVE = "ab" * 32


def key_of(run: str, stage: str) -> str:
    return hashlib.sha256(f"{run}/{stage}".encode()).hexdigest()


def stage_of(store: Store, run: str, stage: str, content: bytes) -> Commit:
    """Commit and index one stage, as a run does it."""
    put_blob(store, content)
    outputs = {stage: contract.one_file(content, f"{stage}.bin")}
    record = create_commit(store, contract.a_commit(run, stage, key=key_of(run, stage), outputs=outputs))
    index(store, record)
    return record


def run_of(store: Store, run: str, stages: tuple[str, ...] = STAGES) -> None:
    """A run as far as these stages."""
    create_run(store, run, {"name": "toy", "run": run})
    for stage in stages:
        stage_of(store, run, stage, f"{stage} of {run}".encode())


def promote(store: Store, number: int, run: str, content: bytes) -> None:
    """Register a version of model toy and make it the champion."""
    put_blob(store, content)
    files = [file.to_json() for file in contract.one_file(content, "archive.json")]
    document = put_document(store, {"format": FORMAT, "files": {"archive": files}})
    fresh = Version(number, run, files[0]["sha256"], f"model of {run}", document, "promote", "")
    change_model(
        store, "toy", lambda model: (set_champion(*numbered(model, fresh)), Event("promoted", f"at {number}", by=run))
    )


def numbered(model: Any, fresh: Version) -> tuple[Any, int]:
    changed, version = with_version(model, fresh)
    return changed, version.number


def serve(store: Store, run: str, content: bytes) -> None:
    target = ServedArchive(run, contract.one_file(content, "archive.json"))
    change_endpoint(store, "toy", lambda found: replace(found, desired=target, observed=target), event="deploy", at="")


def revocations(epoch: int, *signers: str) -> dict[str, Any]:
    payload = base64.b64encode(json.dumps({"epoch": epoch, "revoked": []}).encode()).decode()
    signatures = [{"keyid": name, "sig": "s"} for name in signers or ("a",)]
    return {"payloadType": "r", "payload": payload, "signatures": signatures}


@pytest.fixture
def source(local: Store, tmp_path: Path) -> Store:
    """Two runs, a champion that serves and the one before it, a comparison, a statement, an upload, a checkpoint."""
    return filled(local, tmp_path / "source")


def filled(store: Store, folder: Path) -> Store:
    folder.mkdir(parents=True)
    for run in ("run-1", "run-2"):
        run_of(store, run)
    (folder / "history.jsonl").write_text('{"step": 1}\n')
    put_telemetry(store, "run-1", "train", folder)
    record_attempt(store, "run-1", "train", "first", {"reason": "interrupted"})
    promote(store, 1, "run-1", b"archive 1")
    promote(store, 2, "run-2", b"archive 2")
    serve(store, "run-2", b"archive 2")
    reserve_comparison(store, "toy", {"rows": 5}, "first", lambda *_: True)
    update_revocations(store, lambda _: revocations(1))
    put_statement(
        store, "toy", ARCHIVE, {"payloadType": "t", "payload": "p", "signatures": [{"keyid": "a", "sig": "s"}]}
    )
    (folder / "rows.csv").write_text("text,label\n")
    put_upload(store, folder / "rows.csv")
    spooled = folder / "checkpoint"
    spooled.mkdir()
    (spooled / "manifest.json").write_text('{"step": 10}')
    StoredCheckpoints(store, "c" * 64, folder / "scratch", print).publish(spooled)
    return store


SERVERS = [pytest.param("moto", marks=pytest.mark.slow), *REAL]


@pytest.fixture(params=["folder", *SERVERS])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store: a folder, or a bucket."""
    if request.param == "folder":
        return open_store(str(tmp_path / "backup"))
    return request.getfixturevalue(f"{request.param}_server").open()


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    """An empty store in a folder, for what does not depend on the kind."""
    return open_store(str(tmp_path / "backup"))


def everything(store: Store, *, checkpoints: bool = True) -> dict[str, bytes]:
    """All objects of a store by key."""
    prefixes = [
        value
        for name, value in vars(layout).items()
        if name.isupper() and isinstance(value, str) and value.endswith("/") and name != "CHECKPOINTS"
    ]
    assert len(prefixes) >= 8
    keys = [
        stat.key
        for prefix in [*prefixes, *([layout.CHECKPOINTS] if checkpoints else [])]
        for stat in store.list(prefix)
    ]
    return {key: b"".join(store.read(key)) for key in keys}


def faults_of(store: Store) -> list[str]:
    """What a store names and does not have whole."""
    faults = []
    for run in list_runs(store):
        if read_run(store, run.run) is None:
            faults.append(f"{run.run} has no recipe")
        for number, stage in enumerate(STAGES):
            found = read_commit(store, run.run, stage)
            if found is None and any(later in run.stages for later in STAGES[number + 1 :]):
                faults.append(f"{run.run} lacks {stage}, which a later stage was made from")
            if found is not None and broken_blobs(store, found.files):
                faults.append(f"{run.run}/{stage} has no whole content")
    for stat in store.list(layout.KEYS):
        _, stage, name = stat.key.split("/")
        if find_result(store, stage, name.removesuffix(".json")).commit is None:
            faults.append(f"{stat.key} leads nowhere")
    model = read_model(store, "toy")
    faults += [
        f"version {version.number} has no whole archive"
        for version in (model.versions if model else ())
        if broken_blobs(store, files_of(read_document(store, version), "archive"))
    ]
    runs = {run.run for run in list_runs(store)}
    faults += [
        f"{version.run} of a version is missing"
        for version in (model.versions if model else ())
        if version.run not in runs
    ]
    endpoint = read_endpoint(store, "toy")
    if endpoint is not None and endpoint.desired is not None and broken_blobs(store, endpoint.desired.files):
        faults.append("the endpoint has no whole archive")
    return faults


def test_a_copy_has_every_byte_and_a_second_one_sends_nothing(source: Store, target: Store, tmp_path: Path) -> None:
    first = copy_store(source, target, checkpoints=True)
    assert (first.runs, first.models) == (2, 1)
    assert everything(target) == everything(source)
    assert faults_of(target) == []
    again = copy_store(source, target, checkpoints=True)
    assert (again.records, again.files, again.bytes) == (0, 0, 0)
    model = read_model(target, "toy")
    assert model is not None and model.champion is not None and model.champion.number == 2
    assert read_statement(target, "toy", ARCHIVE) == read_statement(source, "toy", ARCHIVE)
    assert reserve_comparison(target, "toy", {"rows": 5}, "second", lambda *_: True) == 1, "the comparison counts"


def test_there_and_back_again(source: Store, target: Store, tmp_path: Path) -> None:
    copy_store(source, target, checkpoints=True)
    restored = open_store(str(tmp_path / "restored"))
    copy_store(target, restored, checkpoints=True)
    assert everything(restored) == everything(source)
    address = f"upload:{next(iter(restored.list(layout.UPLOADS))).key.removeprefix(layout.UPLOADS)}"
    assert fetch_upload(restored, address, tmp_path / "fetched").read_text() == "text,label\n"
    folders = StoredCheckpoints(restored, "c" * 64, tmp_path / "resumed", print).restore()
    assert [(path / "manifest.json").read_text() for path in folders] == ['{"step": 10}']


def test_checkpoints_stay_unless_asked_for(source: Store, folder: Store) -> None:
    copy_store(source, folder)
    assert everything(folder) == everything(source, checkpoints=False)


def test_every_place_of_a_store_is_copied_or_left_on_purpose(source: Store, folder: Store) -> None:
    """A new prefix of the layout is in a backup, or its reason to be left out is written down here."""
    left = {
        layout.TRACKING: "MLflow's own, which `tracking rebuild` makes again",
        layout.PROBE: "a question to S3",
        layout.LOGS: "task logs, in a bucket of their own",
        layout.REVOCATIONS: "a key below statements/",
    }
    places = {
        value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str) and "/" in value
    }
    copy_store(source, folder, checkpoints=True)
    copied = {place for place in places if place.endswith("/") and list(folder.list(place))}
    assert copied | set(left) == places


def test_a_later_state_brings_the_backup_up_to_date(source: Store, target: Store) -> None:
    copy_store(source, target)
    run_of(source, "run-3")
    promote(source, 3, "run-3", b"archive 3")
    serve(source, "run-3", b"archive 3")
    reserve_comparison(source, "toy", {"rows": 5}, "second", lambda *_: True)
    delete_run(source, "run-1")
    done = copy_store(source, target)
    assert (done.runs, done.models) == (2, 1)
    assert faults_of(target) == []
    model, endpoint = read_model(target, "toy"), read_endpoint(target, "toy")
    assert model is not None and model.line == (1, 2, 3)
    assert endpoint is not None and endpoint.observed is not None and endpoint.observed.run == "run-3"
    assert "run-1" in {run.run for run in list_runs(target)}, "a backup forgets nothing"


def test_another_history_is_refused_before_anything_is_written(source: Store, folder: Store, tmp_path: Path) -> None:
    """To restore yesterday's champions over today's would lose today's."""
    copy_store(source, folder)
    promote(source, 3, "run-2", b"archive 3")
    before = everything(source)
    with pytest.raises(ConfigError, match=r"models/toy\.json.*not an earlier state.*empty target"):
        copy_store(folder, source)
    assert everything(source) == before
    other = open_store(str(tmp_path / "other"))
    promote(other, 1, "run-9", b"archive 9")
    with pytest.raises(ConfigError, match="nothing was copied"):
        copy_store(source, other)
    assert not list(other.list(layout.RUNS))


def test_the_newest_list_of_revoked_versions_wins_and_an_older_one_never(source: Store, folder: Store) -> None:
    copy_store(source, folder)
    update_revocations(source, lambda _: revocations(2, "a", "b"))
    copy_store(source, folder)
    assert read_revocations(folder) == revocations(2, "a", "b")
    update_revocations(source, lambda _: revocations(1))
    with pytest.raises(ConfigError, match=r"revocations\.json.*not an earlier state"):
        copy_store(source, folder)
    assert read_revocations(folder) == revocations(2, "a", "b")


def test_a_run_of_the_same_name_stays_and_is_named(source: Store, folder: Store) -> None:
    create_run(folder, "run-1", {"name": "toy", "other": True})
    create_run(folder, "run-2", {"name": "toy", "run": "run-2"})
    stage_of(folder, "run-2", "train", b"trained elsewhere")
    with pytest.raises(ConflictingCommitError, match=r"runs/run-1/run\.json, runs/run-2/train/COMMIT\.json"):
        copy_store(source, folder)
    assert read_run(folder, "run-1") == {"name": "toy", "other": True}
    assert read_commit(folder, "run-2", "prepare") is not None, "all else was copied"
    assert faults_of(folder) == []


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"X" + data[1:], lambda _: None])
def test_broken_content_is_refused_and_all_else_is_copied(
    source: Store, folder: Store, damage: Callable[[bytes], bytes | None]
) -> None:
    """Run 1's training is lost, and so is the champion's archive: both are named, and nothing broken is passed on."""
    digests = [contract.one_file(content)[0].sha256 for content in (b"train of run-1", b"archive 2")]
    for digest in digests:
        data = damage(b"".join(source.read(layout.blob(digest))))
        source.delete(layout.blob(digest))
        if data is not None:
            source.put(layout.blob(digest), data)
    with pytest.raises(CorruptArtifactError) as caught:
        copy_store(source, folder)
    for word in ("runs/run-1/train/COMMIT.json", "models/toy.json", "endpoints/toy.json", *(d[:12] for d in digests)):
        assert word in str(caught.value)
    assert not [digest for digest in digests if folder.stat(layout.blob(digest))]
    assert read_commit(folder, "run-1", "train") is None and read_commit(folder, "run-2", "train") is not None
    model = read_model(folder, "toy")
    assert model is not None and model.champion is not None and model.champion.number == 2, "the history is kept"


def test_a_broken_record_is_named(source: Store, folder: Store) -> None:
    source.put(layout.model("toy"), b"{}")
    source.put(layout.commit("run-1", "train"), b"{")
    with pytest.raises(CorruptArtifactError, match=r"models/toy\.json \(the record is not whole\).*run-1/train"):
        copy_store(source, folder)
    assert folder.get(layout.model("toy")) is None


def test_content_that_rotted_in_the_backup_is_found_by_audit_and_sent_again(source: Store, target: Store) -> None:
    copy_store(source, target)
    content = b"archive 1"
    digest = contract.one_file(content)[0].sha256
    target.put(layout.blob(digest), b"X" * len(content))
    assert copy_store(source, target).files == 0, "its size is right"
    assert copy_store(source, target, audit=True).files == 1
    assert b"".join(target.read(layout.blob(digest))) == content


def test_old_content_that_no_record_of_the_target_names_is_sent_again(source: Store, folder: Store) -> None:
    """`gc` in the target could be about to take what an interrupted copy left there a day ago."""
    put_blob(folder, b"train of run-1")
    late = copy_store(source, folder, clock=lambda: time.time() + 13 * 3600)
    assert late.files == len([key for key in everything(folder) if key.startswith((layout.BLOBS, layout.UPLOADS))])
    assert copy_store(source, folder, clock=lambda: time.time() + 13 * 3600).files == 0, "now they are named"
    assert collect(folder, grace=0.0).blobs == 0


@pytest.mark.parametrize("empty", ["nothing", "self"])
def test_a_wrong_address_is_no_empty_backup(source: Store, tmp_path: Path, empty: str) -> None:
    if empty == "self":
        with pytest.raises(ConfigError, match="onto itself"):
            copy_store(source, open_store(source.url))
    else:
        nowhere = open_store(str(tmp_path / "nowhere"))
        with pytest.raises(ConfigError, match="holds no run, no model and no upload"):
            copy_store(nowhere, source)


@pytest.mark.parametrize("changes", [range(5, 60, 11), pytest.param(range(200), marks=pytest.mark.slow)], ids=len)
def test_a_copy_that_dies_at_any_change_is_whole_and_goes_on(tmp_path: Path, changes: range) -> None:
    source = filled(open_store(str(tmp_path / "store")), tmp_path / "made")
    wanted = everything(source)
    for change in changes:
        target = open_store(str(tmp_path / f"target-{change}"))
        dying: Any = contract.Dying(target, change)
        try:
            copy_store(source, dying, checkpoints=True)
            break
        except contract.DiedError:
            assert faults_of(target) == [], f"after {change} changes"
            copy_store(source, target, checkpoints=True)
        assert everything(target) == wanted, f"after {change} changes"
    assert change - changes.start >= 30, "the copy makes fewer changes than this test kills"


class Away:
    """A store that is away after some reads."""

    def __init__(self, inner: Store, reads: int) -> None:
        self.inner, self.left = inner, reads

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def read(self, key: str) -> Iterator[bytes]:
        self.left -= 1
        if self.left < 0:
            raise StoreUnavailableError("away")
        return self.inner.read(key)


def test_a_source_that_goes_away_is_no_broken_content(source: Store, folder: Store) -> None:
    away: Any = Away(source, 3)
    with pytest.raises(StoreUnavailableError):
        copy_store(away, folder)
    assert faults_of(folder) == []


@pytest.mark.slow
def test_a_copy_beside_writers_is_a_state_that_once_was(tmp_path: Path) -> None:
    """Runs go on, champions move, runs are deleted: whatever moment is copied, nothing in it lacks what it names."""
    source, stop = filled(open_store(str(tmp_path / "store")), tmp_path / "made"), threading.Event()
    failed: list[BaseException] = []

    def write(writer: int) -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                run = f"writer-{writer}-{number}"
                run_of(source, run)
                if writer == 0:
                    promote(source, number, run, f"archive of {run}".encode())
                    serve(source, run, f"archive of {run}".encode())
                if writer == 1 and number > 3:
                    delete_run(source, f"writer-{writer}-{number - 3}")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(2)]
    for thread in threads:
        thread.start()
    copies: list[Copied] = []
    try:
        for number in range(6):
            target = open_store(str(tmp_path / f"target-{number % 2}"))
            copies.append(copy_store(source, target))
            assert faults_of(target) == []
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed and copies[-1].runs > copies[0].runs, "the writers wrote"


class Torn:
    """A store whose listings are no snapshots: a run goes on after the key `after` was listed, once."""

    def __init__(self, inner: Store, after: str, then: Callable[[], object]) -> None:
        self.inner, self.after, self.then = inner, after, [then]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def list(self, prefix: str) -> Iterator[Stat]:
        """Page by page, each of one object, by key, as a bucket is listed."""
        last = ""
        while page := sorted((stat for stat in self.inner.list(prefix) if stat.key > last), key=lambda stat: stat.key):
            yield page[0]
            last = page[0].key
            if prefix == layout.run_prefix("slow") and last == self.after and self.then:
                self.then.pop()()


def test_a_listing_that_tears_leaves_no_stage_without_what_it_was_made_from(local: Store, folder: Store) -> None:
    """`prepare` is committed once its place was listed, `train` before its own is: the copy has both or neither."""
    run_of(local, "slow", ("ingest",))
    torn: Any = Torn(local, layout.run_record("slow"), lambda: run_of(local, "slow"))
    assert layout.commit("slow", "prepare") < layout.run_record("slow") < layout.commit("slow", "train")
    copy_store(torn, folder)
    assert not torn.then
    assert faults_of(folder) == []
