"""`kubetune store backup` and `restore` as an operator types them: a run list and a champion in an empty store."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from champion_toys import served_world
from kubetune.cli.app import app
from kubetune.errors import ConfigError, KubetuneError
from kubetune.storage.open import open_store
from kubetune.storage.runs import create_run
from s3_server import S3Server


def say(*words: str) -> Result:
    done = CliRunner().invoke(app, [*words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_a_restored_store_has_runs_and_champion_and_promotes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = served_world(tmp_path, monkeypatch)
    create_run(world.store, "run-1", {"name": "toy"})
    backup, restored = str(tmp_path / "backup"), str(tmp_path / "restored")
    done = say("store", "backup", backup, "--store", world.store.url)
    assert done.stdout.splitlines()[-1].startswith(
        f"{Path(backup).as_uri()} has 1 runs and 1 models of {world.store.url}"
    )
    done = say("store", "restore", backup, "--store", restored)
    assert f"{Path(restored).as_uri()} has 1 runs and 1 models" in done.stdout
    listed = {item["run"] for item in json.loads(say("runs", "--json", "--store", restored).stdout)}
    assert listed == {"run-1"}
    (model,) = json.loads(say("models", "--json", "--store", restored).stdout)
    assert model["aliases"]["champion"] == 3
    world.store, world.serving = open_store(restored), None  # type: ignore[assignment]
    world.promote(2)
    assert world.serving == 2, "an archive of the backup serves"


def test_the_backup_may_lie_on_another_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moto_server: S3Server
) -> None:
    world = served_world(tmp_path, monkeypatch)
    monkeypatch.setenv("KUBETUNE_BACKUP_S3_ENDPOINT", f"http://{moto_server.address}")
    with pytest.raises(ConfigError, match="KUBETUNE_BACKUP_S3_ACCESS_KEY and KUBETUNE_BACKUP_S3_SECRET_KEY"):
        say("store", "backup", f"s3://{moto_server.bucket}/backup", "--store", world.store.url)
    monkeypatch.setenv("KUBETUNE_BACKUP_S3_ACCESS_KEY", moto_server.access_key)
    monkeypatch.setenv("KUBETUNE_BACKUP_S3_SECRET_KEY", moto_server.secret_key)
    done = say("store", "backup", f"s3://{moto_server.bucket}/backup", "--store", world.store.url, "--json")
    assert json.loads(done.stdout)["models"] == 1
    restored = str(tmp_path / "restored")
    say("store", "restore", f"s3://{moto_server.bucket}/backup", "--store", restored)
    (model,) = json.loads(say("models", "--json", "--store", restored).stdout)
    assert model["aliases"]["champion"] == 3


def test_a_folder_that_is_no_backup_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KubetuneError, match="holds no run, no model and no upload") as caught:
        say("store", "restore", str(tmp_path / "typo"), "--store", str(tmp_path / "store"))
    assert caught.value.exit_code == 78
