"""Logits of many rows, for evaluation, packaging and serving alike."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from kubetune.tasks.base import Encoded, Feature, Task

Precision = Literal["fp32", "bf16"]


def predict_logits(
    module: torch.nn.Module,
    rows: Sequence[Encoded],
    task: Task,
    pad_token_id: int,
    batch: int,
    precision: Precision = "fp32",
) -> np.ndarray:
    """Run `module` in evaluation mode over rows of any lengths.

    Rows are sorted by length, cut into micro-batches and put back by index, so that little padding is computed.

    Args:
        module: A classifier, on the device it shall run on; its training mode is restored afterwards.
        rows: Encoded items.
        task: The task that collates them.
        pad_token_id: What to pad with.
        batch: Rows a micro-batch.
        precision: `bf16` runs under autocast; ask `native_bf16` first.

    Returns:
        Logits (rows, classes), float32, in the order of `rows`; shape (0, 0) without rows.
    """
    order = sorted(range(len(rows)), key=lambda index: (-len(rows[index]["input_ids"]), index))
    device = next(module.parameters()).device
    training = module.training
    if training:  # walking a module that is in evaluation mode already costs a served request a tenth of its time
        module.eval()
    chunks, seen = [], np.zeros(len(rows), dtype=np.int64)
    try:
        with torch.inference_mode(), autocast(device, precision):
            for start in range(0, len(order), batch):
                part = order[start : start + batch]
                inputs = task.collate([rows[index] for index in part], pad_token_id)
                logits = module(**{name: tensor.to(device) for name, tensor in inputs.items()})
                chunks.append(logits.float().cpu().numpy())
                seen[part] += 1
    finally:
        if training:
            module.train()
    if not chunks:
        return np.zeros((0, 0), dtype=np.float32)
    if not (seen == 1).all():
        raise AssertionError("a row was predicted more or less than once")
    result = np.empty((len(rows), chunks[0].shape[1]), dtype=np.float32)
    result[order] = np.concatenate(chunks)
    return result


def predict_outputs(
    module: torch.nn.Module,
    rows: Sequence[Feature],
    task: Task,
    pad_token_id: int,
    batch: int,
    precision: Precision = "fp32",
) -> list[np.ndarray]:
    """Run `module` in evaluation mode over features of any lengths; see `predict_logits`.

    Returns:
        Output of each feature, in the order of `rows`, float32: (outputs,), or (tokens, outputs) without padding where
        the head reads each token.
    """
    order = sorted(range(len(rows)), key=lambda index: (-len(rows[index]["input_ids"]), index))
    device = next(module.parameters()).device
    training = module.training
    if training:  # walking a module that is in evaluation mode already costs a served request a tenth of its time
        module.eval()
    found: list[np.ndarray | None] = [None] * len(rows)
    try:
        with torch.inference_mode(), autocast(device, precision):
            for start in range(0, len(order), batch):
                part = order[start : start + batch]
                inputs = task.collate([rows[index] for index in part], pad_token_id)
                outputs = module(**{name: tensor.to(device) for name, tensor in inputs.items()}).float().cpu().numpy()
                for index, output in zip(part, outputs, strict=True):
                    found[index] = output[: len(rows[index]["input_ids"])] if output.ndim > 1 else output
    finally:
        if training:
            module.train()
    return [output for output in found if output is not None]


def feature_losses(task: Task, outputs: Sequence[np.ndarray], features: Sequence[Feature]) -> np.ndarray:
    """Return the sum of the losses of each feature, shape (features,), float64, without smoothing or weights."""
    losses = [
        float(task.losses(torch.from_numpy(output)[None], task.targets([feature], len(feature["input_ids"])))[0])
        for output, feature in zip(outputs, features, strict=True)
    ]
    return np.array(losses, dtype=np.float64)


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Context in which matrix products run in `precision`; weights stay fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
