"""The real hub client and the real builder of `datasets` against a hub on a loopback port."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.hub_server import Hub, Repository, running_hub
from data.reading import read, source_of
from kubetune.data.sources import identify
from kubetune.errors import ConfigError, DataError, KubetuneError, TemporaryError

NAME = "someone/feelings"
CARD = b"""---
license: apache-2.0
configs:
- config_name: small
  data_files:
  - {split: train, path: small/train-*}
  - {split: test, path: small/test-*}
- config_name: large
  data_files:
  - {split: train, path: large/train-*}
dataset_info:
- config_name: small
  features:
  - {name: text, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': sad, '1': joy}}}
  splits:
  - {name: train, num_bytes: 1, num_examples: 20}
  - {name: test, num_bytes: 1, num_examples: 10}
- config_name: large
  features:
  - {name: text, dtype: string}
  - {name: label, dtype: int64}
  splits:
  - {name: train, num_bytes: 1, num_examples: 500}
---
Words.
"""


def table(rows: int, word: str = "row") -> bytes:
    stream = io.BytesIO()
    columns = {
        "text": [f"{word} {n}" for n in range(rows)],
        "label": pa.array([n % 2 for n in range(rows)], pa.int64()),
    }
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


FILES = {
    "README.md": CARD,
    "small/train-00000.parquet": table(20),
    "small/test-00000.parquet": table(10, "other"),
    "large/train-00000.parquet": table(500),
    "script.py": b"raise SystemExit('never run')",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    # Another test of this process may have imported the client where outside addresses were forbidden.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with running_hub() as hub:
        yield hub


@pytest.fixture
def feelings(hub: Hub) -> Repository:
    found = hub.repository(NAME)
    found.card = {"license": "apache-2.0"}
    found.push(FILES)
    return found


def small(**values: Any) -> Any:
    return source_of(**{"kind": "hub", "name": NAME, "config": "small", **values})


def at(hub: Hub, **values: Any) -> dict[str, Any]:
    return {"hub_endpoint": hub.endpoint, "hub_token": None, "offline": False, **values}


@pytest.mark.slow
def test_a_data_set_is_pinned_and_only_its_files_are_downloaded(hub: Hub, feelings: Repository, tmp_path: Path) -> None:
    rows, facts = read(small(), tmp_path, **at(hub))
    assert {split: len(found) for split, found in rows.items()} == {"train": 20, "test": 10}
    assert rows["train"][3] == {"text": "row 3", "label": 1}
    commit = feelings.branches["main"]
    assert (facts.identity, facts.revision, facts.licence) == (commit, commit, "apache-2.0")
    assert facts.class_names == {"label": ["sad", "joy"]}
    assert [fact.name for fact in facts.files] == ["small/test-00000.parquet", "small/train-00000.parquet"]
    asked = [line for line in hub.requests if "/resolve/" in line]
    assert asked
    assert all(f"/resolve/{commit}/" in line for line in asked)
    assert not [line for line in asked if "large" in line or "script" in line]


def test_a_moved_branch_is_another_identity_and_a_commit_asks_nobody(hub: Hub, feelings: Repository) -> None:
    first = identify(small(), at(hub))
    assert first == identify(small(), at(hub)) == feelings.branches["main"]
    feelings.push({**FILES, "small/train-00000.parquet": table(20, "moved")})
    second = identify(small(), at(hub))
    assert second not in {None, first}
    hub.requests.clear()
    assert identify(small(revision=first), at(hub, offline=True)) == first
    assert hub.requests == []


def test_a_pinned_commit_is_read_after_the_branch_moved(hub: Hub, feelings: Repository, tmp_path: Path) -> None:
    first = feelings.branches["main"]
    feelings.push({**FILES, "small/train-00000.parquet": table(20, "moved")})
    rows, facts = read(small(revision=first), tmp_path, **at(hub))
    assert rows["train"][0]["text"] == "row 0"
    assert facts.revision == first


def test_splits_are_mapped_and_others_left_out(hub: Hub, feelings: Repository, tmp_path: Path) -> None:
    rows, _ = read(small(splits={"test": "train"}), tmp_path, **at(hub))
    assert {split: len(found) for split, found in rows.items()} == {"test": 20}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"splits": {"train": "training"}}, "has the splits test, train: set data.source.splits"),
        ({"config": None}, "set data.source.config to one of small, large"),
        ({"config": "medium"}, "set data.source.config to one of small, large"),
        ({"revision": "v9"}, "at v9 has no such revision"),
        ({"name": "someone/nothing"}, "does not exist on the hub, or is private"),
        ({"name": "no/such/name"}, "does not exist on the hub"),
    ],
)
def test_what_the_hub_has_not_is_a_configuration_error(
    hub: Hub, feelings: Repository, tmp_path: Path, values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        read(small(**values), tmp_path, **at(hub))
    assert str(tmp_path) not in str(caught.value)


def test_splits_of_other_names_must_be_mapped(hub: Hub, tmp_path: Path) -> None:
    hub.repository(NAME).push({"data/dev-0.jsonl": b'{"text": "a"}\n', "data/train-0.jsonl": b'{"text": "b"}\n'})
    card = b"---\nconfigs:\n- config_name: default\n  data_files:\n  - {split: dev, path: data/dev-0.jsonl}\n---\n"
    hub.repository(NAME).push(
        {**hub.repository(NAME).commits[hub.repository(NAME).branches["main"]], "README.md": card}
    )
    with pytest.raises(ConfigError, match=r"has the splits dev: set data\.source\.splits"):
        read(small(config=None), tmp_path, **at(hub))
    rows, _ = read(small(config=None, splits={"train": "dev"}), tmp_path, **at(hub))
    assert rows == {"train": [{"text": "a"}]}


ANNOTATED = b"""---
dataset_info:
  features:
  - {name: tokens, list: string}
  - name: ner_tags
    list: {class_label: {names: {'0': O, '1': B-per, '2': I-per}}}
  - name: answers
    struct:
    - {name: text, list: string}
    - {name: answer_start, list: int32}
---
"""


def test_words_tags_and_answers_are_read_with_the_names_of_the_tags(hub: Hub, tmp_path: Path) -> None:
    row = {"tokens": ["Anna", "ran"], "ner_tags": [1, 0], "answers": {"text": ["Anna"], "answer_start": [0]}}
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row] * 3), stream)
    hub.repository(NAME).push({"README.md": ANNOTATED, "data/train-0.parquet": stream.getvalue()})
    rows, facts = read(small(config=None), tmp_path, **at(hub))
    assert rows == {"train": [row] * 3}
    assert facts.class_names == {"ner_tags": ["O", "B-per", "I-per"]}


def test_a_data_set_of_code_alone_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.repository(NAME).push({"feelings.py": b"raise SystemExit('never run')"})
    with pytest.raises(ConfigError, match="no files that can be read without running its code"):
        read(small(config=None), tmp_path, **at(hub))


def test_files_elsewhere_are_not_followed(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("text\nsecret\n")
    card = f"---\nconfigs:\n- config_name: default\n  data_files: {tmp_path}/secret.csv\n---\n"
    hub.repository(NAME).push({"README.md": card.encode(), "train.csv": b"text\na\n"})
    with pytest.raises(ConfigError, match="reads files outside its repository"):
        read(small(config=None), tmp_path, **at(hub))


def test_a_gated_data_set_needs_the_token_of_the_settings(hub: Hub, feelings: Repository, tmp_path: Path) -> None:
    feelings.gated = True
    with pytest.raises(ConfigError, match=r"is gated: accept its terms on the hub .* and set HF_TOKEN") as caught:
        read(small(), tmp_path, **at(hub))
    assert caught.value.exit_code == 78
    with pytest.raises(ConfigError, match="is gated") as caught:
        read(small(), tmp_path, **at(hub, hub_token="hf_wrong"))
    assert "hf_wrong" not in str(caught.value)
    rows, _ = read(small(), tmp_path, **at(hub, hub_token=hub.token))
    assert len(rows["train"]) == 20


def test_offline_is_said_before_anything_is_asked(hub: Hub, feelings: Repository, tmp_path: Path) -> None:
    for call in (
        lambda: identify(small(), at(hub, offline=True)),
        lambda: read(small(), tmp_path, **at(hub, offline=True)),
    ):
        with pytest.raises(ConfigError, match="settings say offline"):
            call()
    assert hub.requests == []


def test_half_a_download_leaves_nothing_and_the_next_try_works(
    hub: Hub, feelings: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.sleep
    monkeypatch.setattr("time.sleep", lambda seconds: real(min(seconds, 0.01)))  # the client's pauses between tries
    hub.cut_after = 100
    with pytest.raises(TemporaryError, match="could not be had whole from the hub") as caught:
        read(small(), tmp_path, **at(hub))
    assert caught.value.exit_code == 75
    hub.cut_after = None
    assert len(read(small(), tmp_path, **at(hub))[0]["train"]) == 20


def test_damage_on_the_way_is_noticed(hub: Hub, feelings: Repository, tmp_path: Path) -> None:
    hub.damaged = True
    with pytest.raises(TemporaryError, match="arrived damaged"):
        read(small(), tmp_path, **at(hub))


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [(503, TemporaryError, "answered HTTP 503"), (403, ConfigError, r"refused by the hub \(HTTP 403\): set HF_TOKEN")],
)
def test_a_hub_that_refuses_is_told_from_one_that_is_away(
    hub: Hub, status: int, error: type[KubetuneError], sentence: str
) -> None:
    hub.status = status
    with pytest.raises(error, match=sentence):
        identify(small(), at(hub))


def test_no_hub_at_all_is_temporary(hub: Hub) -> None:
    with pytest.raises(TemporaryError, match="could not be had whole from the hub"):
        identify(small(), {"hub_endpoint": "http://127.0.0.1:9"})


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"small/train-00000.parquet": table(19)}, "cannot be read"),
        ({"small/train-00000.parquet": b"PAR1 no table PAR1"}, "cannot be read"),
    ],
)
def test_files_that_are_not_what_the_card_says_are_bad_data(
    hub: Hub, feelings: Repository, tmp_path: Path, files: dict[str, bytes], sentence: str
) -> None:
    feelings.push({**FILES, **files})
    with pytest.raises(DataError, match=sentence) as caught:
        read(small(), tmp_path, **at(hub))
    assert str(tmp_path) not in str(caught.value)


def test_an_encoding_for_a_hub_is_refused(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave it utf-8"):
        read(small(), tmp_path, encoding="latin-1", **at(hub))


@pytest.mark.slow
def test_a_pod_finds_its_hub_in_the_environment(hub: Hub, feelings: Repository, tmp_path: Path) -> None:
    """The command, in its own process, as a pod runs it: `HF_ENDPOINT` and nothing else."""
    recipe = "name: t\ndata: {source: {kind: hub, name: %s, config: small}}\nmodel: {source: {kind: path, path: m}}\n"
    (tmp_path / "t.yaml").write_text(recipe % NAME)
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
    words = ["stage", "ingest", "--run", "one", "--recipe", "t.yaml"]
    done = subprocess.run(
        [sys.executable, "-m", "kubetune", *words], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    commit = json.loads((tmp_path / "kubetune-store/runs/one/ingest/COMMIT.json").read_text())
    assert feelings.branches["main"] in json.dumps(commit)
    assert not (tmp_path / "home" / "hub").exists()
