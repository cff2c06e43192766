"""From a checkpoint's folder to the artifacts `tokenizer` and `weights`: checked, complete, nothing else copied."""

import json
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from kubetune.data.models.completion import check_loads, model_type, tokenizer_class
from kubetune.data.models.files import (
    CONFIG_FILE,
    WEIGHT_FILES,
    PretrainedCheckpoint,
    file_names,
    needed_names,
    read_object,
    tokenizer_names,
    weight_parts,
    weights_name,
)
from kubetune.data.models.tensors import METADATA
from kubetune.errors import DataError


def convert(files: Sequence[Path], folder: Path) -> list[Path]:
    """Store each `torch.save` file as a safetensors file in `folder`, one after the other.

    Raises:
        DataError: A file asks for anything but tensors (rule `pickle`), is damaged or holds no flat state (`weights`).
    """
    converted = []
    for number, path in enumerate(files):
        tensors = read_state(path)
        # Tied tensors share storage, which safetensors refuses: each gets its own.
        own = {name: tensors[name].detach().contiguous().clone() for name in sorted(tensors)}
        target = folder / f"converted-{number:05d}.safetensors"
        save_file(own, target, metadata=METADATA)
        converted.append(target)
    return converted


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a `torch.save` file by name.

    Raises:
        DataError: See `convert`.
    """
    size = path.stat().st_size
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # what matters of it is refused below
            state: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise DataError(
            "pickle",
            f"{path.name} ({size} bytes) is refused: a pickled checkpoint may hold tensors only, and this one asks to "
            "run code or is no such file. Use a checkpoint with safetensors",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, AttributeError) as error:
        cause = " ".join(str(error).split())[:120]
        raise DataError("weights", f"{path.name} ({size} bytes) is damaged ({cause}): fetch it again") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise DataError("weights", f"{path.name} is no flat mapping of names to tensors: save the state dict itself")
    return state


SOURCE_FILE = "source.json"
TOKENIZER_CONFIG = "tokenizer_config.json"


def freeze_checkpoint(
    checkpoint: PretrainedCheckpoint, tokenizer_dir: Path, weights_dir: Path, scratch: Path
) -> dict[str, Any]:
    """Fill both folders from a checkpoint.

    A single safetensors file is copied as it is. Shards are merged into one file, one tensor's bytes after the other;
    pickled weights are converted first, a shard at a time.

    Returns:
        Facts: kind, revision, licence, `format` of the weights, number of `parameters`, and what was `added` to files.

    Raises:
        DataError: Something is missing, damaged, not finite, or would run code of the checkpoint.
    """
    from kubetune.data.models.tensors import check_finite_file, check_index, merge

    folder = checkpoint.folder
    names = needed_names(file_names(folder))
    config = _config(folder)
    added = freeze_tokenizer(checkpoint, tokenizer_dir)
    architecture = model_type(config, names)
    if config.get("model_type") != architecture:
        added.append(f"{CONFIG_FILE}: model_type={architecture}")
        write_json(weights_dir / CONFIG_FILE, {**config, "model_type": architecture})
    else:
        shutil.copyfile(folder / CONFIG_FILE, weights_dir / CONFIG_FILE)
    check_loads(tokenizer_dir, weights_dir)
    parts = [folder / name for name in weight_parts(folder, weights_name(names))]
    files = [path for path in parts if path.suffix != ".json"]
    pickled = parts[0].name.startswith("pytorch_model")
    if pickled:
        files = convert(files, scratch)
    merge(files, weights_dir / WEIGHT_FILES[0])
    if len(parts) > len(files):
        check_index(parts[0], weights_dir / WEIGHT_FILES[0])
    parameters = check_finite_file(weights_dir / WEIGHT_FILES[0])
    form = "pickle" if pickled else "safetensors"
    facts = {**stated(checkpoint), "format": form, "parameters": parameters, "added": added}
    write_json(weights_dir / SOURCE_FILE, facts)
    return facts


def freeze_tokenizer(checkpoint: PretrainedCheckpoint, tokenizer_dir: Path) -> list[str]:
    """Copy the tokenizer's files, and only those.

    Returns:
        What was added to them, one short line each; see `completion`.

    Raises:
        DataError: There is none, or it asks for code of the checkpoint.
    """
    folder = checkpoint.folder
    names = tokenizer_names(file_names(folder))
    stated_there: dict[str, Any] = {}
    for name in names:
        if name.endswith(".json"):
            values = read_object(folder / name, "tokenizer")
            _refuse_remote_code(name, values)
            stated_there = values if name == TOKENIZER_CONFIG else stated_there
        shutil.copyfile(folder / name, tokenizer_dir / name)
    config = _config(folder) if (folder / CONFIG_FILE).is_file() else {}
    missing = tokenizer_class(stated_there, config, names)
    if missing is None:
        return []
    write_json(tokenizer_dir / TOKENIZER_CONFIG, {**stated_there, "tokenizer_class": missing})
    return [f"{TOKENIZER_CONFIG}: tokenizer_class={missing}"]


def stated(checkpoint: PretrainedCheckpoint) -> dict[str, Any]:
    """Return what `source.json` says of every kind."""
    return {"kind": checkpoint.kind, "revision": checkpoint.revision, "licence": checkpoint.licence}


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write byte-stable JSON."""
    path.write_text(json.dumps(values, sort_keys=True, indent=2) + "\n", encoding="utf-8")


def _config(folder: Path) -> dict[str, Any]:
    config = read_object(folder / CONFIG_FILE, "model-config")
    _refuse_remote_code(CONFIG_FILE, config)
    return config


def _refuse_remote_code(name: str, values: dict[str, Any]) -> None:
    if "auto_map" in values:
        raise DataError(
            "remote-code",
            f"{name} has auto_map, which runs code of the checkpoint: use one whose architecture transformers has",
        )
