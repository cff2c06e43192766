"""What accelerate is used for: device, precision, wrapping and the collectives. Nothing else of it."""

from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from kubetune.errors import ConfigError, CorruptArtifactError
from kubetune.tasks.inference import Precision


def start_accelerator(ranks: int, device: str, precision: Precision) -> Accelerator:
    """Start accelerate and make sure that it has the ranks that were asked for, before anything is computed.

    Raises:
        ConfigError: The world has another size: training would silently be another one.
    """
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(
        cpu=device == "cpu",
        mixed_precision="bf16" if precision == "bf16" else "no",
    )
    found = accelerator.num_processes
    if found != ranks or accelerator.device.type != device:
        raise ConfigError(
            f"{ranks} ranks on {device} were asked for, {found} on {accelerator.device.type} were started: check "
            "resources.train.gpus and resources.train.processes against the machine."
        )
    return accelerator


def total(accelerator: Accelerator, *values: float | torch.Tensor) -> list[float]:
    """Return the sum of each value over all ranks, in fp64."""
    vector = torch.stack([torch.as_tensor(value, dtype=torch.float64).detach().cpu() for value in values])
    summed: Any = accelerator.reduce(vector.to(accelerator.device), reduction="sum")
    return [float(value) for value in summed.cpu()]


def gather_rows(accelerator: Accelerator, index: np.ndarray, values: np.ndarray, rows: int) -> np.ndarray:
    """Bring every rank's part together.

    Args:
        accelerator: Running.
        index: (part,) row numbers of this rank.
        values: (part, width) float32.
        rows: Rows of all ranks.

    Returns:
        (rows, width) in row order, on every rank.

    Raises:
        CorruptArtifactError: A row came more or less than once.
    """
    width = int(total(accelerator, float(values.shape[1]) if accelerator.process_index == 0 else 0.0)[0])
    part = -(-rows // accelerator.num_processes)
    numbers = np.full(part, -1, dtype=np.int64)
    padded = np.zeros((part, width), dtype=np.float32)
    numbers[: len(index)] = index
    padded[: len(index)] = values.reshape(len(index), -1) if len(index) else 0.0
    device = accelerator.device
    numbers = accelerator.gather(torch.from_numpy(numbers).to(device)).cpu().numpy()
    padded = accelerator.gather(torch.from_numpy(padded).to(device)).cpu().numpy()
    real = numbers >= 0
    if not np.array_equal(np.sort(numbers[real]), np.arange(rows)):
        raise CorruptArtifactError("", "A row was gathered more or less than once: this is a bug of kubetune")
    result = np.empty((rows, width), dtype=np.float32)
    result[numbers[real]] = padded[real]
    return result
