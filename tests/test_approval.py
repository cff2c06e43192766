"""Who is asked before a model is registered, and who no longer: by the history's word, and by the command itself."""

import getpass
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import kubetune.execution.local
import toys
from kubetune.cli.promote import Terminal
from kubetune.clock import clock
from kubetune.config.load import parse_recipe
from kubetune.errors import ConfigError, KubetuneError
from kubetune.execution.local import execute_plan
from kubetune.execution.run import StageResult, open_configured_store
from kubetune.models.register import known, try_again, withdraw
from kubetune.plan import ManualOverride, StageCall, call_of
from kubetune.storage.base import Store
from kubetune.storage.blobs import File
from kubetune.storage.commit_record import Commit
from kubetune.storage.commits import create_commit
from kubetune.storage.local import LocalStore
from kubetune.storage.registry import (
    BY_PERSON,
    Event,
    RegisteredModel,
    Version,
    change_model,
    demote,
    set_champion,
    with_version,
)
from kubetune.storage.runs import create_run
from pipelines import TOY, Silent, run_plan, settings_of, toy_recipe

AT = "2026-01-01T00:00:00Z"
OURS, OTHERS = "a" * 64, "b" * 64
ADVISED = re.compile(r"`(kubetune stage [^`]*)` gives it, then repeat this `kubetune run` with `(--run [^`]*)`")


class Desk:
    """A store with the archive of run `toy-1`, whose recipe asks for approval, and a person who counts questions."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = settings_of(folder)
        self.store: Store = open_configured_store(self.settings)
        recipe = toy_recipe(folder / "rows.jsonl", folder / "model", ["promotion.approval=true"])
        self.call = call_of("register", recipe, "toy-1")
        files = {"archive": (File("archive.json", 1, OURS),)}
        create_commit(self.store, Commit(run="toy-1", stage="package", key="k" * 64, outputs=files))
        self.tell: Callable[[StageCall, StageResult], None] = lambda call, result: None
        self.words: list[ManualOverride | None] = []

        def register(call: StageCall, *_: object, **__: object) -> StageResult:
            self.words.append(call.override)
            return StageResult("effect", Commit(run=call.run, stage="register", key=""))

        monkeypatch.setattr(kubetune.execution.local, "run_stage", register)

    def approve(self, call: StageCall) -> StageCall:
        return replace(call, override=ManualOverride("asked"))

    def word(self) -> ManualOverride | None:
        """The word with which a walk registers."""
        execute_plan((self.call,), self.store, self.settings, self, Silent())
        return self.words[-1]

    def promote(self, archive: str, by: str, run: str = "toy-1") -> None:
        def change(model: RegisteredModel) -> tuple[RegisteredModel, Event]:
            version = Version(0, run, archive, archive, "d" * 64, "promote", AT)
            model, version = with_version(model, version)
            return set_champion(model, version.number), Event("promoted", AT, by)

        change_model(self.store, "toy", change)

    def roll_back(self) -> None:
        change_model(self.store, "toy", lambda model: (demote(model, BY_PERSON), Event("rolled-back", AT, "carl")))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_a_person_is_asked_until_the_archive_is_the_champion(desk: Desk) -> None:
    assert desk.word() == ManualOverride("asked")
    desk.promote(OTHERS, "anna", run="toy-0")
    assert desk.word() == ManualOverride("asked")
    desk.promote(OURS, "berta")
    assert desk.word() == ManualOverride("berta"), "without the reason that would stand above a decision"


def test_a_champion_needs_no_approval_though_a_run_that_asks_nobody_made_it(desk: Desk) -> None:
    """Registering it again changes no history, so that a question would come back for ever."""
    desk.promote(OURS, "toy-0", run="toy-0")
    assert desk.word() == ManualOverride("toy-0")


def test_an_agreement_ends_once_somebody_chose_another_version(desk: Desk) -> None:
    desk.promote(OURS, "berta")
    desk.promote(OTHERS, "anna", run="toy-2")
    assert desk.word() == ManualOverride("asked")
    desk.roll_back()
    assert desk.word() == ManualOverride("carl"), "who brought it back"


def test_an_agreement_ends_with_a_rollback(desk: Desk) -> None:
    desk.promote(OURS, "berta")
    desk.roll_back()
    assert desk.word() == ManualOverride("asked")


def test_an_agreement_outlives_a_champion_that_did_not_become_ready(desk: Desk) -> None:
    desk.promote(OTHERS, "anna", run="toy-0")
    desk.promote(OURS, "berta")
    withdraw(desk.store, "toy", OURS, AT, "no answer")
    assert desk.word() == ManualOverride("berta")
    try_again(desk.store, "toy", OURS, AT)
    assert desk.word() == ManualOverride("berta")
    withdraw(desk.store, "toy", OURS, AT, "no answer")
    desk.promote(OTHERS, "anna", run="toy-0")
    assert desk.word() == ManualOverride("asked")


def test_a_runs_name_is_no_persons_agreement(desk: Desk) -> None:
    create_run(desk.store, "toy-0", {"name": "toy"})
    desk.promote(OURS, "toy-0")
    withdraw(desk.store, "toy", OURS, AT, "no answer")
    assert desk.word() == ManualOverride("asked")


def test_a_broken_history_is_not_taken_for_an_agreement(desk: Desk) -> None:
    desk.promote(OURS, "berta")
    desk.store.put("models/toy.json", b"{")
    with pytest.raises(KubetuneError):
        desk.word()


@pytest.mark.parametrize(
    ("endpoint", "store", "options"),
    [
        (None, None, ""),
        ("other", None, " --endpoint other"),
        ("toy", "s3://bucket/a", " --store s3://bucket/a"),
        ("other", "my runs", " --endpoint other --store 'my runs'"),
    ],
)
def test_the_advice_names_what_the_command_line_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str | None, store: str | None, options: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    call = call_of("register", toy_recipe(tmp_path, tmp_path), "toy-1", endpoint)
    with pytest.raises(ConfigError) as caught:
        Terminal(lambda call, result: None, store).approve(call)
    command, again = ADVISED.search(str(caught.value)).groups()
    assert command == f"kubetune stage register --run toy-1{options} --by NAME"
    assert again == "--run toy-1"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    """A folder with a recipe that asks for approval, and a store with all that its runs adopt."""
    folder = tmp_path_factory.mktemp("approval")
    data = toys.write_jsonl(folder / "rows.jsonl", toys.toy_rows(200))
    text = TOY.format(data=data, model=toy_model) + "promotion: {approval: true}\n"
    (folder / "toy.yaml").write_text(text, encoding="utf-8")
    settings = settings_of(folder).model_copy(update={"store": str(folder / "kubetune-store")})
    run_plan(parse_recipe(text), "made", open_configured_store(settings), settings)
    shutil.copytree(folder / "kubetune-store", folder / "else where")
    return folder


def kubetune_in(place: Path, *words: str, typed: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command without a terminal, or with one at which this was typed."""
    ours, theirs = os.openpty()
    try:
        os.write(ours, typed or b"")
        return subprocess.run(
            [sys.executable, "-m", "kubetune", *words], stdin=subprocess.DEVNULL if typed is None else theirs,
            cwd=place, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)


def history(place: Path, model: str, store: str = "kubetune-store") -> list[dict[str, object]]:
    return [dict(line) for line in known(LocalStore(place / store), model).history]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "store", "model"),
    [([], "kubetune-store", "toy"), (["--store", "else where", "--endpoint", "other"], "else where", "other")],
)
def test_what_the_error_advises_finishes_the_run(place: Path, options: list[str], store: str, model: str) -> None:
    words = ["run", "toy.yaml", "--until", "register", *options]
    first = kubetune_in(place, *words)
    assert first.returncode == 78, first.stderr
    advised, again = ADVISED.search(first.stderr.strip().splitlines()[-1]).groups()
    program, *approve = shlex.split(advised.replace("NAME", "'Anna Ott'"))
    assert program == "kubetune"
    assert kubetune_in(place, *words, *shlex.split(again)).returncode == 78, "nobody has approved it yet"
    approved = kubetune_in(place, *approve)
    assert approved.returncode == 0, approved.stderr
    for repeated in ([*words, *shlex.split(again)], words):  # a new run of it makes the same archive
        done = kubetune_in(place, *repeated)
        assert done.returncode == 0, done.stderr
        assert re.search(r"^register +done", done.stdout, re.MULTILINE)
    (line,) = history(place, model, store)
    assert (line["event"], line["by"], line["version"]) == ("promoted", "Anna Ott", 1)


@pytest.mark.slow
def test_a_yes_at_the_terminal_is_recorded_and_asked_for_once(place: Path) -> None:
    words = ["run", "toy.yaml", "--run", "says-yes", "--until", "register", "--endpoint", "says-yes"]
    before = clock()
    done = kubetune_in(place, *words, typed=b"y\n")
    assert done.returncode == 0, done.stderr
    assert "Register run says-yes and let it serve says-yes? [y/N]" in done.stdout
    (line,) = history(place, "says-yes")
    assert (line["event"], line["by"], line["version"]) == ("promoted", getpass.getuser(), 1)
    assert before <= str(line["at"]) <= clock()
    again = kubetune_in(place, *words, typed=b"")
    assert again.returncode == 0, again.stderr
    assert "Register run" not in again.stdout
    assert history(place, "says-yes") == [line]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "code", "sentence"),
    [
        (b"n\n", 99, f"was not approved by {getpass.getuser()}: nothing was changed"),
        (b"\n", 99, f"was not approved by {getpass.getuser()}: nothing was changed"),
        (b"\x04", 78, "the input ended without an answer: `kubetune stage register"),
    ],
)
def test_whatever_is_no_yes_changes_nothing(place: Path, typed: bytes, code: int, sentence: str) -> None:
    words = ["run", "toy.yaml", "--run", "says-no", "--until", "register", "--endpoint", "says-no"]
    done = kubetune_in(place, *words, typed=typed)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr.strip().splitlines()[-1]
    with pytest.raises(ConfigError, match="'says-no' is not registered"):
        history(place, "says-no")
