"""The store is found again from any folder, and one that is not there is an error that says where it was looked for."""

import json
from pathlib import Path

import pytest
import yaml

from commands import kubetune, last_line
from kubetune.config.load import canonical, load_recipe
from kubetune.config.settings import load_settings
from kubetune.config.user_file import find_project, read_project
from kubetune.errors import ConfigError
from kubetune.storage.local import LocalStore
from kubetune.storage.runs import create_run

READING = [
    ["runs"], ["show", "a-1"], ["why", "a-1", "train"], ["lineage", "a-1"], ["models"], ["gc"], ["delete", "a-1"],
    ["pull", "a-1"], ["compare", "a-1", "a-2"], ["endpoints"], ["open", "a-1"], ["export", "a-1", "--hf", "x"],
    ["serve", "a-1"], ["stop", "a"], ["start", "a"], ["predict", "text"], ["promote", "a@1", "--why", "so"],
    ["rollback", "a", "--why", "so"], ["store", "backup", "to"], ["tracking", "status"], ["models", "delete", "a"],
    ["endpoints", "delete", "a"], ["choose", "s", "a-1"],
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a recipe, a store that holds one run, and a folder inside."""
    folder = tmp_path / "project"
    create_run(LocalStore(folder / "held"), "a-1", canonical(load_recipe("tickets")))
    (folder / "deep" / "er").mkdir(parents=True)
    return folder


def listed(place: Path, *words: str, **environment: str) -> list[str]:
    done = kubetune(place, "runs", "--json", *words, **environment)
    assert done.returncode == 0, done.stderr
    return [line["run"] for line in json.loads(done.stdout)]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_command_that_reads_says_where_it_looked_and_makes_nothing(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kubetune.cli.app import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("sys.argv", ["kubetune", *words])
    monkeypatch.setenv("KUBETUNE_TRACKING", "local")
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    assert left.value.code == 78, said
    assert f"There is no store in {tmp_path}/kubetune-store" in said
    assert all(place in said for place in ("--store", "KUBETUNE_STORE", "kubetune.toml", "settings.yaml"))
    assert not (tmp_path / "kubetune-store").exists()


def test_a_folder_that_holds_something_else_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    assert "There is no store" in last_line(kubetune(tmp_path, "runs", "--store", "letters"))


@pytest.mark.slow
def test_a_project_file_is_found_from_below_and_is_relative_to_itself(project: Path) -> None:
    (project / "kubetune.toml").write_text('store = "held"\n', encoding="utf-8")
    assert listed(project / "deep" / "er") == ["a-1"]
    assert listed(project, KUBETUNE_STORE=str(project / "held")) == ["a-1"]
    done = kubetune(project, "runs", KUBETUNE_STORE="elsewhere")
    assert done.returncode == 78 and "project/elsewhere" in last_line(done), "a variable comes before the file"


def test_the_file_beside_a_recipe_counts_from_elsewhere(project: Path, tmp_path: Path, monkeypatch) -> None:
    (project / "kubetune.toml").write_text('store = "held"\nport = 8099\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    beside = load_settings(project)
    assert (beside.store, beside.port) == (str(project / "held"), 8099)
    assert load_settings().store == "kubetune-store"


@pytest.mark.slow
def test_a_store_is_used_from_everywhere_once_it_was_named(project: Path, tmp_path: Path) -> None:
    own = {"XDG_CONFIG_HOME": str(tmp_path / "own")}
    assert kubetune(project, "store", "use", "nowhere", **own).returncode == 78
    done = kubetune(project, "store", "use", "held", **own)
    assert done.returncode == 0, done.stderr
    written = tmp_path / "own" / "kubetune" / "settings.yaml"
    assert yaml.safe_load(written.read_text()) == {"store": str(project / "held")}
    assert written.stat().st_mode & 0o077 == 0
    assert listed(tmp_path, **own) == ["a-1"]


@pytest.mark.parametrize(
    ("text", "said"), [('s3_secret_key = "x"', "allowed are store"), ("store =", "cannot be read as TOML")]
)
def test_a_project_file_holds_places_alone(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "kubetune.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        read_project(tmp_path / "kubetune.toml")


def test_another_users_project_file_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kubetune.toml").write_text('store = "trap"\n', encoding="utf-8")
    assert find_project(tmp_path / "below") == tmp_path / "kubetune.toml"
    monkeypatch.setattr("os.getuid", lambda: (tmp_path / "kubetune.toml").stat().st_uid + 1)
    import kubetune.config.user_file as module

    monkeypatch.setattr(module, "TRUSTED", ())
    assert find_project(tmp_path / "below") is None
