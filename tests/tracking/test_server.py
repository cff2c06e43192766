"""The mirror against a real MLflow server: `make test-tracking` starts one with users and passwords."""

import os
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import tracked_toys as toys
from fault_proxy import proxy_to
from kubetune.config.settings import Settings
from kubetune.errors import ConfigError, TrackingAwayError

SERVER = os.environ.get("KUBETUNE_TEST_MLFLOW", "")
pytestmark = [
    pytest.mark.skipif(not SERVER, reason="needs KUBETUNE_TEST_MLFLOW=http://user:password@127.0.0.1:port"),
    pytest.mark.filterwarnings("default"),
]


def settings_for(folder: Path, url: str | None = None, **more: str) -> Settings:
    """Each test has a store and an experiment of its own; models are the server's, so it removes them."""
    parts = urlsplit(SERVER)
    (folder / "store").mkdir()
    named = {"tracking_user": parts.username, "tracking_password": parts.password, **more}
    url = url or f"http://{parts.hostname}:{parts.port}"
    return toys.settings_of(folder, tracking=url, tracking_experiment=f"test-{uuid.uuid4().hex[:8]}", **named)


@pytest.fixture
def filled(tmp_path: Path):
    settings = settings_for(tmp_path)
    toys.fill(settings)
    yield settings
    with toys.syncing(settings) as syncer:
        for name in syncer.mirror.found_models():
            syncer.mirror.remove_model(name)


def test_a_server_holds_what_a_local_database_does(filled: Settings) -> None:
    assert toys.sync(filled).refused == {}
    served = toys.contents(filled)
    assert (toys.sync(filled).runs, toys.contents(filled)) == ([], served)
    with toys.syncing(filled) as syncer:
        assert syncer.rebuild().refused == {}
    assert toys.contents(filled) == served
    local = filled.model_copy(update={"tracking": "local"})
    toys.sync(local)
    assert toys.contents(local) == served


def test_a_wrong_password_is_said_in_a_sentence(filled: Settings) -> None:
    wrong = Settings(**{**filled.model_dump(), "tracking_password": "wrong-password"})
    with pytest.raises(ConfigError, match="refuses the user") as found:
        toys.sync(wrong)
    assert "wrong-password" not in str(found.value)


def test_an_outage_in_the_middle_is_made_good(filled: Settings) -> None:
    with proxy_to(urlsplit(SERVER).netloc.rpartition("@")[2]) as proxy:
        behind = filled.model_copy(update={"tracking": proxy.url})
        with toys.syncing(behind) as syncer:
            proxy.add("reset", "log-batch", times=20)
            with pytest.raises(TrackingAwayError, match="nothing is lost"):
                syncer.once()
            proxy.faults.clear()
            proxy.add("swallow", "runs/create", times=1)  # made, and the answer lost
            syncer.once()
            syncer.forget()
            assert syncer.once().refused == {}
    healed = toys.contents(filled)
    with toys.syncing(filled) as syncer:
        syncer.rebuild()
    assert toys.contents(filled) == healed
