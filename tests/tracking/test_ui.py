"""MLflow's page over the local mirror: a real server where MLflow is whole, a true sentence where it is not."""

import os
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from kubetune.config.settings import Settings
from kubetune.errors import ConfigError
from kubetune.tracking import ui
from kubetune.tracking.target import DATABASE, client_of, tracking_target
from mlflow_server import free_port

pytestmark = pytest.mark.filterwarnings("default")  # MLflow uses what its own libraries call deprecated
PYTHON = os.environ.get("KUBETUNE_TEST_MLFLOW_PYTHON")


def test_the_light_extra_says_what_it_cannot_and_where_a_page_comes_from(tmp_path: Path) -> None:
    found = find_spec("mlflow")
    assert found is not None and found.origin is not None
    whole = (Path(found.origin).parent / ui.PAGE).is_file()
    if whole:
        assert ui.server_program(Settings(store=str(tmp_path)))[1:] == ["-m", "mlflow"]
        return
    with pytest.raises(ConfigError, match=r"shows nothing.*kubetune\[ui\].*KUBETUNE_MLFLOW"):
        ui.server_program(Settings(store=str(tmp_path)))


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"KUBETUNE_MLFLOW names .*nowhere, which is no file"):
        ui.server_program(Settings(store=str(tmp_path), mlflow=tmp_path / "nowhere"))


def test_nothing_is_served_before_anything_was_mirrored(tmp_path: Path) -> None:
    settings = Settings(store=str(tmp_path / "store"), tracking="local")
    target = tracking_target(settings)
    assert target is not None
    with (
        pytest.raises(ConfigError, match="kubetune tracking sync"),
        ui.served(target, settings, free_port(), lambda: False),
    ):
        pass
    assert not (tmp_path / "store" / DATABASE).exists()


@pytest.mark.slow
def test_a_whole_mlflow_shows_the_mirror(tmp_path: Path) -> None:
    if PYTHON is None:
        pytest.skip("needs KUBETUNE_TEST_MLFLOW_PYTHON")
    program = Path(PYTHON).with_name("mlflow")
    settings = Settings(store=str(tmp_path / "store"), tracking="local", mlflow=program)
    target = tracking_target(settings)
    assert target is not None
    with client_of(target, settings) as client:
        client().create_experiment("shown")
    with (
        ui.served(target, settings, free_port(), lambda: False) as url,
        urllib.request.urlopen(url, timeout=30) as page,
    ):
        assert b'<div id="root"' in page.read()
