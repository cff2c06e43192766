"""Files of tensors: checked by the library, merged as bytes, so that no more than a piece of a tensor is in memory.

Pickled ones are converted first. What this imports is heavy, so `freeze` imports it where it is used.
"""

import json
import math
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kubetune.data.models.files import read_object
from kubetune.errors import DataError

PIECE = 1 << 20
METADATA = {"format": "pt"}
"""What `transformers` wants to find in the header."""


@dataclass(frozen=True)
class TensorEntry:
    """A tensor inside a file: name, type and shape as the header states them, and where its bytes are."""

    name: str
    dtype: str
    shape: list[int]
    file: Path
    start: int
    size: int


def merge(files: Sequence[Path], target: Path) -> None:
    """Write all tensors of `files` to `target`; one file that already says it is PyTorch's is copied as it is.

    The order is that of the library's own writer: wide elements first, then by name.

    Raises:
        DataError: A file is damaged, or two hold a tensor of the same name.
    """
    entries: dict[str, TensorEntry] = {}
    for path in files:
        metadata, found = read_header(path)
        if len(files) == 1 and metadata == METADATA:
            shutil.copyfile(path, target)
            return
        for entry in found:
            if entry.name in entries:
                former = entries[entry.name].file.name
                raise DataError("weights", f"Tensor {entry.name!r:.80} is in {former} and in {path.name}: fetch again")
            entries[entry.name] = entry
    with target.open("wb") as out:
        _write(sorted(entries.values(), key=_order), out)


def read_header(path: Path) -> tuple[dict[str, str], list[TensorEntry]]:
    """Return metadata and entries of a safetensors file after the library has checked it.

    Raises:
        DataError: It is truncated or no such file; names it and its size.
    """
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise DataError(
            "weights",
            f"{path.name} ({path.stat().st_size} bytes{_expected(path)}) is damaged ({str(error)[:120]}): fetch again",
        ) from error
    values, start = _raw_header(path)
    metadata = values.pop("__metadata__", {})
    entries = [
        TensorEntry(name, facts["dtype"], facts["shape"], path, start + facts["data_offsets"][0], _size(facts))
        for name, facts in values.items()
    ]
    return metadata, entries


def check_finite_file(path: Path) -> int:
    """Refuse NaN and infinity in a safetensors file, one tensor at a time.

    Returns:
        Number of elements of its floating tensors.

    Raises:
        DataError: Names the first such tensor, or says that there are none at all.
    """
    elements = 0
    with safe_open(path, framework="pt") as file:
        for name in sorted(file.keys()):
            tensor = file.get_tensor(name)
            if not tensor.is_floating_point():
                continue
            wide = tensor if tensor.element_size() > 1 else tensor.to(torch.float32)  # no isfinite for 8 bits
            if not bool(torch.isfinite(wide).all()):
                raise DataError("finite-weights", f"Weight {name!r:.120} holds NaN or infinity: use other weights")
            elements += tensor.numel()
    if not elements:
        raise DataError("weights", "The model's weights hold no floating tensor, so there is nothing to fine-tune")
    return elements


def check_index(index: Path, merged: Path) -> None:
    """Refuse a merged file that lacks a tensor of the index.

    Raises:
        DataError: Names the first of them.
    """
    with safe_open(merged, framework="pt") as file:
        absent = sorted(set(read_object(index, "weights")["weight_map"]) - set(file.keys()))
    if absent:
        raise DataError(
            "weights", f"{index.name} names {len(absent)} tensors that no file holds ({absent[0]:.120}): fetch it again"
        )


def _write(entries: Sequence[TensorEntry], out: BinaryIO) -> None:
    header: dict[str, Any] = {"__metadata__": METADATA}
    offset = 0
    for entry in entries:
        header[entry.name] = {
            "dtype": entry.dtype,
            "shape": entry.shape,
            "data_offsets": [offset, offset + entry.size],
        }
        offset += entry.size
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % 8)  # the format aligns the tensors to 8 bytes
    out.write(len(raw).to_bytes(8, "little") + raw)
    for entry in entries:
        with entry.file.open("rb") as source:
            source.seek(entry.start)
            left = entry.size
            while left:
                piece = source.read(min(PIECE, left))
                left -= len(piece)
                out.write(piece)


def _order(entry: TensorEntry) -> tuple[float, str, str]:
    elements = math.prod(entry.shape)
    return (-(entry.size / elements) if elements else 0.0, entry.dtype, entry.name)


def _size(facts: dict[str, Any]) -> int:
    start, end = facts["data_offsets"]
    return int(end - start)


def _raw_header(path: Path) -> tuple[dict[str, Any], int]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length)), 8 + length


def _expected(path: Path) -> str:
    """Say how many bytes the header announces, where it can still be read."""
    try:
        values, start = _raw_header(path)
        end = max(facts["data_offsets"][1] for name, facts in values.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError):
        return ""
    return f", its header announces {start + end}"


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
