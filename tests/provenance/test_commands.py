"""`signing-key`, `verify` and `lineage` as a person types them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import chain_toys
from kubetune.cli.app import app
from kubetune.config.settings import Settings
from kubetune.errors import ConfigError, DataError, KubetuneError
from kubetune.models.sign import sign_and_store, statement_of_run
from kubetune.provenance.chain import chain_of
from kubetune.storage import commits
from kubetune.storage.local import LocalStore
from kubetune.storage.registry import Event, RegisteredModel, Version, change_model, set_champion, with_version
from kubetune.storage.runs import create_run, delete_run
from kubetune.storage.versions import FORMAT, put_document

ARCHIVE = chain_toys.digest("file", "archive")


def say(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    if isinstance(done.exception, KubetuneError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A store with the run tweets-1."""
    store = LocalStore(tmp_path / "store")
    create_run(store, "tweets-1", {"name": "tweets"})
    for commit in chain_toys.commits("tweets-1").values():
        commits.create_commit(store, commit)
    return str(tmp_path / "store")


def test_a_pair_of_keys_signs_and_verifies_a_run(folder: str, tmp_path: Path, monkeypatch) -> None:
    told = json.loads(say("signing-key", str(tmp_path / "keys"), "--json"))
    assert Path(told["private"]).is_file() and len(told["key_id"]) == 64
    assert "signing.pub" in say("signing-key", str(tmp_path / "more"))
    with pytest.raises(DataError, match="has no statement as model tweets in"):
        say("verify", "tweets-1", "--key", told["public"], "--store", folder)
    store = LocalStore(Path(folder))
    sign_and_store(store, Settings(signing_key=told["private"]), statement_of_run(store, "tweets-1", "tweets"))
    told_valid = say("verify", "tweets-1", "--key", told["public"], "--store", folder)
    assert told_valid.startswith(f"valid: archive {ARCHIVE[:12]} is signed as model tweets by a trusted key\n")
    with pytest.raises(DataError, match="has no statement as model topics"):
        say("verify", "tweets-1", "--endpoint", "topics", "--key", told["public"], "--store", folder)
    monkeypatch.setenv("KUBETUNE_TRUSTED_KEYS", told["public"])
    assert json.loads(say("verify", "tweets-1", "--store", folder, "--json"))["subject"][0]["name"] == "archive.json"
    with pytest.raises(DataError, match="it is signed by"):
        say("verify", "tweets-1", "--key", str(tmp_path / "more" / "signing.pub"), "--store", folder)


def test_verify_needs_a_key_and_a_run(folder: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No key is trusted"):
        say("verify", "tweets-1", "--store", folder)
    say("signing-key", str(tmp_path / "keys"))
    with pytest.raises(ConfigError, match="did you mean 'tweets-1'"):
        say("verify", "tweets-2", "--key", str(tmp_path / "keys" / "signing.pub"), "--store", folder)


def test_lineage_of_a_run(folder: str, tmp_path: Path) -> None:
    text = say("lineage", "tweets-1", "--store", folder)
    assert text.startswith(f"Lineage of tweets-1, served as archive {ARCHIVE[:12]}\n└── archive")
    assert "by fetch" in text and "read from outside: hub:c0ffee" in text
    found = json.loads(say("lineage", "tweets-1", "--store", folder, "--json"))
    assert found["run"] == "tweets-1" and found["archive"] == ARCHIVE and found["tree"]["stage"] == "package"
    html = tmp_path / "lineage.html"
    assert say("lineage", "tweets-1", "--store", folder, "--html", str(html)) == f"wrote {html}\n"
    assert "<svg" in html.read_text() and ARCHIVE in html.read_text()
    with pytest.raises(ConfigError, match="name another file"):
        say("lineage", "tweets-1", "--store", folder, "--html", str(tmp_path))


def promoted(store: LocalStore, document: str) -> None:
    version = Version(0, "tweets-1", ARCHIVE, "m", document, "promote", "2026-01-01T00:00:00Z")

    def change(model: RegisteredModel) -> tuple[RegisteredModel, Event]:
        model, standing = with_version(model, version)
        return set_champion(model, standing.number), Event("promoted", "2026-01-01T00:00:00Z")

    change_model(store, "tweets", change)


def test_lineage_of_a_version(folder: str) -> None:
    store = LocalStore(Path(folder))
    chain = [link.to_json() for link in chain_of(chain_toys.as_json(chain_toys.commits()))]
    promoted(store, put_document(store, {"format": FORMAT, "chain": chain}))
    before = {name: say("lineage", name, "--store", folder) for name in ("tweets@1", "tweets@champion")}
    for name, text in before.items():
        assert text.startswith(f"Lineage of {name}, run tweets-1, served as archive {ARCHIVE[:12]}")
        assert text.partition("\n")[2] == say("lineage", "tweets-1", "--store", folder).partition("\n")[2]
    for name in ("tweets@2", "tweets@previous", "tweets@", "tweets@versions", "other@1"):
        with pytest.raises(ConfigError, match="does not exist in"):
            say("lineage", name, "--store", folder)
    used_again(folder)
    for name, text in before.items():
        assert say("lineage", name, "--store", folder) == text


def test_a_version_without_a_chain_is_not_shown_as_its_namesake(folder: str) -> None:
    store = LocalStore(Path(folder))
    promoted(store, put_document(store, {"format": FORMAT}))
    assert f"archive {ARCHIVE[:12]}" in say("lineage", "tweets@1", "--store", folder)
    used_again(folder)
    with pytest.raises(DataError, match=f"tweets@1 is archive {ARCHIVE[:12]}, and run tweets-1 now holds"):
        say("lineage", "tweets@1", "--store", folder)


def used_again(folder: str) -> None:
    """Delete the run and make another of its name, with another archive."""
    delete_run(LocalStore(Path(folder)), "tweets-1")  # as before its guard: the command keeps the run of a champion
    store, files = LocalStore(Path(folder)), Path(folder).parent / "other-archive"
    files.mkdir()
    (files / "archive.json").write_text("{}")
    create_run(store, "tweets-1", {"name": "tweets"})
    for commit in chain_toys.commits("tweets-1", files).values():
        commits.create_commit(store, commit)
