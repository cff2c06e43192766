"""Checkpoints in the forms that people published them in, made from a toy one."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from kubetune.config.model_sources import PathModel
from kubetune.data.models import load_model_source

TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def without_weights(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder)
    (folder / "model.safetensors").unlink()
    return folder


def pickled(model: Path, folder: Path, **extra: torch.Tensor) -> Path:
    """The same weights in `pytorch_model.bin` alone, with an extra name for one of them."""
    tensors = load_file(model / "model.safetensors")
    torch.save({**tensors, **extra}, without_weights(model, folder) / "pytorch_model.bin")
    return folder


def sharded(model: Path, folder: Path, suffix: str) -> Path:
    """The same weights in two files and an index."""
    tensors = load_file(model / "model.safetensors")
    base = {"bin": "pytorch_model", "safetensors": "model"}[suffix]
    without_weights(model, folder)
    weight_map = {}
    for number, names in enumerate((sorted(tensors)[::2], sorted(tensors)[1::2]), start=1):
        file = f"{base}-{number:05d}-of-00002.{suffix}"
        part = {name: tensors[name] for name in names}
        if suffix == "bin":
            torch.save(part, folder / file)
        else:
            save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / f"{base}.{suffix}.index.json").write_text(json.dumps(index))
    return folder


def assert_same_tensors(first: Path, second: Path) -> None:
    ours, theirs = load_file(first), load_file(second)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in ours)


def edit(model: Path, name: str, **values: Any) -> None:
    stated = json.loads((model / name).read_text())
    (model / name).write_text(
        json.dumps({key: value for key, value in {**stated, **values}.items() if value is not None})
    )


def fetch(source: Any, folder: Path, platform: dict[str, Any] | None = None) -> tuple[dict[str, Any], Path, Path]:
    """Fetch into `tokenizer` and `weights` of a new `folder`; returns the facts and both."""
    for name in ("tokenizer", "weights", "scratch"):
        (folder / name).mkdir(parents=True)
    module = load_model_source(source.kind)
    return (
        module.fetch(source, platform or {}, folder / "tokenizer", folder / "weights", folder / "scratch"),
        folder / "tokenizer",
        folder / "weights",
    )


def fetch_path(model: Path, folder: Path) -> tuple[dict[str, Any], Path, Path]:
    return fetch(PathModel(path=str(model)), folder)
