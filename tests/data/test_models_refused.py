"""Checkpoints that are refused: each with a rule, a sentence and an exit code, and none of their code runs."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from data import model_files
from data.model_files import fetch_path
from kubetune.errors import DataError


@pytest.fixture
def model(toy_model: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(toy_model, tmp_path / "model"))


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "bare-pickle"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(model: Path, tmp_path: Path, legacy: bool) -> None:
    (model / "model.safetensors").unlink()
    touched = tmp_path / "touched"
    target = model / "pytorch_model.bin"
    if legacy:
        target.write_bytes(pickle.dumps({"weight": Malicious(touched)}))
    else:
        torch.save({"weight": torch.ones(1), "code": Malicious(touched)}, target)
    with pytest.raises(DataError, match=r"pytorch_model.bin \(\d+ bytes\) is refused: .* run code") as caught:
        fetch_path(model, tmp_path)
    assert (caught.value.exit_code, caught.value.rule) == (65, "pickle")
    assert not touched.exists()


def cut(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])


def spoil_weights(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    tensors["pooler.dense.bias"][3] = float("nan")
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})


def replace_weights(model: Path, name: str, raw: bytes) -> None:
    (model / "model.safetensors").unlink()
    (model / name).write_bytes(raw)


def drop_tokenizer(model: Path) -> None:
    for name in model_files.TOKENIZER:
        (model / name).unlink()


BAD: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "no config": (lambda m: (m / "config.json").unlink(), "model-config", "The model has no config.json"),
    "config is no JSON": (lambda m: (m / "config.json").write_text("{"), "model-config", "config.json is not JSON"),
    "config is a list": (lambda m: (m / "config.json").write_text("[]"), "model-config", "config.json holds list"),
    "config of nothing known": (
        lambda m: model_files.edit(m, "config.json", model_type="no-such-thing"),
        "model-config",
        "config.json is not a known architecture's",
    ),
    "config without a type": (
        lambda m: (m / "config.json").write_text('{"hidden_size": 8}'),
        "model-config",
        "names no model_type",
    ),
    "remote code": (
        lambda m: model_files.edit(m, "config.json", auto_map={"AutoModel": "x.Y"}),
        "remote-code",
        "config.json has auto_map",
    ),
    "remote tokenizer code": (
        lambda m: model_files.edit(m, "tokenizer_config.json", auto_map={"AutoTokenizer": ["x.Y", None]}),
        "remote-code",
        "tokenizer_config.json has auto_map",
    ),
    "no tokenizer": (drop_tokenizer, "tokenizer", "The model has no tokenizer: one of tokenizer.json, vocab.txt"),
    "damaged tokenizer": (lambda m: cut(m / "tokenizer.json"), "tokenizer", "tokenizer.json is not JSON"),
    "tokenizer of nothing": (
        lambda m: (m / "tokenizer.json").write_text("{}"),
        "tokenizer",
        "The tokenizer cannot be loaded",
    ),
    "no weights": (lambda m: (m / "model.safetensors").unlink(), "weights", "The model has no weights: one of model.s"),
    "other framework": (
        lambda m: replace_weights(m, "tf_model.h5", b"tf"),
        "weights",
        r"only weights of another framework \(tf_model.h5\)",
    ),
    "truncated": (
        lambda m: cut(m / "model.safetensors"),
        "weights",
        r"model.safetensors \(\d+ bytes, its header announces \d+\) is damaged",
    ),
    "empty": (lambda m: (m / "model.safetensors").write_bytes(b""), "weights", r"model.safetensors \(0 bytes\) is dam"),
    "not finite": (spoil_weights, "finite-weights", "'pooler.dense.bias' holds NaN or infinity"),
    "no tensors": (lambda m: save_file({}, m / "model.safetensors"), "weights", "hold no floating tensor"),
    "truncated pickle": (
        lambda m: (
            model_files.pickled(m, m / "p"),
            cut(m / "p/pytorch_model.bin"),
            (m / "model.safetensors").unlink(),
            (m / "p/pytorch_model.bin").rename(m / "pytorch_model.bin"),
        ),
        "weights",
        r"pytorch_model.bin \(\d+ bytes\) is damaged",
    ),
    "pickle of no state": (
        lambda m: ((m / "model.safetensors").unlink(), torch.save({"model": {"w": 1}}, m / "pytorch_model.bin")),
        "weights",
        "pytorch_model.bin is no flat mapping of names to tensors",
    ),
    "index outside": (
        lambda m: replace_weights(m, "model.safetensors.index.json", b'{"weight_map": {"w": "../x.safetensors"}}'),
        "weights",
        "index.json names '../x.safetensors'",
    ),
    "index of nothing": (
        lambda m: replace_weights(m, "model.safetensors.index.json", b"{}"),
        "weights",
        "index.json has no weight_map",
    ),
    "shard is absent": (
        lambda m: replace_weights(m, "model.safetensors.index.json", b'{"weight_map": {"w": "x.safetensors"}}'),
        "weights",
        r"names 1 files and 1 are absent \(x.safetensors\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_checkpoints_are_refused_with_a_rule_and_a_sentence(case: str, model: Path, tmp_path: Path) -> None:
    spoil, rule, sentence = BAD[case]
    spoil(model)
    with pytest.raises(DataError, match=sentence) as caught:
        fetch_path(model, tmp_path)
    assert (caught.value.exit_code, caught.value.rule) == (65, rule)
    assert str(tmp_path) not in str(caught.value)


def test_an_index_must_agree_with_its_shards(toy_model: Path, tmp_path: Path) -> None:
    folder = model_files.sharded(toy_model, tmp_path / "sharded", "safetensors")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"]["embeddings.absent"] = "model-00001-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"names 1 tensors that no file holds \(embeddings.absent\)"):
        fetch_path(folder, tmp_path)
