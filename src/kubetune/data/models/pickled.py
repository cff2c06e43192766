"""Pickled checkpoints, read without running what they ask for, and stored as safetensors."""

import pickle
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

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
