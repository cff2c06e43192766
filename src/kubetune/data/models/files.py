"""Which files of a checkpoint are read, and what they are together. Light: the planner's process imports it."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from kubetune.errors import ConfigError, DataError
from kubetune.layout import file_digest

VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "bpe.codes", "*.model")
"""One of these is needed; the others only adjust it."""
TOKENIZER_FILES = (
    *VOCABULARIES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
)
CONFIG_FILE = "config.json"
CARD = "README.md"
ADAPTER = "adapter_config.json"
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""In order of preference: what runs no code and needs no conversion first."""
FOREIGN = ("tf_model.h5", "flax_model.msgpack", "*.ckpt.index", "*.onnx", "*.gguf", "rust_model.ot")
SHARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.(safetensors|bin)")


@dataclass(frozen=True)
class PretrainedCheckpoint:
    """A checkpoint that lies in a folder of this machine.

    Attributes:
        folder: In the layout of `save_pretrained`.
        kind: Kind of its source.
        revision: What pins it: a commit, a version or a content digest.
        licence: Identifier of its licence; None: not stated.
    """

    folder: Path
    kind: str
    revision: str | None
    licence: str | None


def tokenizer_names(names: Iterable[str]) -> list[str]:
    """Return those of `names` that belong to a tokenizer, sorted.

    Raises:
        DataError: There is no vocabulary among them.
    """
    found = sorted(name for name in names if _matches(name, TOKENIZER_FILES))
    if not any(_matches(name, VOCABULARIES) for name in found):
        raise DataError(
            "tokenizer",
            f"The model has no tokenizer: one of {', '.join(VOCABULARIES)} is needed. Save the tokenizer beside the "
            "weights with `save_pretrained`",
        )
    return found


def weights_name(names: Iterable[str]) -> str:
    """Return the preferred one of the weight files, or the index of a sharded one.

    Raises:
        DataError: There is none; says so when only another framework's weights are there.
    """
    present = set(names)
    for name in WEIGHT_FILES:
        if name in present:
            return name
    foreign = sorted(name for name in present if _matches(name, FOREIGN))
    if foreign:
        raise DataError(
            "weights",
            f"The model has only weights of another framework ({', '.join(foreign)[:200]}): allowed are "
            f"{', '.join(WEIGHT_FILES)}. Load it once with that framework and save it for PyTorch",
        )
    raise DataError("weights", f"The model has no weights: one of {', '.join(WEIGHT_FILES)} is needed")


def needed_names(names: Iterable[str], *, weights: bool = True) -> list[str]:
    """Return the files to read, sorted: tokenizer, card, configuration, weights or their index (not the shards).

    Args:
        names: All files of the checkpoint.
        weights: False for the tokenizer alone; then the configuration is read where there is one.

    Raises:
        DataError: Something needed is missing.
        ConfigError: It is an adapter without its base model.
    """
    present = set(names)
    if weights and ADAPTER in present and not present.intersection(WEIGHT_FILES):
        raise ConfigError(
            f"The model is an adapter ({ADAPTER}) without the model that it was trained on: merge the two with PEFT "
            "(`PeftModel.from_pretrained(base, adapter).merge_and_unload().save_pretrained(folder)`) and name that "
            "folder."
        )
    if weights and CONFIG_FILE not in present:
        raise DataError(
            "model-config", f"The model has no {CONFIG_FILE}: it says which architecture the weights are for"
        )
    chosen = {*tokenizer_names(present), *({CARD, CONFIG_FILE} & present)}
    if weights:
        chosen.add(weights_name(present))
    return sorted(chosen)


def is_read(name: str) -> bool:
    """Whether `needed_names` or an index may name this file."""
    return _matches(name, (*TOKENIZER_FILES, CONFIG_FILE, CARD, *WEIGHT_FILES)) or SHARD.fullmatch(name) is not None


def shard_names(index: Path) -> list[str]:
    """Return the files that an index names, sorted.

    Raises:
        DataError: The index is not one, or names files outside its folder.
    """
    weight_map = read_object(index, "weights").get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise DataError("weights", f"{index.name} has no weight_map, so no file of tensors is known: fetch it again")
    shards = sorted({str(name) for name in weight_map.values()})
    for name in shards:
        if not SHARD.fullmatch(name):
            raise DataError("weights", f"{index.name} names {name!r:.80}: only plain names of .safetensors or .bin")
    return shards


def read_object(path: Path, rule: str) -> dict[str, Any]:
    """Return the JSON object in `path`.

    Raises:
        DataError: It is none; carries `rule`.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise DataError(rule, f"{path.name} is not JSON ({str(error)[:120]}): fetch or save it again") from error
    if not isinstance(values, dict):
        raise DataError(rule, f"{path.name} holds {type(values).__name__}, not a JSON object: save it again")
    return values


def file_names(folder: Path) -> list[str]:
    """Return the names of the files that lie directly in `folder`, sorted; links to files count."""
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def folder_digest(folder: Path, names: Sequence[str]) -> str:
    """Return the SHA-256 (hex) over names and contents of those files."""
    whole = hashlib.sha256()
    for name in names:
        whole.update(f"{name}\0{file_digest(folder / name)}\n".encode())
    return whole.hexdigest()


def checkpoint_digest(folder: Path, *, weights: bool = True) -> str:
    """Return the SHA-256 (hex) over all that `freeze` would read of the checkpoint in `folder`.

    Raises:
        DataError: A needed file is missing.
    """
    names = needed_names(file_names(folder), weights=weights)
    shards = [shard for name in names if name.endswith(".index.json") for shard in weight_parts(folder, name)[1:]]
    return folder_digest(folder, [*names, *shards])


def weight_parts(folder: Path, chosen: str) -> list[str]:
    """Return the weight file itself, or an index and its shards.

    Raises:
        DataError: A shard is missing.
    """
    if not chosen.endswith(".index.json"):
        return [chosen]
    shards = shard_names(folder / chosen)
    absent = [name for name in shards if not (folder / name).is_file()]
    if absent:
        raise DataError(
            "weights",
            f"{chosen} names {len(shards)} files and {len(absent)} are absent ({', '.join(absent)[:200]}): fetch again",
        )
    return [chosen, *shards]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return "/" not in name and any(fnmatchcase(name, pattern) for pattern in patterns)
