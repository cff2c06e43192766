"""Reading and writing weights: safetensors only, strict in names and shapes, finite, in storage of their own.

A loader may map a file, and a tensor then lies where its bytes lie in it: at any multiple of 8 bytes. MKL sums narrow
matrix products in another order where an operand is not aligned to 64 bytes, so equal weights would give other bits.
"""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from kubetune.errors import DataError

WEIGHTS_FILE = "model.safetensors"
Module = TypeVar("Module", bound=torch.nn.Module)


def save_weights(module: torch.nn.Module, folder: Path) -> None:
    """Write the complete state of `module` to `folder/model.safetensors`; equal tensors give equal bytes."""
    write_tensors(module.state_dict(), folder / WEIGHTS_FILE)


def write_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors in name order, each with storage of its own (safetensors refuses shared storage)."""
    save_file(
        {name: tensors[name].detach().to("cpu", copy=True).contiguous() for name in sorted(tensors)},
        path,
        metadata={"format": "pt"},
    )


def load_weights(module: torch.nn.Module, folder: Path) -> None:
    """Load `folder/model.safetensors` into `module`: each tensor must be there, fit and be finite, and no other.

    Raises:
        DataError: It is absent, truncated, not finite, or does not fit the module.
    """
    tensors = _mapped(folder / WEIGHTS_FILE)
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise DataError(
            "weights", f"{WEIGHTS_FILE} does not fit the architecture: {' '.join(str(error).split())[:300]}"
        ) from error
    check_finite(module)


def own_storage(module: Module) -> Module:
    """Move each parameter and buffer of `module` that lies elsewhere into memory that PyTorch allocated for it alone.

    Call it after each loader that may map a file. Names, sharing of one parameter by several layers, values and dtypes
    stay; storage is then contiguous and aligned to 64 bytes (`c10::gAlignment`), whatever the file's layout was.
    """
    for tensor in chain(module.parameters(), module.buffers()):
        tensor.data = _owned(tensor.data)
    return module


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file into memory; see `own_storage`.

    Raises:
        DataError: It is absent or truncated.
    """
    return {name: _owned(tensor) for name, tensor in _mapped(path).items()}


def _owned(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone(memory_format=torch.contiguous_format)


def _mapped(path: Path) -> dict[str, torch.Tensor]:
    """Tensors that lie in the file: to be copied, not to be computed with."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError("weights", f"{path.name} is absent or damaged ({error}): fetch or train it again") from error


def not_finite(module: torch.nn.Module) -> str | None:
    """Return the name of the first tensor that holds NaN or infinity; None: all are finite."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            return str(name)
    return None


def check_finite(module: torch.nn.Module) -> None:
    """Refuse NaN and infinity in any floating tensor of `module`.

    Raises:
        DataError: Names the first such tensor.
    """
    if name := not_finite(module):
        raise DataError("finite-weights", f"Weight {name} holds NaN or infinity: use other weights")
