"""A packaged toy model, made once."""

import warnings
from pathlib import Path

import pytest

import served_toys
from kubetune.serving.predictor import Predictor

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # TorchServe leaves its version file open when it is imported
    import ts.context  # noqa: F401


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_toys.toy_archive(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def pair_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_toys.toy_archive(tmp_path_factory.mktemp("pair"), pair=True)


@pytest.fixture(scope="session")
def predictor(archive: Path) -> Predictor:
    return Predictor(archive, threads=1)
