"""Least-privilege users on the real server: who may do what where, and whole runs in which nobody may do more."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from minio.error import S3Error

import toys
from kubetune import layout
from kubetune.config.settings import Settings
from kubetune.errors import ConfigError, CorruptArtifactError, InterruptedRunError
from kubetune.execution.access import USERS, policies
from kubetune.execution.run import raise_for_verdict, run_stage
from kubetune.execution.states import run_lines
from kubetune.models.history import pull
from kubetune.plan import plan
from kubetune.serving.local import endpoints
from kubetune.stages import STAGES
from kubetune.storage.backup import copy_store
from kubetune.storage.base import S3Settings, Store
from kubetune.storage.blobs import fetch_tree
from kubetune.storage.commits import lookup, read_commit
from kubetune.storage.endpoints import read_endpoint
from kubetune.storage.gc import collect
from kubetune.storage.open import open_store
from kubetune.storage.runs import create_run, delete_run, read_run
from kubetune.storage.uploads import put_upload
from kubetune.storage.users import Keys, Logs, bootstrap_users
from pipelines import Silent, toy_recipe
from s3_server import S3Server

if "KUBETUNE_TEST_S3" not in os.environ:
    pytest.skip("needs KUBETUNE_TEST_S3, a real MinIO: no other server manages users", allow_module_level=True)


class Cluster:
    """A bucket with its users on the real server."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self.bucket = f"users-{uuid4().hex[:8]}"
        self.logs = Logs(f"{self.bucket}-logs", 7)
        self.keys = {user: Keys(f"{self.bucket}-{user}", f"{user}-{uuid4().hex}") for user in USERS}

    def bootstrap(self) -> list[str]:
        wanted = policies(self.bucket, "", self.logs.bucket)
        return list(bootstrap_users(self.server.settings(), self.bucket, self.keys, wanted, self.logs))

    def store(self, user: str, *, probe: bool = True) -> Store:
        return open_store(f"s3://{self.bucket}", self.settings(user), probe=probe)

    def root(self) -> Store:
        return open_store(f"s3://{self.bucket}", self.server.settings(), probe=False)

    def settings(self, user: str) -> S3Settings:
        pair = self.keys[user]
        return replace(self.server.settings(), access_key=pair.access_key, secret_key=pair.secret_key)


@pytest.fixture(scope="module")
def cluster(real_server: S3Server) -> Iterator[Cluster]:
    made = Cluster(real_server)
    made.bootstrap()
    yield made
    admin = admin_of(real_server)
    for pair in made.keys.values():
        admin.user_remove(pair.access_key)


NAMES = [stage.name for stage in STAGES]
PLACES = {
    "run.json": "runs/r/run.json",
    **{f"runs/{name}": f"runs/r/{name}/COMMIT.json" for name in NAMES},
    **{f"telemetry/{name}": f"runs/r/{name}/telemetry/history.jsonl" for name in NAMES},
    **{f"keys/{name}": f"keys/{name}/{'0' * 64}.json" for name in NAMES},
    "blobs": layout.blob("ab" * 32),
    "checkpoints": layout.checkpoint_file("cd" * 32, "ab" * 32),
    "endpoints": layout.endpoint("tweets"),
    "models": layout.model("tweets"),
    "comparisons": layout.comparisons("tweets"),
    "statements": layout.statement("tweets", "ab" * 32),
    "revocations": layout.REVOCATIONS,
    "policies": layout.POLICIES,
    "uploads": layout.upload("ef" * 32, "my.csv"),
    "tracking": f"{layout.TRACKING}1/artifacts/file",
    "probe": layout.PROBE,
    "elsewhere": "elsewhere/file",
    "backup": "runs.bak",
}
LISTED = (
    "",
    "runs/",
    "keys/",
    "blobs/",
    "blobs/sha256/",
    "checkpoints/",
    "endpoints/",
    "models/",
    "comparisons/",
    "statements/",
    "tracking/",
    "uploads/",
    "probe/",
    "elsewhere/",
)

EVALUATED = "runs/ingest runs/fetch runs/prepare runs/train runs/evaluate"

# Written by hand, not derived: the table that a person would check a policy against. `run.json` and `probe` are
# everybody's but those of `serve` and MLflow's two (and a `client` writes no run.json).
MAY: dict[str, dict[str, str]] = {
    "ingest": {
        "get": "runs/ingest telemetry/ingest keys/ingest blobs uploads",
        "put": "runs/ingest telemetry/ingest keys/ingest blobs",
    },
    "fetch": {
        "get": "runs/fetch telemetry/fetch keys/fetch blobs",
        "put": "runs/fetch telemetry/fetch keys/fetch blobs",
    },
    "prepare": {
        "get": "runs/ingest runs/fetch runs/prepare telemetry/prepare keys/ingest keys/fetch keys/prepare blobs",
        "put": "runs/prepare telemetry/prepare keys/ingest keys/fetch keys/prepare blobs",
    },
    "train": {
        "get": "runs/ingest runs/fetch runs/prepare runs/train telemetry/train keys/fetch keys/prepare keys/train "
        "blobs checkpoints",
        "put": "runs/train telemetry/train keys/fetch keys/prepare keys/train blobs checkpoints",
        "delete": "checkpoints",
    },
    "evaluate": {
        "get": "runs/ingest runs/fetch runs/prepare runs/train runs/evaluate telemetry/evaluate keys/fetch "
        "keys/prepare keys/train keys/evaluate blobs",
        "put": "runs/evaluate telemetry/evaluate keys/fetch keys/prepare keys/train keys/evaluate blobs",
    },
    "behave": {
        "get": f"{EVALUATED} runs/behave telemetry/behave keys/fetch keys/prepare keys/train keys/evaluate "
        "keys/behave blobs",
        "put": "runs/behave telemetry/behave keys/fetch keys/prepare keys/train keys/evaluate keys/behave blobs",
    },
    "compare": {
        "get": f"{EVALUATED} runs/behave runs/compare telemetry/compare keys/prepare keys/train keys/evaluate "
        "keys/behave "
        "keys/compare blobs models comparisons",
        "put": "runs/compare telemetry/compare keys/prepare keys/train keys/evaluate keys/behave keys/compare blobs "
        "comparisons",
    },
    "package": {
        "get": f"{EVALUATED} runs/behave runs/compare runs/package telemetry/package keys/fetch keys/train "
        "keys/evaluate "
        "keys/behave keys/compare keys/package blobs",
        "put": "runs/package telemetry/package keys/fetch keys/train keys/evaluate keys/behave keys/compare "
        "keys/package "
        "blobs",
    },
    "register": {
        "get": f"{EVALUATED} runs/behave runs/compare runs/package runs/register telemetry/register keys/compare "
        "keys/register blobs models statements revocations policies",
        "put": "runs/register telemetry/register keys/compare keys/register blobs models statements revocations",
    },
    "deploy": {
        "get": f"{EVALUATED} runs/behave runs/compare runs/package runs/register runs/deploy telemetry/deploy "
        "keys/package "
        "keys/deploy blobs endpoints models policies",
        "put": "runs/deploy telemetry/deploy keys/package keys/deploy endpoints models",
    },
    "serve": {"get": "blobs statements revocations"},
    "housekeeping": {
        "get": f"{' '.join(f'runs/{name} telemetry/{name} keys/{name}' for name in NAMES)} blobs checkpoints endpoints "
        "models comparisons",
        "put": " ".join(f"keys/{name}" for name in NAMES),
        "delete": f"{' '.join(f'runs/{name} telemetry/{name} keys/{name}' for name in NAMES)} run.json blobs "
        "checkpoints",
        "list": "runs/ keys/ blobs/sha256/ checkpoints/ endpoints/ models/ comparisons/",
    },
    "client": {
        "get": f"{' '.join(f'runs/{name} telemetry/{name}' for name in NAMES)} blobs endpoints uploads models "
        "statements revocations policies",
        "put": "uploads",
        "list": "runs/ endpoints/ models/",
    },
    "mirror": {
        "get": f"{' '.join(f'runs/{name} telemetry/{name} keys/{name}' for name in NAMES)} run.json blobs endpoints "
        "models comparisons statements revocations",
        "list": "runs/ endpoints/ models/ comparisons/",
    },
    "tracking": {"get": "tracking", "put": "tracking", "delete": "tracking", "list": "tracking/"},
    "logs": {},
    "backup": {
        "get": f"{' '.join(f'runs/{name} telemetry/{name} keys/{name}' for name in NAMES)} run.json blobs checkpoints "
        "endpoints models comparisons statements revocations uploads",
        "list": "runs/ keys/ blobs/sha256/ checkpoints/ endpoints/ models/ comparisons/ statements/ uploads/",
    },
}


def allowed(user: str, verb: str) -> set[str]:
    extra: set[str] = set()
    if user not in {"serve", "mirror", "tracking", "logs", "backup"} and verb in {"get", "put"}:
        extra = {"probe", "run.json"}
        if user in {"client", "housekeeping"} and verb == "put":
            extra = {"probe"}
    return set(MAY[user].get(verb, "").split()) | extra


def raw(store: Store):
    """The S3 client below a store, to ask for what our own code never asks for."""
    return store._client  # type: ignore[attr-defined]


def is_denied(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except S3Error as error:
        if error.code != "AccessDenied":
            raise
        return True
    return False


@pytest.mark.s3
@pytest.mark.parametrize("user", USERS)
def test_a_user_may_do_exactly_this(cluster: Cluster, user: str) -> None:
    client = raw(cluster.store(user, probe=False))
    root, bucket = cluster.root(), cluster.bucket
    found: dict[str, set[str]] = {"get": set(), "put": set(), "delete": set(), "list": set()}
    for name, key in PLACES.items():
        root.put(key, b"x")
        asks: dict[str, Callable[[], object]] = {
            "get": lambda key=key: client.get_object(bucket, key).read(),
            "put": lambda key=key: client.put_object(bucket, key, io.BytesIO(b"y"), 1),
            "delete": lambda key=key: client.remove_object(bucket, key),
        }
        for verb, ask in asks.items():
            found[verb] |= set() if is_denied(ask) else {name}
        root.put(key, b"x")
        version = raw(root).stat_object(bucket, key).version_id
        of_version = is_denied(lambda key=key, version=version: client.remove_object(bucket, key, version_id=version))
        assert of_version == (name not in found["delete"]), name
        root.delete(key)
        # Where it may read, a key that is not there is "not there" (the code's usual case) and not "denied".
        with pytest.raises(S3Error) as missing:
            client.stat_object(bucket, key)
        assert (missing.value.code == "NoSuchKey") == (name in found["get"]), name
    for prefix in LISTED:
        if not is_denied(lambda prefix=prefix: list(client.list_objects(bucket, prefix=prefix, recursive=True))):
            found["list"].add(prefix)
    assert found == {verb: allowed(user, verb) for verb in found}


@pytest.mark.s3
def test_task_logs_have_a_bucket_that_one_user_may_write_and_none_may_empty(cluster: Cluster) -> None:
    client, bucket, key = raw(cluster.store("logs", probe=False)), cluster.logs.bucket, "airflow/release/attempt=1.log"
    with pytest.raises(S3Error) as missing:  # Airflow looks before it writes
        client.stat_object(bucket, key)
    assert missing.value.code == "NoSuchKey"
    client.put_object(bucket, key, io.BytesIO(b"y"), 1)
    assert client.get_object(bucket, key).read() == b"y"
    assert [item.object_name for item in client.list_objects(bucket, prefix="airflow/release/attempt=1")] == [key]
    assert is_denied(lambda: client.remove_object(bucket, key))
    (rule,) = raw(cluster.root()).get_bucket_lifecycle(bucket).rules
    assert rule.expiration.days == cluster.logs.days
    for user in set(USERS) - {"logs"}:
        other = raw(cluster.store(user, probe=False))
        assert is_denied(lambda other=other: other.get_object(bucket, key)), user
        assert is_denied(lambda other=other: other.put_object(bucket, key, io.BytesIO(b"z"), 1)), user


def as_users(cluster: Cluster, recipe, run: str, state: Path, until: str = "deploy") -> dict[str, str]:
    """Walk a plan; each stage has its own user's keys and no others."""
    statuses = {}
    for call in plan(recipe, run, endpoint="toy-users", until=until):
        store = cluster.store(call.stage.name)
        result = run_stage(call, store, Settings(store=store.url, state_dir=state), progress=Silent())
        statuses[call.stage.name] = result.status
        raise_for_verdict(result)
    return statuses


@pytest.fixture(scope="module")
def walked(cluster: Cluster, toy_model: Path, tmp_path_factory: pytest.TempPathFactory):
    """A toy run from an uploaded file to a served model; returns recipe, statuses and the state folder."""
    folder = tmp_path_factory.mktemp("walked")
    rows = toys.write_jsonl(folder / "my rows.jsonl", toys.toy_rows(200))
    address = put_upload(cluster.store("client"), rows)
    recipe = toy_recipe(rows, toy_model, [f"data.source.paths.all={address}", "training.checkpoints.every_steps=5"])
    state = folder / "state"
    yield recipe, as_users(cluster, recipe, "toy-1", state), state
    endpoints.stop_endpoint(state, "toy-users")


@pytest.mark.s3
def test_every_stage_runs_with_its_own_keys(cluster: Cluster, walked) -> None:
    recipe, statuses, state = walked
    assert statuses == {
        **dict.fromkeys([stage.name for stage in STAGES], "ran"),
        "register": "effect",
        "deploy": "effect",
    }
    again = as_users(cluster, recipe, "toy-2", state)
    assert again == {**dict.fromkeys(again, "adopted"), "register": "effect", "deploy": "effect"}
    client = cluster.store("client")
    observed = read_endpoint(client, "toy-users")
    assert observed is not None and observed.observed is not None and observed.observed.run == "toy-1", (
        "the version is that run's"
    )


@pytest.mark.s3
def test_a_person_reads_runs_and_artifacts(cluster: Cluster, walked, tmp_path: Path) -> None:
    client = cluster.store("client")
    assert "toy-1" in {line.run for line in run_lines(client)}
    assert set(pull(client, "toy-1", [], tmp_path)) >= {"model", "report", "archive"}
    assert (tmp_path / "report" / "report.html").is_file()


@pytest.mark.s3
def test_the_server_reads_an_archive_by_digest_alone(cluster: Cluster, walked, tmp_path: Path) -> None:
    files = read_commit(cluster.store("client"), "toy-1", "package").outputs["archive"]
    fetch_tree(cluster.store("serve", probe=False), files, tmp_path)
    assert (tmp_path / "archive.json").is_file()


@pytest.mark.s3
def test_training_that_was_killed_resumes_with_its_own_keys(cluster: Cluster, walked) -> None:
    recipe, _, state = walked
    longer = recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": 7})})
    as_users(cluster, longer, "killed-1", state, until="prepare")
    call = plan(longer, "killed-1", until="train")[-1]
    store = cluster.store("train")
    notes = Notes()
    with pytest.raises(InterruptedRunError):
        run_stage(call, store, Settings(store=store.url), progress=notes, should_stop=lambda: notes.steps > 6)
    assert run_stage(call, store, Settings(store=store.url), progress=notes).status == "ran"
    assert any("resum" in line for line in notes.lines), notes.lines


@pytest.mark.s3
def test_broken_bytes_are_found_and_their_key_is_taken_out_of_use(cluster: Cluster, walked, tmp_path: Path) -> None:
    recipe, _, state = walked
    other = recipe.model_copy(update={"data": recipe.data.model_copy(update={"min_characters": 3})})
    as_users(cluster, other, "broken-1", state, until="ingest")
    as_users(cluster, other, "broken-1", state, until="fetch")
    raw_commit = read_commit(cluster.store("client"), "broken-1", "ingest")
    assert raw_commit is not None
    file = next(file for file in raw_commit.files if file.size)
    cluster.root().put(layout.blob(file.sha256), bytes(file.size))
    with pytest.raises(CorruptArtifactError):
        as_users(cluster, other, "broken-1", state, until="prepare")
    assert lookup(cluster.store("ingest"), "ingest", raw_commit.key).broken == {file.sha256}
    call = plan(other, "broken-2", until="ingest")[-1]
    store = cluster.store("ingest")
    assert run_stage(call, store, Settings(store=store.url), progress=Silent()).status == "ran"
    assert as_users(cluster, other, "broken-1", state, until="prepare")["prepare"] == "ran"


@pytest.mark.s3
def test_a_user_that_is_not_wanted_any_more_is_removed(cluster: Cluster) -> None:
    """A release whose MLflow was switched off leaves no key behind that still opens the store."""
    mirror = cluster.store("mirror", probe=False)
    assert list(mirror.list(layout.RUNS)) is not None
    pair = cluster.keys.pop("mirror")
    try:
        assert "user mirror is not wanted any more and was removed" in cluster.bootstrap()
        with pytest.raises(S3Error) as refused:
            raw(mirror).get_object(cluster.bucket, layout.run_record("r"))  # a HEAD would not say why
        assert refused.value.code == "InvalidAccessKeyId"
        assert not [line for line in cluster.bootstrap() if "removed" in line]
    finally:
        cluster.keys["mirror"] = pair
        cluster.bootstrap()


@pytest.mark.s3
def test_only_housekeeping_collects(cluster: Cluster, walked) -> None:
    with pytest.raises(ConfigError, match="AccessDenied"):
        delete_run(cluster.store("client"), "toy-2")
    janitor = cluster.store("housekeeping")
    assert delete_run(janitor, "killed-1") > 0
    found = collect(janitor, grace=0.0, abandoned=0.0)
    assert found.retired > 0 and found.checkpoints > 0 and not found.unreadable


@pytest.mark.s3
def test_a_second_time_changes_nothing_and_a_new_secret_takes_the_place_of_the_old(cluster: Cluster) -> None:
    assert not [line for line in cluster.bootstrap() if "created" in line or "removed" in line]
    former = cluster.settings("package")
    cluster.keys["package"] = Keys(cluster.keys["package"].access_key, "another-secret")
    cluster.bootstrap()
    with pytest.raises(ConfigError, match="SignatureDoesNotMatch"):
        open_store(f"s3://{cluster.bucket}", former)
    cluster.store("package")
    renamed = Keys(f"{cluster.keys['package'].access_key}-2", "another-secret")
    cluster.keys["package"], gone = renamed, cluster.settings("package")
    assert "user package: a former access key was removed" in cluster.bootstrap()
    with pytest.raises(ConfigError, match="InvalidAccessKeyId"):
        open_store(f"s3://{cluster.bucket}", gone)
    cluster.store("package")


@pytest.mark.s3
def test_the_command_needs_root(cluster: Cluster, tmp_path: Path) -> None:
    folder = write_users(tmp_path, cluster.keys)
    done = command(cluster, folder, cluster.settings("train"))
    assert done.returncode == 78 and "refuses" in done.stderr.strip().splitlines()[-1], done.stderr
    done = command(cluster, folder, cluster.server.settings())
    assert done.returncode == 0, done.stderr
    assert all(f"user {user} is ready" in done.stdout for user in USERS)
    assert not [pair for pair in cluster.keys.values() if pair.secret_key in done.stdout]


@pytest.mark.s3
def test_one_command_makes_the_users_of_a_server_that_is_not_the_charts(real_server: S3Server, tmp_path: Path) -> None:
    """By an administrator of it who is not root: bucket, keys, users, policies and the Secrets that the chart names."""
    admin, bucket = admin_of(real_server), f"outer-{uuid4().hex[:8]}"
    administrator = Keys(f"{bucket}-operator", "operator-secret")
    admin.user_add(administrator.access_key, administrator.secret_key)
    admin.policy_set("consoleAdmin", user=administrator.access_key)
    folder, secrets = tmp_path / "users", tmp_path / "secrets.yaml"
    words = ["--users", str(folder), "--generate", "all", "--generate", "backup", "--secrets", f"site={secrets}"]
    try:
        done = bootstrap_command(real_server, f"s3://{bucket}/team", administrator, *words)
        assert done.returncode == 0, done.stderr
        documents = list(yaml.safe_load_all(secrets.read_text()))
        assert {item["metadata"]["name"] for item in documents} == {
            f"site-store-{user}" for user in USERS if user not in {"logs", "mirror", "tracking"}
        }
        assert secrets.stat().st_mode & 0o777 == 0o600
        pairs = {item["metadata"]["name"].removeprefix("site-store-"): item["stringData"] for item in documents}
        assert not [pair for pair in pairs.values() if pair["kubetune_s3_secret_key"] in done.stdout + done.stderr]
        train, serve, backup = (
            opened_as(real_server, f"s3://{bucket}/team", pairs[u]) for u in ("train", "serve", "backup")
        )
        train.put(layout.checkpoint_file("cd" * 32, "ab" * 32), b"x")
        with pytest.raises(ConfigError, match="AccessDenied"):
            serve.put(layout.checkpoint_file("cd" * 32, "ab" * 32), b"x")
        assert len(list(backup.list(layout.CHECKPOINTS))) == 1
        again = bootstrap_command(real_server, f"s3://{bucket}/team", administrator, *words)
        assert again.returncode == 0 and "were drawn" not in again.stdout
        assert list(yaml.safe_load_all(secrets.read_text())) == documents
    finally:
        for line in [f"{bucket}-team-{user}" for user in USERS if user not in {"logs", "mirror", "tracking"}]:
            admin.user_remove(line)
        admin.user_remove(administrator.access_key)


@pytest.mark.s3
def test_a_backup_needs_no_right_to_write_and_nobody_else_may_make_one(cluster: Cluster, tmp_path: Path) -> None:
    root = cluster.root()
    create_run(root, "backed-up", {"name": "toy"})
    target = open_store(str(tmp_path / "backup"))
    copy_store(cluster.store("backup", probe=False), target, checkpoints=True)
    assert read_run(target, "backed-up") == {"name": "toy"}
    for user in ("train", "client", "serve"):
        with pytest.raises(ConfigError, match="AccessDenied"):
            copy_store(cluster.store(user, probe=False), open_store(str(tmp_path / user)))
    create_run(target, "another", {"name": "toy"})
    with pytest.raises(ConfigError, match="AccessDenied"):
        copy_store(target, cluster.store("backup", probe=False))
    delete_run(root, "backed-up")


@pytest.mark.s3
def test_a_stage_may_replace_its_own_results_of_other_runs_and_no_others(cluster: Cluster) -> None:
    """An S3 policy names no run; docs/operations.md, "What nothing binds", says what helps."""
    root, train = cluster.root(), raw(cluster.store("train", probe=False))
    mine, *others = (layout.commit("theirs-1", name) for name in ("train", "prepare", "evaluate"))
    for key in (mine, *others):
        root.put(key, b"what was committed")
    train.put_object(cluster.bucket, mine, io.BytesIO(b"forged"), 6)
    for key in others:
        assert is_denied(lambda key=key: train.put_object(cluster.bucket, key, io.BytesIO(b"forged"), 6))
        assert root.get(key).data == b"what was committed"
    versions = list(raw(root).list_objects(cluster.bucket, prefix=mine, include_version=True))
    before = next(item for item in versions if str(item.is_latest).lower() != "true")
    kept = raw(root).get_object(cluster.bucket, mine, version_id=before.version_id).read()
    assert kept == b"what was committed"
    assert is_denied(lambda: train.remove_object(cluster.bucket, mine, version_id=before.version_id))


@pytest.mark.s3
def test_what_was_overwritten_is_kept_as_a_version(cluster: Cluster) -> None:
    root = cluster.root()
    root.put("elsewhere/twice", b"one")
    root.put("elsewhere/twice", b"two")
    versions = list(raw(root).list_objects(cluster.bucket, prefix="elsewhere/twice", include_version=True))
    assert len(versions) == 2


@pytest.mark.s3
def test_what_is_removed_does_not_come_back_as_an_older_version(cluster: Cluster) -> None:
    root = cluster.root()
    for content in (b"one", b"two", b"three"):
        root.put("elsewhere/removed", content)
    assert root.delete("elsewhere/removed", unless_newer_than=1.0) is False
    assert root.delete("elsewhere/removed") is True
    assert root.get("elsewhere/removed") is None


def write_users(folder: Path, keys: dict[str, Keys]) -> Path:
    for user, pair in keys.items():
        (folder / user).mkdir()
        (folder / user / "kubetune_s3_access_key").write_text(pair.access_key + "\n")
        (folder / user / "kubetune_s3_secret_key").write_text(pair.secret_key)
    return folder


def command(cluster: Cluster, folder: Path, settings: S3Settings) -> subprocess.CompletedProcess[str]:
    pair = Keys(settings.access_key, settings.secret_key)
    return bootstrap_command(cluster.server, f"s3://{cluster.bucket}", pair, "--users", str(folder))


def bootstrap_command(server: S3Server, store: str, pair: Keys, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kubetune", "store", "bootstrap", *words],
        capture_output=True, text=True, check=False, timeout=120,
        env={
            **os.environ, "KUBETUNE_STORE": store, "KUBETUNE_S3_ENDPOINT": f"http://{server.address}",
            "KUBETUNE_S3_ACCESS_KEY": pair.access_key, "KUBETUNE_S3_SECRET_KEY": pair.secret_key,
        },
    )  # fmt: skip


def opened_as(server: S3Server, store: str, pair: dict[str, str]) -> Store:
    keys = {"access_key": pair["kubetune_s3_access_key"], "secret_key": pair["kubetune_s3_secret_key"]}
    return open_store(store, replace(server.settings(), **keys), probe=False)


def admin_of(server: S3Server):
    """The administration of the real server."""
    from minio import MinioAdmin
    from minio.credentials import StaticProvider

    root = StaticProvider(server.access_key, server.secret_key)
    return MinioAdmin(endpoint=server.address, credentials=root, secure=False, region="us-east-1")


class Notes(Silent):
    """Progress that remembers."""

    def __init__(self) -> None:
        self.steps, self.lines = 0, []

    def advance(self, by: int = 1, **facts: float | str) -> None:
        self.steps += by

    def note(self, line: str) -> None:
        self.lines.append(line)
