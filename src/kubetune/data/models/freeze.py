"""From a checkpoint's folder to the artifacts `tokenizer` and `weights`: checked, complete, nothing else copied."""

import json
import shutil
from pathlib import Path
from typing import Any

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
from kubetune.errors import DataError

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
    from kubetune.data.models.tensors import check_finite_file, check_index, convert, merge

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
