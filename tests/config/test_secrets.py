"""No secret becomes part of a recipe, and no explanation repeats one."""

import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from kubetune.behaviour.load import parse_suite
from kubetune.client.submission import recipe_for
from kubetune.config.load import parse_recipe
from kubetune.errors import ConfigError
from kubetune.orchestration.requests import PromoteRequest, RunRequest, find_recipe, read_request
from secret_toys import BROKEN, CANARY, HELD, INNOCENT, places

MINIMAL = """
name: toy
data: {source: {kind: files, paths: {all: rows.jsonl}}}
model: {source: {kind: path, path: model}}
"""


def refusal(change: str, text: str = MINIMAL) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_recipe(text, [change])
    whole = "".join(traceback.format_exception(caught.value))
    assert CANARY not in whole, whole
    assert caught.value.exit_code == 78
    return caught.value


@pytest.mark.parametrize("what", HELD)
def test_a_secret_in_a_recipe_is_refused_and_not_repeated(what: str) -> None:
    said = str(refusal(HELD[what]))
    assert "1 error" in said
    assert "recipes are stored" in said
    assert HELD[what].partition("=")[0] in said


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_is_explained_without_its_secret(what: str) -> None:
    refusal(BROKEN[what])


@pytest.mark.parametrize("change", INNOCENT)
def test_what_only_looks_like_a_secret_is_taken(change: str) -> None:
    parse_recipe(MINIMAL, [change])


def test_a_secret_does_not_hide_other_errors() -> None:
    said = str(refusal(HELD["https login"], MINIMAL + "training: {batch: many, epochs: -1}\n"))
    assert "3 errors" in said
    assert "`training.batch`" in said


def test_labels_that_look_like_an_assignment_are_taken() -> None:
    parse_recipe(MINIMAL, ["data.labels=[password, token]"])


@pytest.mark.parametrize("what", ["sql password", "https login", "hub token"])
def test_every_road_to_the_cluster_refuses(what: str, tmp_path: Path) -> None:
    for ask in (
        lambda: recipe_for("sst2", [HELD[what]], None),
        lambda: find_recipe("sst2", [HELD[what]], tmp_path),
        lambda: find_recipe(f"{MINIMAL}description: see https://u:{CANARY}@h/x\n", [], tmp_path),
        lambda: find_recipe(f"postgresql://u:{CANARY}@h/db", [], tmp_path),
        lambda: read_request(RunRequest, {"recipe": [f"https://u:{CANARY}@h/x"]}, {}),
        lambda: read_request(PromoteRequest, {"what": "a", "why": f"see https://u:{CANARY}@h/x"}, {}),
        lambda: parse_suite(f"name: https://u:{CANARY}@h/x\ntests: [https://u:{CANARY}@h/x]"),
    ):
        with pytest.raises(ConfigError) as caught:
            ask()
        assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "words",
    [
        ["validate", "toy.yaml"], ["plan", "toy.yaml"], ["run", "toy.yaml"], ["submit", "toy.yaml"],
        ["stage", "ingest", "--run", "toy-1", "--recipe", "toy.yaml", "--set"],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_no_command_keeps_or_prints_it(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "toy.yaml").write_text(MINIMAL, encoding="utf-8")
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBETUNE_TRACKING", "local")
    monkeypatch.setenv("KUBETUNE_TERMINATION_LOG", str(log))
    for change in (*list(HELD.values())[::6], *list(BROKEN.values())[::4]):
        assert ended([*words, change], monkeypatch) == 78
    said = capsys.readouterr()
    assert CANARY not in said.out + said.err
    assert places(tmp_path) == []
    assert not list(tmp_path.rglob("run.json"))


def ended(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Exit code of a command in this process."""
    from kubetune.cli.app import main

    monkeypatch.setattr(sys, "argv", ["kubetune", *words])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code
