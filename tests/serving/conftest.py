"""A packaged toy model, made once."""

from pathlib import Path

import pytest
import served_toys

from kubetune.serving.predictor import Predictor


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_toys.toy_archive(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def pair_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_toys.toy_archive(tmp_path_factory.mktemp("pair"), pair=True)


@pytest.fixture(scope="session")
def predictor(archive: Path) -> Predictor:
    return Predictor(archive, threads=1)
