"""A run that is deleted while a person decides: what is cached of it makes no champion."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kubetune.config.settings import Settings
from kubetune.errors import ConfigError
from kubetune.execution.adopt import StageResult
from kubetune.execution.local import execute_plan
from kubetune.models.history import commits_of
from kubetune.plan import ManualOverride, StageCall, call_of
from kubetune.storage.cached import cached_run
from kubetune.storage.local import LocalStore
from kubetune.storage.registry import read_model
from kubetune.storage.runs import delete_run
from kubetune.storage.versions import NO_CHAMPION
from lifecycle_toys import Scene
from pipelines import Silent, toy_recipe


@dataclass
class Deciding:
    """Who approves, after somebody else has deleted the run."""

    folder: Path

    def tell(self, call: StageCall, result: StageResult) -> None:
        raise AssertionError(f"{call.stage.name} was {result.status}")

    def approve(self, call: StageCall) -> StageCall:
        assert delete_run(LocalStore(self.folder), call.run)
        return replace(call, override=ManualOverride("ada", request="r1"))


def test_a_run_deleted_while_a_person_decides_registers_nothing(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    store, settings = (
        LocalStore(tmp_path / "store"),
        Settings(store=str(tmp_path / "store"), state_dir=tmp_path / "state"),
    )
    Scene(store, tmp_path / "files", settings).commits("toy-1", "a", "a", "promote", dict(NO_CHAMPION))
    cached = cached_run(store, "toy-1")
    assert commits_of(cached, "toy-1")  # as the stages before have read them
    call = call_of("register", toy_recipe(Path("rows"), Path("model"), ["promotion.approval=true"]), "toy-1", "toy")
    with pytest.raises(ConfigError, match="which stage compare has not committed"):
        execute_plan((call,), cached, settings, Deciding(tmp_path / "store"), Silent())
    assert read_model(store, "toy") is None
