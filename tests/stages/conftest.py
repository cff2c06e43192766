"""A packaged toy model and the inputs of a comparison with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import served_toys
from compared_toys import World
from prepared_toys import preparer


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real archive beside the inputs that it was packaged from."""
    return served_toys.toy_archive(tmp_path_factory.mktemp("champion"))


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Scoring sets the threads of the whole process."""
    before = torch.get_num_threads()
    monkeypatch.setattr("kubetune.serving.golden.rescoring.cpu_quota_threads", lambda: 1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def world(tmp_path: Path, archive: Path, one_thread: None) -> World:
    """The inputs of a comparison, to be filled."""
    return World(tmp_path, archive)


@pytest.fixture
def prepare(tmp_path: Path, toy_model: Path) -> Any:
    """Call the body on raw rows by split: `prepare({"all": rows}, "section.key=value", …)`."""
    return preparer(tmp_path, toy_model)
