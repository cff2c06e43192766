"""Outputs of many features, for evaluation, packaging and serving alike."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch

from kubetune.tasks.base import Feature, Task

Precision = Literal["fp32", "bf16"]


def predict_logits(
    module: torch.nn.Module,
    rows: Sequence[Feature],
    task: Task,
    pad_token_id: int,
    batch: int,
    precision: Precision = "fp32",
) -> np.ndarray:
    """Return the outputs of `predict_outputs` of a head that reads whole texts as one array.

    Returns:
        (rows, outputs), float32, in the order of `rows`; shape (0, 0) without rows.
    """
    outputs = predict_outputs(module, rows, task, pad_token_id, batch, precision)
    return np.stack(outputs) if outputs else np.zeros((0, 0), dtype=np.float32)


def predict_outputs(
    module: torch.nn.Module,
    rows: Sequence[Feature],
    task: Task,
    pad_token_id: int,
    batch: int,
    precision: Precision = "fp32",
) -> list[np.ndarray]:
    """Run `module` in evaluation mode over features of any lengths.

    They are sorted by length, cut into micro-batches and put back by index, so that little padding is computed.

    Args:
        module: On the device it shall run on; its training mode is restored afterwards.
        rows: Features.
        task: The task that collates them.
        pad_token_id: What to pad with.
        batch: Rows a micro-batch.
        precision: `bf16` runs under autocast; ask `native_bf16` first.

    Returns:
        Output of each feature, in the order of `rows`, float32: (outputs,), or (tokens, outputs) without padding where
        the head reads each token; see `Task.kept`.
    """
    device = next(module.parameters()).device
    training = module.training
    if training:  # walking a module that is in evaluation mode already costs a served request a tenth of its time
        module.eval()
    found: dict[int, np.ndarray] = {}
    try:
        with torch.inference_mode(), autocast(device, precision):
            for part in _by_length(rows, batch):
                inputs = task.collate([rows[index] for index in part], pad_token_id)
                outputs = module(**{name: tensor.to(device) for name, tensor in inputs.items()})
                found |= zip(part, task.kept(outputs, [rows[index] for index in part]), strict=True)
    finally:
        if training:
            module.train()
    return [found[index] for index in range(len(rows))]


LOSS_BATCH = 256
"""Features whose losses are worked out at once."""


def feature_losses(task: Task, outputs: Sequence[np.ndarray], features: Sequence[Feature]) -> np.ndarray:
    """Implement `Task.feature_losses` for a task that keeps all outputs.

    Args:
        task: The task.
        outputs: Of `predict_outputs`.
        features: With their targets.
    """
    found = np.zeros(len(features), dtype=np.float64)
    for part in _by_length(features, LOSS_BATCH):
        length = len(features[part[0]]["input_ids"])
        padded = np.zeros((len(part), *((length,) if outputs[part[0]].ndim > 1 else ()), outputs[part[0]].shape[-1]))
        for row, index in enumerate(part):
            padded[row][: len(outputs[index])] = outputs[index]
        targets = task.targets([features[index] for index in part], length)
        found[part] = task.losses(torch.from_numpy(padded.astype(np.float32)), targets).double().numpy()
    return found


def _by_length(features: Sequence[Feature], batch: int) -> Iterator[list[int]]:
    """Yield the numbers of features in batches of similar length, the longest first."""
    order = sorted(range(len(features)), key=lambda index: (-len(features[index]["input_ids"]), index))
    for start in range(0, len(order), batch):
        yield order[start : start + batch]


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Context in which matrix products run in `precision`; weights stay fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
