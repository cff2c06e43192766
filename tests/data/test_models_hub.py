"""The real hub client against a hub on a loopback port."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data import model_files
from data.model_files import fetch
from data.model_hub_server import Hub, running_hub
from kubetune.config.model_sources import HubModel, ScratchModel
from kubetune.data.models import identify
from kubetune.errors import ConfigError, DataError, TemporaryError

NAME = "someone/tiny"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    with running_hub() as hub:
        yield hub


@pytest.fixture
def files(toy_model: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in toy_model.iterdir()}
    return found | {"README.md": b"---\nlicense: mit\n---\nwords", "onnx/model.onnx": b"other", "tf_model.h5": b"tf"}


def reach(hub: Hub, **values: Any) -> dict[str, Any]:
    return {"hub_endpoint": hub.url, "hub_token": None, "offline": False, **values}


def assert_nothing_left(folder: Path) -> None:
    assert not any((folder / "tokenizer").iterdir())
    assert not any((folder / "weights").iterdir())


def test_a_branch_is_pinned_to_its_commit(hub: Hub, files: dict[str, bytes], toy_model: Path, tmp_path: Path) -> None:
    commit = hub.push(NAME, files)
    facts, tokenizer, weights = fetch(HubModel(name=NAME), tmp_path, reach(hub))
    assert (facts["revision"], facts["licence"]) == (commit, "mit")
    assert identify(HubModel(name=NAME), reach(hub)) == commit
    assert (weights / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert {path.name for path in tokenizer.iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    assert not {"model.onnx", "tf_model.h5"} & set(hub.downloads())


def test_a_moved_branch_is_another_model_and_a_tag_on_the_same_commit_is_not(
    hub: Hub, files: dict[str, bytes], tmp_path: Path
) -> None:
    first = hub.push(NAME, files)
    hub.push(NAME, files, branch="v1")
    assert identify(HubModel(name=NAME), reach(hub)) == identify(HubModel(name=NAME, revision="v1"), reach(hub))
    second = hub.push(NAME, files | {"README.md": b"---\nlicense: cc0-1.0\n---"})
    assert identify(HubModel(name=NAME), reach(hub)) == second != first
    facts, _, _ = fetch(HubModel(name=NAME, revision="v1"), tmp_path, reach(hub))
    assert (facts["revision"], facts["licence"]) == (first, "mit")


def test_a_revision_that_is_a_commit_needs_no_network_to_be_known() -> None:
    commit = "0123456789" * 4
    assert identify(HubModel(name=NAME, revision=commit), {"offline": True}) == commit


def test_sharded_pickles_are_downloaded_through_their_index(
    hub: Hub, files: dict[str, bytes], toy_model: Path, tmp_path: Path
) -> None:
    folder = model_files.sharded(toy_model, tmp_path / "sharded", "bin")
    hub.push(NAME, {path.name: path.read_bytes() for path in folder.iterdir()})
    facts, _, weights = fetch(HubModel(name=NAME), tmp_path / "out", reach(hub))
    assert facts["format"] == "pickle"
    model_files.assert_same_tensors(weights / "model.safetensors", toy_model / "model.safetensors")


def test_a_gated_repository_asks_for_a_token(hub: Hub, files: dict[str, bytes], tmp_path: Path) -> None:
    hub.push(NAME, files)
    hub.gated[NAME] = "hf_right"
    for number, token in enumerate((None, "hf_wrong")):  # 401, 403
        with pytest.raises(ConfigError, match=r"is gated: accept its terms .* set HF_TOKEN") as caught:
            fetch(HubModel(name=NAME), tmp_path / str(number), reach(hub, hub_token=token))
        assert caught.value.exit_code == 78
        assert "hf_wrong" not in str(caught.value)
        assert_nothing_left(tmp_path / str(number))
    facts, _, _ = fetch(HubModel(name=NAME), tmp_path / "right", reach(hub, hub_token="hf_right"))
    assert facts["kind"] == "hub"
    assert hub.tokens == {"hf_wrong", "hf_right"}


@pytest.mark.parametrize(("name", "revision"), [("someone/absent", "main"), (NAME, "v9")])
def test_what_the_hub_does_not_have_is_refused(hub: Hub, files: dict[str, bytes], name: str, revision: str) -> None:
    hub.push(NAME, files)
    with pytest.raises(ConfigError, match=f"Model {name} at revision {revision} "):
        identify(HubModel(name=name, revision=revision), reach(hub))


def test_offline_settings_ask_nobody(hub: Hub, files: dict[str, bytes], tmp_path: Path) -> None:
    commit = hub.push(NAME, files)
    for revision in ("main", commit):
        with pytest.raises(ConfigError, match="settings say offline"):
            fetch(HubModel(name=NAME, revision=revision), tmp_path / revision, reach(hub, offline=True))
    assert hub.requests == []


def test_a_hub_that_is_away_is_asked_again_later(hub: Hub, files: dict[str, bytes]) -> None:
    hub.push(NAME, files)
    with pytest.raises(TemporaryError, match="run the same command again") as caught:
        identify(HubModel(name=NAME), reach(hub, hub_endpoint="http://127.0.0.1:9"))
    assert caught.value.exit_code == 75
    hub.fail_with = 503
    with pytest.raises(TemporaryError, match="HTTP 503"):
        identify(HubModel(name=NAME), reach(hub))


def test_half_a_download_leaves_nothing(
    hub: Hub, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    hub.push(NAME, files)
    hub.break_after["model.safetensors"] = len(files["model.safetensors"]) // 2
    with pytest.raises(TemporaryError, match="run the same command again"):
        fetch(HubModel(name=NAME), tmp_path / "broken", reach(hub))
    assert_nothing_left(tmp_path / "broken")
    assert not list((tmp_path / "hf-home").rglob("*.safetensors"))
    hub.break_after.clear()
    _, _, weights = fetch(HubModel(name=NAME), tmp_path / "whole", reach(hub))
    assert (weights / "model.safetensors").read_bytes() == files["model.safetensors"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_bytes_that_the_hub_does_not_list_are_not_taken(
    hub: Hub, files: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    hub.push(NAME, files)
    hub.corrupt.add(name)
    with pytest.raises(TemporaryError, match=f"{name} did not arrive as the hub lists it"):
        fetch(HubModel(name=NAME), tmp_path, reach(hub))
    assert_nothing_left(tmp_path)


def test_a_repository_without_our_weights_is_refused_before_a_download(
    hub: Hub, files: dict[str, bytes], tmp_path: Path
) -> None:
    del files["model.safetensors"]
    hub.push(NAME, files)
    with pytest.raises(DataError, match=r"only weights of another framework \(tf_model.h5\)") as caught:
        fetch(HubModel(name=NAME), tmp_path, reach(hub))
    assert (caught.value.exit_code, caught.value.rule) == (65, "weights")
    assert hub.downloads() == []


def test_scratch_downloads_a_tokenizer_alone(hub: Hub, files: dict[str, bytes], tmp_path: Path) -> None:
    commit = hub.push(NAME, files)
    source = ScratchModel(tokenizer=HubModel(name=NAME))
    assert identify(source, reach(hub)) == commit
    facts, tokenizer, weights = fetch(source, tmp_path, reach(hub))
    assert facts["tokenizer"] == {"kind": "hub", "revision": commit, "licence": "mit"}
    assert (tokenizer / "tokenizer.json").read_bytes() == files["tokenizer.json"]
    assert {path.name for path in weights.iterdir()} == {"architecture.json", "source.json"}
    assert "model.safetensors" not in hub.downloads()
