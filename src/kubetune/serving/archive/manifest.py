"""The served directory, format 1: what lies in it, and the check that nothing else does.

archive.json        this manifest: task, labels, cleaning, limits, and each other file with its SHA-256
model.safetensors   config.json   kubetune.json     the fine-tuned module, as `train` wrote it
tokenizer/          golden.json   MODEL_CARD.md   model-config.yaml
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from kubetune.errors import ConfigError, CorruptArtifactError
from kubetune.layout import file_digest
from kubetune.text.joining import Joined, as_mapping, from_mapping

FORMAT = 1
MANIFEST = "archive.json"
GOLDEN = "golden.json"
MODEL_CONFIG = "model-config.yaml"
MODEL_FILES = ("model.safetensors", "config.json", "kubetune.json")
REQUIRED = (*MODEL_FILES, GOLDEN, "MODEL_CARD.md", MODEL_CONFIG)
TOKENIZER_FILE = re.compile(r"tokenizer/[A-Za-z0-9_-][A-Za-z0-9._-]*\.(json|txt|model|jinja)")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".npz", ".joblib", ".py", ".so")
CHUNK = 1 << 20


@dataclass(frozen=True)
class ServingSettings:
    """Handler settings; the values of recipe section `serving`, whose docstrings explain them."""

    batch_size: int = 32
    max_batch_delay_ms: int = 5
    split: int = 8
    max_characters: int = 10_000
    max_items: int = 64
    top_k: int = 1
    workers: int = 1
    response_timeout_s: int = 30
    golden_tolerance: float = 1e-3


@dataclass(frozen=True)
class Archive:
    """What `archive.json` says.

    Attributes:
        task: Task kind.
        labels: Class names by class number.
        cleaning: Names of the cleaning steps, in order.
        max_length: Tokens an item.
        serving: Handler settings.
        files: SHA-256 (hex) and size in bytes by relative path, without `archive.json` itself.
        precision: `auto`: bf16 autocast where the hardware has it natively, else fp32.
        texts: Text column of the task → the columns that it was joined of in training; requests may name those.
    """

    task: str
    labels: tuple[str, ...]
    cleaning: tuple[str, ...]
    max_length: int
    serving: ServingSettings
    files: Mapping[str, tuple[str, int]]
    precision: Literal["auto"] = "auto"
    texts: Mapping[str, Joined] = field(default_factory=dict)


def write_manifest(folder: Path, archive: Archive) -> None:
    """Write `archive.json` over what lies in `folder`; `archive.files` is ignored and taken from the folder."""
    listed = [
        {"path": name, "sha256": file_digest(folder / name), "size": (folder / name).stat().st_size}
        for name in _names(folder)
        if name != MANIFEST
    ]
    values = {**asdict(archive), "format": FORMAT, "files": listed, "texts": as_mapping(archive.texts)}
    if not archive.texts:
        del values["texts"]  # as in archives from before texts could be joined
    (folder / MANIFEST).write_text(json.dumps(values, sort_keys=True, indent=2) + "\n", encoding="utf-8")


def read_archive(folder: Path, *, verify: bool = True) -> Archive:
    """Read and check a served directory.

    Args:
        folder: The directory.
        verify: Whether to read each file and compare its SHA-256 (about 1.7 GB a second).

    Raises:
        ConfigError: It is no archive, has an unknown format, or holds a file that the format does not have.
        CorruptArtifactError: A file is missing or does not have its digest.
    """
    archive = _parse(folder)
    _reject_unlisted_files(folder, archive)
    for name, (digest, size) in archive.files.items():
        path = folder / name
        if not path.is_file():
            raise CorruptArtifactError(digest, f"File {name} of the archive is missing: package the run again.")
        if path.stat().st_size != size or (verify and file_digest(path) != digest):
            raise CorruptArtifactError(
                digest, f"File {name} of the archive does not have the digest {digest[:12]} that its manifest states."
            )
    _refuse_remote_code(folder)
    return archive


def archive_digest(folder: Path) -> str:
    """SHA-256 (hex) of `archive.json`, which names every other file by its SHA-256: equal digest, equal archive."""
    return file_digest(folder / MANIFEST)


def _names(folder: Path) -> list[str]:
    """Relative paths of all that lies in `folder` but directories, sorted."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _parse(folder: Path) -> Archive:
    try:
        values: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{folder} is no archive: it has no {MANIFEST}; give the folder that `package` wrote."
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{folder}/{MANIFEST} cannot be read ({type(error).__name__}): package the run again."
        ) from error
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise ConfigError(
            f"The archive has format {found!r:.40}, this version reads {FORMAT}: package the run again or use the "
            "kubetune that wrote it."
        )
    try:
        wanted = {entry.name for entry in fields(Archive)} | {"format"}
        if set(values) | {"texts"} != wanted:
            raise KeyError(*sorted((set(values) | {"texts"}) ^ wanted))
        return Archive(
            task=str(values["task"]),
            labels=tuple(values["labels"]),
            cleaning=tuple(values["cleaning"]),
            max_length=int(values["max_length"]),
            serving=ServingSettings(**values["serving"]),
            files={entry["path"]: (entry["sha256"], entry["size"]) for entry in values["files"]},
            precision=values["precision"],
            texts=from_mapping(values.get("texts", {})),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{MANIFEST} is not of format {FORMAT} ({error}): package the run again.") from error


def _reject_unlisted_files(folder: Path, archive: Archive) -> None:
    """Closed set of names: what is not part of the format could be code that a worker imports."""
    present = set(_names(folder)) - {MANIFEST}
    for name in sorted(present | set(archive.files)):
        if name.endswith(PICKLES):
            raise ConfigError(
                f"The archive holds {name!r:.80}, which can run code when it is loaded: only safetensors are served."
            )
        if (folder / name).is_symlink() or not (name in REQUIRED or TOKENIZER_FILE.fullmatch(name)):
            raise ConfigError(
                f"The archive holds {name!r:.80}, which format {FORMAT} does not have: allowed are "
                f"{', '.join(REQUIRED)} and tokenizer/*.json|txt|model."
            )
    if unlisted := sorted(present - set(archive.files)):
        raise ConfigError(
            f"File {unlisted[0]!r:.80} lies in the archive but not in its manifest: package the run again."
        )
    if missing := sorted(set(REQUIRED) - set(archive.files)):
        raise ConfigError(f"The archive lacks {', '.join(missing)}: package the run again.")


def _refuse_remote_code(folder: Path) -> None:
    for name in ("config.json", "tokenizer/tokenizer_config.json"):
        path = folder / name
        if path.is_file() and "auto_map" in json.loads(path.read_text(encoding="utf-8")):
            raise ConfigError(
                f"{name} of the archive asks for remote code (auto_map), which is never run: remove the entry."
            )
