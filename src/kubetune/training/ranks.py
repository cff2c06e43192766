"""What accelerate is used for: device, precision, wrapping and the collectives. Nothing else of it."""

from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from kubetune.errors import ConfigError, CorruptArtifactError
from kubetune.metrics.base import Outcomes, Totals
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


def gather_vectors(accelerator: Accelerator, mine: list[np.ndarray], rows: int, ranks: int) -> list[np.ndarray]:
    """Return the vectors of all rows, the same bits on every rank, of rows that were dealt out in turn.

    Args:
        accelerator: Running.
        mine: Vectors of this rank's rows, float32, all of one width.
        rows: Rows of all ranks, at least one.
        ranks: How many there are.
    """
    if ranks == 1:
        return mine
    (width,) = total(accelerator, float(mine[0].size if accelerator.is_main_process else 0))
    whole = torch.zeros((rows, int(width)))
    if mine:
        whole[accelerator.process_index :: ranks] = torch.from_numpy(np.stack(mine))
    gathered: Any = accelerator.reduce(whole.to(accelerator.device), reduction="sum")  # exact: all others are 0
    return list(gathered.cpu().numpy())


def sum_outcomes(accelerator: Accelerator, part: Outcomes, examples: int) -> Totals:
    """Add what the rows of all ranks came to.

    Args:
        accelerator: Running.
        part: Of the rows of this rank.
        examples: Rows of all ranks.

    Raises:
        CorruptArtifactError: A row came more or less than once.
    """
    mine = part.total()
    summed = total(accelerator, len(part), *mine.counts.tolist(), *mine.sums.tolist())
    if int(summed[0]) != examples:
        raise CorruptArtifactError("", "A row was judged more or less than once: this is a bug of kubetune")
    counts = np.array(summed[1 : 1 + len(mine.counts)]).round().astype(np.int64)
    return Totals(counts, np.array(summed[1 + len(mine.counts) :]), np.array(examples))
