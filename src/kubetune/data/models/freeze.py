"""From a checkpoint's folder to the artifacts `tokenizer` and `weights`: checked, complete, nothing else copied."""

import json
import shutil
from pathlib import Path
from typing import Any

from kubetune.data.models.files import (
    CONFIG_FILE,
    WEIGHT_FILES,
    Checkpoint,
    file_names,
    read_object,
    tokenizer_names,
    weight_parts,
    weights_name,
)
from kubetune.errors import DataError

SOURCE_FILE = "source.json"
TOKENIZER_CONFIG = "tokenizer_config.json"


def freeze(checkpoint: Checkpoint, tokenizer_dir: Path, weights_dir: Path, scratch: Path) -> dict[str, Any]:
    """Fill both folders from a checkpoint.

    A single safetensors file is copied as it is. Shards are merged into one file, one tensor's bytes after the other;
    pickled weights are converted first, a shard at a time.

    Returns:
        Facts: kind, revision, licence, `format` of the weights and the number of `parameters`.

    Raises:
        DataError: Something is missing, damaged, not finite, or would run code of the checkpoint.
    """
    from kubetune.data.models.pickled import convert
    from kubetune.data.models.tensors import check_finite, merge

    names = file_names(checkpoint.folder)
    freeze_tokenizer(checkpoint, tokenizer_dir)
    _check_config(checkpoint.folder)
    chosen = weights_name(names)
    parts = [checkpoint.folder / name for name in weight_parts(checkpoint.folder, chosen)]
    files = [path for path in parts if not path.name.endswith(".index.json")]
    pickled = chosen.startswith("pytorch_model")
    if pickled:
        files = convert(files, scratch)
    target = weights_dir / WEIGHT_FILES[0]
    merge(files, target)
    parameters = check_finite(target)
    _copy(checkpoint.folder / CONFIG_FILE, weights_dir)
    facts = {**stated(checkpoint), "format": "pickle" if pickled else "safetensors", "parameters": parameters}
    write_json(weights_dir / SOURCE_FILE, facts)
    return facts


def freeze_tokenizer(checkpoint: Checkpoint, tokenizer_dir: Path) -> None:
    """Copy the tokenizer's files, and only those.

    Raises:
        DataError: There is none, or it asks for code of the checkpoint.
    """
    names = tokenizer_names(file_names(checkpoint.folder))
    for name in names:
        if name.endswith(".json"):
            _refuse_remote_code(name, read_object(checkpoint.folder / name, "tokenizer"))
        _copy(checkpoint.folder / name, tokenizer_dir)


def stated(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what `source.json` says of every kind."""
    return {"kind": checkpoint.kind, "revision": checkpoint.revision, "licence": checkpoint.licence}


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write byte-stable JSON."""
    path.write_text(json.dumps(values, sort_keys=True, indent=2) + "\n", encoding="utf-8")


def _check_config(folder: Path) -> None:
    if not (folder / CONFIG_FILE).is_file():
        raise DataError(
            "model-config", f"The model has no {CONFIG_FILE}: it says which architecture the weights are for"
        )
    config = read_object(folder / CONFIG_FILE, "model-config")
    _refuse_remote_code(CONFIG_FILE, config)
    if not isinstance(config.get("model_type"), str):
        raise DataError("model-config", f"{CONFIG_FILE} names no model_type: add the architecture's, for example bert")


def _refuse_remote_code(name: str, values: dict[str, Any]) -> None:
    if "auto_map" in values:
        raise DataError(
            "remote-code",
            f"{name} has auto_map, which runs code of the checkpoint: use one whose architecture transformers has",
        )


def _copy(path: Path, folder: Path) -> None:
    shutil.copyfile(path, folder / path.name)
