"""A store with runs and a model of each kind, and MLflow's database made once: its tables take seconds."""

import shutil
from pathlib import Path

import pytest

import tracked_toys as toys
from kubetune.config.settings import Settings


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without anything of ours in it."""
    folder = tmp_path_factory.mktemp("tables")
    with toys.syncing(toys.settings_of(folder)) as syncer:
        (folder / "store").mkdir()
        assert syncer.mirror.client.get_experiment_by_name("kubetune") is None
    return folder / "store" / "mlflow.db"


@pytest.fixture
def settings(tmp_path: Path, tables: Path) -> Settings:
    """An empty store with a local mirror."""
    (tmp_path / "store").mkdir()
    shutil.copy(tables, tmp_path / "store" / "mlflow.db")
    return toys.settings_of(tmp_path)


@pytest.fixture
def filled(settings: Settings) -> Settings:
    """The same with a complete run, one that adopts it, a refused and an open one, a sweep, and a model."""
    toys.fill(settings)
    return settings
