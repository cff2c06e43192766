"""The store's policies as data: what follows from the table of stages, and the keys that users are given."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from kubetune import layout
from kubetune.errors import ConfigError, StoreUnavailableError
from kubetune.execution.access import USERS, StoreAccess, policies, policy, stage_access
from kubetune.stages import BY_NAME, STAGES
from kubetune.storage.base import S3Settings
from kubetune.storage.users import Keys, bootstrap_users, bucket_of, make_keys, read_keys, secrets_of
from s3_server import running_moto


def test_every_stage_has_a_user_and_no_stage_lists() -> None:
    assert set(USERS) == {*BY_NAME, "serve", "housekeeping", "client", "logs", "mirror", "tracking", "backup"}
    assert not [stage.name for stage in STAGES if USERS[stage.name].list]
    assert [name for name, access in USERS.items() if access.delete] == ["train", "housekeeping", "tracking"]
    assert USERS["train"].delete == ("checkpoints/*",)
    everything = [(name, pattern) for name, access in USERS.items() for pattern in (*access.get, *access.put)]
    assert not [item for item in everything if item[1].startswith("*")]


def test_a_new_row_of_the_table_gets_its_rights_from_what_it_declares() -> None:
    row = replace(BY_NAME["package"], name="publish", inputs=("archive",), outputs=("card",))
    access = stage_access(row)
    assert "runs/*/package/COMMIT.json" in access.get and "runs/*/ingest/COMMIT.json" in access.get
    assert "keys/publish/*.json" in access.put and "runs/*/publish/*" in access.put
    assert not [pattern for pattern in access.put if "train" in pattern or "endpoints" in pattern]
    assert "blobs/sha256/*" not in stage_access(BY_NAME["deploy"]).put


def test_compare_counts_register_writes_models_and_nobody_else_does() -> None:
    put = {stage.name: stage_access(stage).put for stage in STAGES}
    assert [name for name, keys in put.items() if "models/*.json" in keys] == ["register", "deploy"]
    assert [name for name, keys in put.items() if "comparisons/*.json" in keys] == ["compare"]
    assert "models/*.json" in stage_access(BY_NAME["compare"]).get


def test_register_reads_what_it_may_and_nothing_else(tmp_path: Path) -> None:
    """Its whole run's commits go into the version's document; a store that refuses one refuses the registration."""
    from fnmatch import fnmatchcase

    from kubetune.models.history import commits_of
    from kubetune.storage.local import LocalStore
    from kubetune.storage.runs import create_run

    asked: list[str] = []

    class Noting(LocalStore):
        def get(self, key: str) -> object:
            asked.append(key)
            return super().get(key)

    create_run(LocalStore(tmp_path), "tweets-1", {"name": "tweets"})
    commits_of(Noting(tmp_path), "tweets-1")
    allowed = stage_access(BY_NAME["register"]).get
    assert len(asked) == 1 + len([stage for stage in STAGES if stage.outputs])
    assert not [key for key in asked if not any(fnmatchcase(key, pattern) for pattern in allowed)]


def test_the_mirror_writes_nothing_and_its_server_reads_nothing_of_ours() -> None:
    mirror, server = USERS["mirror"], USERS["tracking"]
    assert (mirror.put, mirror.delete) == ((), ()) == (USERS["backup"].put, USERS["backup"].delete)
    assert {*server.get, *server.put, *server.delete} == {"tracking/*"}
    assert server.list == ("tracking/",)
    others = [access for name, access in USERS.items() if name != "tracking"]
    assert not [key for access in others for key in (*access.get, *access.put) if key.startswith("tracking")]


def test_whoever_keeps_task_logs_sees_nothing_of_the_store() -> None:
    found = policies("bucket", "team/", "bucket-logs")
    assert set(found) == set(USERS)
    text = json.dumps(found["logs"])
    assert "arn:aws:s3:::bucket/" not in text and '"arn:aws:s3:::bucket"' not in text
    assert "Delete" not in text and "arn:aws:s3:::bucket-logs/airflow/*" in text
    others = json.dumps({user: document for user, document in found.items() if user != "logs"})
    assert "bucket-logs" not in others
    prefixes = [getattr(layout, name) for name in dir(layout) if isinstance(getattr(layout, name), str)]
    assert prefixes.count(layout.LOGS) == 1, "in the store's own bucket, too, it would reach nothing of ours"


def test_a_policy_stays_below_the_stores_prefix() -> None:
    document = policy(StoreAccess(get=("a/*",), list=("runs/",)), "bucket", "team/")
    assert document["Statement"][0] == {
        "Effect": "Allow",
        "Action": ["s3:GetObject"],
        "Resource": ["arn:aws:s3:::bucket/team/a/*"],
    }
    assert document["Statement"][1]["Condition"] == {"StringLike": {"s3:prefix": ["team/runs/*"]}}


def test_the_command_prints_policies_for_other_servers() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kubetune", "store", "policies", "--store", "s3://bucket/team"],
        capture_output=True, text=True, check=True, env=dict(os.environ),
    )  # fmt: skip
    assert set(json.loads(done.stdout)) == set(USERS)
    assert "arn:aws:s3:::bucket/team/checkpoints/*" in done.stdout


@pytest.mark.parametrize("url", ["folder", "file:///x", "s3://", "s3://key:secret@bucket"])
def test_only_a_bucket_has_users(url: str) -> None:
    with pytest.raises(ConfigError, match="s3://bucket"):
        bucket_of(url)


def folder_of(root: Path, **pairs: tuple[str, str]) -> Path:
    for user, words in pairs.items():
        (root / user).mkdir()
        for name, word in zip(("kubetune_s3_access_key", "kubetune_s3_secret_key"), words, strict=True):
            (root / user / name).write_text(word)
    return root


def test_keys_are_read_from_mounted_files(tmp_path: Path) -> None:
    folder_of(tmp_path, train=("a\n", "secret-of-a\n"), serve=("b", "secret-of-b"))
    (tmp_path / "..data").mkdir()  # how a mounted Secret looks
    keys = read_keys(tmp_path, {"train": None, "serve": None})
    assert keys == {"train": Keys("a", "secret-of-a"), "serve": Keys("b", "secret-of-b")}
    assert "secret" not in repr(keys)


def test_a_user_that_may_be_absent_is_read_where_it_is_there(tmp_path: Path) -> None:
    folder_of(tmp_path, train=("a", "secret-of-a"))
    names = {"train": None, "mirror": None}
    assert set(read_keys(tmp_path, names, {"mirror"})) == {"train"}
    folder_of(tmp_path, mirror=("b", "secret-of-b"))
    assert set(read_keys(tmp_path, names, {"mirror"})) == {"train", "mirror"}
    with pytest.raises(ConfigError, match=r"needed \(train may be absent\)"):
        read_keys(tmp_path, {"serve": None, **names}, {"train"})


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        ({"train": ("a", "secret-of-a")}, "exactly train, serve are needed"),
        ({"train": ("a", "secret-of-a"), "serve": ("b", "secret-of-b"), "x": ("c", "secret-of-c")}, "folders for"),
        ({"train": ("a", "secret-of-a"), "serve": ("a", "secret-of-b")}, "share an access key"),
        ({"train": ("a", "short"), "serve": ("b", "secret-of-b")}, "user train is too short"),
        ({"train": ("", "secret-of-a"), "serve": ("b", "secret-of-b")}, "is empty"),
    ],
)
def test_keys_that_would_limit_nobody_are_refused(
    tmp_path: Path, pairs: dict[str, tuple[str, str]], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_keys(folder_of(tmp_path, **pairs), {"train": None, "serve": None})
    assert "secret-of" not in str(caught.value)


def test_bootstrap_needs_root_keys_and_a_server() -> None:
    with pytest.raises(ConfigError, match="root keys are missing"):
        list(bootstrap_users(None, "bucket", {}, {}))
    away = S3Settings("http://127.0.0.1:9", "root", "root-secret", deadline=0.2)
    with pytest.raises(StoreUnavailableError, match="did not answer inside"):
        list(bootstrap_users(away, "bucket", {}, {}))


def say(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kubetune", "store", *words],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )


def test_policies_are_written_a_file_each_for_tools_that_want_one(tmp_path: Path) -> None:
    done = say("policies", "--store", "s3://bucket/team", "--to", str(tmp_path / "policies"))
    assert done.returncode == 0, done.stderr
    found = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "policies").iterdir()}
    assert found == policies("bucket", "team/", "bucket-logs")


def test_keys_are_drawn_once_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "users"
    assert make_keys(folder, ["train", "serve"], "bucket-team") == ["train", "serve"]
    first = read_keys(folder, {"train": None, "serve": None})
    assert first["train"].access_key == "bucket-team-train"
    assert len({pair.secret_key for pair in first.values()}) == 2 and len(first["train"].secret_key) == 40
    (folder / "serve" / "kubetune_s3_secret_key").unlink()
    assert make_keys(folder, ["train", "serve"], "bucket-team") == ["serve"]
    again = read_keys(folder, {"train": None, "serve": None})
    assert again["train"] == first["train"] and again["serve"] != first["serve"]
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("kubetune_*")}
    assert modes == {0o600} and {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o700}


def test_the_secrets_are_those_that_the_chart_asks_for() -> None:
    example = Path(__file__).parents[1] / "charts" / "kubetune" / "examples" / "existing-secrets.yaml"
    named = yaml.safe_load(example.read_text())["objectStore"]["users"]
    found = secrets_of({user: Keys(f"bucket-{user}", "secret") for user in USERS if user != "backup"}, "kubetune")
    assert {item["metadata"]["name"] for item in found} == {entry["existingSecret"] for entry in named.values()}
    assert set(found[0]["stringData"]) == {"kubetune_s3_access_key", "kubetune_s3_secret_key"}


def test_a_server_that_is_no_minio_is_told_by_its_users(tmp_path: Path) -> None:
    """The bucket is made; who may do what there is for that server's own tools."""
    with running_moto() as address:
        settings = S3Settings(f"http://{address}", "root", "root-secret", deadline=2.0)
        with pytest.raises(ConfigError, match=r"policies --to FOLDER"):
            list(bootstrap_users(settings, "bucket", {"serve": Keys("a", "secret-of-a")}, {"serve": {}}))


def test_an_unknown_user_is_none_to_draw_keys_for(tmp_path: Path) -> None:
    done = say("bootstrap", "--users", str(tmp_path / "u"), "--generate", "mirrors", "--store", "s3://bucket")
    assert done.returncode == 78 and "allowed are all, ingest" in done.stderr
    assert not (tmp_path / "u").exists()
