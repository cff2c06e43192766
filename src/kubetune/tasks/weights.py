"""Reading and writing weights: safetensors only, strict in names and shapes, finite."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from kubetune.errors import DataError

WEIGHTS_FILE = "model.safetensors"


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
    tensors = read_tensors(folder / WEIGHTS_FILE)
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise DataError(
            "weights", f"{WEIGHTS_FILE} does not fit the architecture: {' '.join(str(error).split())[:300]}"
        ) from error
    check_finite(module)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file.

    Raises:
        DataError: It is absent or truncated.
    """
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
