"""Which MLflow the settings name, what is refused, and what a server that is not there comes to."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import tracked_toys as toys
from kubetune.config.settings import Settings, load_settings
from kubetune.errors import ConfigError, TemporaryError, TrackingAwayError
from kubetune.tracking.target import explained_response, locked, tracking_target

pytestmark = pytest.mark.filterwarnings("default")  # MLflow uses what its own libraries call deprecated


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds where nobody names an MLflow; tests elsewhere say `none`."""
    monkeypatch.delenv("KUBETUNE_TRACKING")


def kubetune(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kubetune", *words],
        capture_output=True, text=True, check=False, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def test_a_store_in_a_folder_is_mirrored_beside_it_and_one_in_s3_is_not(tmp_path: Path) -> None:
    folder = tracking_target(Settings(store=str(tmp_path)))
    assert folder is not None
    assert (folder.uri, folder.lock) == (f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "mlflow.lock")
    assert tracking_target(Settings(store=tmp_path.as_uri())) == folder
    assert tracking_target(Settings(store="s3://bucket")) is None
    assert tracking_target(Settings(store=str(tmp_path), tracking="none")) is None
    server = tracking_target(Settings(store="s3://bucket", tracking="https://mlflow.example.com/base/"))
    assert server is not None
    assert server.uri == "https://mlflow.example.com/base"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"store": "s3://bucket", "tracking": "local"}, "needs a store in a folder"),
        ({"tracking": "sqlite:///x.db"}, "allowed are none, local and http(s)"),
        ({"tracking": "http://anna:secret@host"}, "KUBETUNE_TRACKING_USER"),
        ({"tracking": "http://example.com", "offline": True}, "KUBETUNE_OFFLINE"),
        ({"tracking": "http://example.com", "tracking_user": "anna"}, "belong together"),
        ({"tracking": "https://example.com", "ca_bundle": Path("/none.pem")}, "name a PEM file"),
        ({"store": "/a?b"}, "without ?, # and %"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(
        ConfigError, match=sentence.replace("(", "\\(").replace(")", "\\)").replace("?", "\\?")
    ) as found:
        tracking_target(Settings(**settings))
    assert "secret" not in str(found.value)


def test_answers_become_exit_codes_and_hide_passwords(tmp_path: Path) -> None:
    target = tracking_target(Settings(store=str(tmp_path), tracking="http://127.0.0.1:1"))
    assert target is not None
    away = explained_response(target, 503, "http://anna:secret@host is away")
    assert (type(away), away.exit_code) == (TrackingAwayError, 69)
    assert "secret" not in str(away)
    assert [explained_response(target, status, "").exit_code for status in (401, 403, 429, 400)] == [78, 78, 69, 70]


def test_one_process_mirrors_at_a_time(tmp_path: Path) -> None:
    target = tracking_target(Settings(store=str(tmp_path)))
    assert target is not None
    with locked(target), pytest.raises(TemporaryError, match="Another process"), locked(target, wait_s=0.0):
        pass
    with locked(target, wait_s=0.0):
        pass


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBETUNE_TRACKING", "https://mlflow.example.com")
    monkeypatch.setenv("KUBETUNE_TRACKING_PASSWORD", "pass-1234")
    assert "pass-1234" not in repr(load_settings())
    assert load_settings().tracking == "https://mlflow.example.com"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "no-such-host.invalid:80"])
def test_a_server_that_is_not_there_is_69_and_the_store_keeps_all(tmp_path: Path, host: str) -> None:
    settings = toys.settings_of(tmp_path)
    toys.whole_run(toys.store_of(settings), "toy-1")
    address = "http://" + host.format(port=free_port())
    started = time.monotonic()
    done = kubetune("tracking", "sync", "--store", settings.store, KUBETUNE_TRACKING=address)
    assert done.returncode == 69, done.stderr
    assert "nothing is lost" in last_line(done)
    assert time.monotonic() - started < 60
    later = kubetune("tracking", "sync", "--store", settings.store, KUBETUNE_TRACKING="local")
    assert later.returncode == 0, later.stderr
    assert later.stdout.startswith("1 runs and 0 models mirrored")
    status = kubetune("tracking", "status", "--json", "--store", settings.store, KUBETUNE_TRACKING="local")
    assert json.loads(status.stdout)["runs"] == []


@pytest.mark.slow
def test_the_mirror_beside_a_run_ends_after_it_and_has_its_last_state(tmp_path: Path) -> None:
    settings = toys.settings_of(tmp_path)
    run = (
        "import sys; from pathlib import Path; import tracked_toys as toys\n"
        "from kubetune.tracking import beside\n"
        "settings = toys.settings_of(Path(sys.argv[1]))\n"
        "print(beside.start_beside(settings, 'toy-1'))\n"
        "toys.whole_run(toys.store_of(settings), 'toy-1')\n"
        "assert not [name for name in sys.modules if name.startswith('mlflow')]\n"
        "assert beside._started[0].poll() is None, 'the run waited for its mirror'\n"
    )
    environment = {**os.environ, "KUBETUNE_TRACKING": "local", "KUBETUNE_STATE_DIR": str(tmp_path / "state")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", run, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    log = Path(done.stdout.strip())
    end = time.monotonic() + 120
    while toys_missing(settings):
        assert time.monotonic() < end, log.read_text("utf-8")
        time.sleep(1)
    assert toys.contents(settings)["runs"]["toy-1"]["times"][0] == "FINISHED"


def toys_missing(settings: Settings) -> bool:
    with toys.syncing(settings) as syncer:
        return bool(syncer.missing()[0])
