"""What `kubetune run` tells: begun, failed, decided, each once; a run with a dead sink ends as it would without."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from kubetune.config.settings import Settings
from kubetune.errors import ConfigError, DataError, InterruptedRunError, NothingToDoError, RefusedError
from kubetune.execution.local import StageFailedError, new_run
from kubetune.execution.run import StageResult, open_configured_store
from kubetune.notifications.announce import announce
from kubetune.notifications.events import Notice, started_notice
from kubetune.notifications.local_run import announced
from kubetune.storage.base import Store
from kubetune.storage.commit_record import Commit
from kubetune.storage.runs import delete_run, record_attempt
from notifications.post_office import PostOffice, post_office
from pipelines import toy_recipe

ROW = "my name is Ada and my number is 555-0199"


class World:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(store=str(folder / "store"), notices=SecretStr("json://h/"), state_dir=folder)
        self.store: Store = open_configured_store(self.settings)
        self.recipe = toy_recipe(folder / "rows.csv", folder / "model")
        self.run = new_run(self.store, self.recipe)
        self.heard: list[Notice] = []
        self.stopped = False
        monkeypatch.setattr("kubetune.notifications.local_run.announce", lambda _, notice: self.heard.append(notice))

    def walk(self, error: BaseException | None = None, *results: tuple[str, StageResult]) -> list[Notice]:
        """What one walk tells that was not told before it."""
        known = {notice.key for notice in self.heard}
        with announced(self.settings, self.store, self.run, lambda: self.stopped, 0) as noted:
            tell = noted(lambda call, result: None)
            for name, result in results:
                tell(SimpleNamespace(stage=SimpleNamespace(name=name)), result)  # type: ignore[arg-type]
            if error is not None:
                raise error
        return [notice for notice in self.heard if notice.key not in known]

    def failing(self, error: BaseException, *results: tuple[str, StageResult]) -> list[Notice]:
        known = {notice.key for notice in self.heard}
        with pytest.raises(type(error)):
            self.walk(error, *results)
        return [notice for notice in self.heard if notice.key not in known and notice.kind != "started"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def compared(outcome: str, **facts: object) -> tuple[str, StageResult]:
    found = {"outcome": outcome, "reasons": ["Too few rows."], **facts}
    commit = Commit(run="toy-1", stage="compare", key="k" * 64, fields={}, inputs={}, outputs={}, facts=found,
                    metrics={"accuracy": 0.9})  # fmt: skip
    return "compare", StageResult("ran", commit)


def test_a_run_that_goes_on_has_begun_once_and_a_repeated_one_again(world: World) -> None:
    (notice,) = world.walk()
    assert (notice.kind, notice.title, notice.lines) == ("started", "kubetune: toy-1 started", ("Recipe toy.",))
    assert world.walk() == []
    delete_run(world.store, world.run)
    time.sleep(0.02)
    assert new_run(world.store, world.recipe) == world.run
    assert [again.kind for again in world.walk()] == ["started"]


def test_a_decision_is_told_once(world: World) -> None:
    first = world.walk(None, compared("undecided"))
    assert [notice.kind for notice in first] == ["started", "undecided"]
    assert first[1].lines == ("Too few rows.",)
    assert first[1].rows == (("accuracy", "0.9"),)
    assert world.walk(None, compared("undecided")) == []
    assert [notice.kind for notice in world.failing(NothingToDoError("kept"), compared("keep"))] == ["keep"]


def packaged() -> tuple[str, StageResult]:
    commit = Commit(run="toy-1", stage="package", key="p" * 64, fields={}, inputs={}, outputs={})
    return "package", StageResult("ran", commit)


def registered() -> tuple[str, StageResult]:
    moved = {"event": "promoted", "name": "toy", "version": 2, "former": 1, "why": "better", "epoch": 3, "at": "now"}
    commit = Commit(run="toy-1", stage="register", key="r" * 64, fields={}, inputs={}, outputs={},
                    facts={"moved": moved}, metrics={})  # fmt: skip
    return "register", StageResult("ran", commit)


def test_a_moved_champion_is_told_once(world: World) -> None:
    _, decided, moved = world.walk(None, compared("promote"), registered())
    assert [decided.kind, moved.kind] == ["promote", "promoted"]
    assert moved.title == "kubetune: toy version 2 is the champion"
    assert moved.lines == ("Of run toy-1.", "Before: version 1.", "better")
    assert world.walk(None, compared("promote"), registered()) == []


def test_a_promotion_that_is_not_made_after_all_is_told_once(world: World) -> None:
    world.walk(None, compared("promote"))
    overtaken = NothingToDoError("Run toy-1 was compared with version 1, and version 2 is the champion now.")
    (notice,) = world.failing(overtaken, compared("promote"), packaged())
    assert (notice.kind, notice.title) == ("keep", "kubetune: toy-1 is not promoted, the champion stays")
    assert notice.lines == (str(overtaken),)
    assert world.failing(overtaken, compared("promote"), packaged()) == []


def test_a_commit_without_a_decision_tells_nothing_and_ends_nothing(world: World) -> None:
    assert [notice.kind for notice in world.walk(None, compared("won"))] == ["started"]


def test_a_stages_failure_has_its_reason_and_is_told_once_an_attempt(world: World) -> None:
    record_attempt(world.store, world.run, "train", "20260101T000000-a", {"exit_code": 78, "reason": "gpus is 9"})
    (notice,) = world.failing(StageFailedError("train", 78))
    assert (notice.title, notice.stage) == ("kubetune: train of toy-1 failed", "train")
    assert notice.lines == ("gpus is 9", "kubetune show toy-1 · kubetune why toy-1 train")
    assert world.failing(StageFailedError("train", 78)) == []
    record_attempt(world.store, world.run, "train", "20260102T000000-a", {"exit_code": 78, "reason": "gpus is 9"})
    assert len(world.failing(StageFailedError("train", 78))) == 1


@pytest.mark.parametrize(
    ("code", "reason", "shown"),
    [
        (65, f"Column {ROW} is absent [rule: missing-column]", "Bad data, rule missing-column: the stage's log says"),
        (70, ROW, "An error of kubetune (KeyError): the stage's log says where."),
        (137, ROW, "It ended with 137 (SIGKILL): see its log."),
    ],
)
def test_a_row_of_data_is_never_told(world: World, code: int, reason: str, shown: str) -> None:
    facts = {"exit_code": code, "reason": reason, "kind": "KeyError"}
    record_attempt(world.store, world.run, "prepare", "20260101T000000-a", facts)
    (notice,) = world.failing(StageFailedError("prepare", code))
    assert notice.lines[0].startswith(shown)
    assert "Ada" not in notice.title + notice.body()


def test_an_older_attempts_reason_is_not_that_of_a_kill(world: World) -> None:
    record_attempt(world.store, world.run, "train", "20260101T000000-a", {"exit_code": 78, "reason": "gpus is 9"})
    (notice,) = world.failing(StageFailedError("train", 137))
    assert "gpus" not in notice.body()
    assert len(world.failing(StageFailedError("train", 137))) == 1


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (RefusedError("Stage evaluate of run toy-1: accuracy is 0.1"), "Stage evaluate of run toy-1: accuracy is 0.1"),
        (ConfigError("No such store."), "No such store."),
        (DataError("x-y", ROW), "Bad data, rule x-y: the stage's log says where."),
    ],
)
def test_what_ends_the_walk_itself_is_told(world: World, error: Exception, shown: str) -> None:
    (notice,) = world.failing(error)
    assert notice.lines[0] == shown
    assert world.failing(error) == []


def test_what_somebody_stopped_is_no_failure(world: World) -> None:
    world.stopped = True
    assert world.failing(StageFailedError("train", 75)) == []


def test_a_store_that_is_away_does_not_end_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("kubetune.notifications.local_run.read_run", away)
    assert world.walk() == []


def test_a_request_to_stop_is_heard_while_a_notice_is_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise InterruptedRunError("Stopped by SIGINT.")

    monkeypatch.setattr("kubetune.notifications.local_run.read_run", stopped)
    with pytest.raises(InterruptedRunError):
        world.walk()
    monkeypatch.setattr("kubetune.notifications.announce.sinks_of", stopped)
    with pytest.raises(InterruptedRunError):
        announce(world.settings, started_notice("a"))


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with post_office() as found:
        yield found


@pytest.fixture
def run_command(tmp_path: Path) -> Callable[..., tuple[int, float, str]]:
    """Runs `kubetune run` on a file that `ingest` refuses; exit code, seconds, standard error."""
    (tmp_path / "rows.csv").write_text(f"text,label\n{ROW},1,too,many\n")
    recipe = tmp_path / "bad.yaml"
    recipe.write_text(
        f"name: bad\ndata: {{source: {{kind: files, paths: {{all: {tmp_path}/rows.csv}}}}}}\n"
        f"model: {{source: {{kind: path, path: {tmp_path}}}}}\n"
    )

    def run(notices: str) -> tuple[int, float, str]:
        env = {**os.environ, "KUBETUNE_NOTICES": notices, "KUBETUNE_STATE_DIR": str(tmp_path / "state")}
        command = [sys.executable, "-m", "kubetune", "run", str(recipe), "--store", str(tmp_path / "store")]
        begun = time.monotonic()
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, time.monotonic() - begun, done.stderr

    return run


@pytest.mark.slow
def test_the_command_tells_of_its_beginning_and_its_failure(
    office: PostOffice, run_command: Callable[..., tuple[int, float, str]], tmp_path: Path
) -> None:
    code, _, error = run_command(office.address)
    assert code == 65, error
    assert office.titles == ["kubetune: bad-1 started", "kubetune: ingest of bad-1 failed"]
    assert "Bad data, rule " in str(office.taken[1]["message"])
    assert "Ada" not in str(office.taken)
    assert not list((tmp_path / "state" / "notices" / "todo").iterdir())


@pytest.mark.slow
def test_a_dead_sink_changes_neither_code_nor_last_line(
    run_command: Callable[..., tuple[int, float, str]], tmp_path: Path
) -> None:
    code, _, error = run_command("json://127.0.0.1:1/")
    assert code == 65
    assert "[rule: " in error.splitlines()[-1]
    assert len(list((tmp_path / "state" / "notices" / "todo").iterdir())) == 2
    assert "was not taken by json" in (tmp_path / "state" / "notices" / "log").read_text()
