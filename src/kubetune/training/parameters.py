"""Which tensors train, and the proof afterwards that exactly those moved."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from kubetune.errors import ConfigError, KubetuneError

NO_GRADIENT = 1e-16
"""Second moment below which a gradient never reached a tensor (a gradient of 1e-8: rounding noise)."""


def named_parameters(module: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Parameters by the names that the stored state has; a shared one once."""
    found: dict[int, tuple[str, torch.nn.Parameter]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if isinstance(tensor, torch.nn.Parameter):
            found.setdefault(id(tensor), (name, tensor))
    return dict(found.values())


def freeze(module: torch.nn.Module, groups: Mapping[str, list[str]], encoder: bool, first_layers: int) -> None:
    """Switch gradients off for the parts that shall stay as they are.

    Args:
        module: What is trained.
        groups: Parameter names by part, from the task.
        encoder: Freeze everything but the head.
        first_layers: Freeze the embeddings and this many encoder layers.

    Raises:
        ConfigError: The encoder has fewer layers.
    """
    layers = sum(part.startswith("layer.") for part in groups)
    if first_layers > layers:
        raise ConfigError(f"training.freeze.first_layers is {first_layers}: this encoder has {layers} layers.")
    still = {part for part in groups if encoder and part != "head"}
    if first_layers:
        still |= {"embeddings", *(f"layer.{number}" for number in range(first_layers))}
    parameters = module.state_dict(keep_vars=True)  # under each of its names where one is shared
    for part in still & set(groups):
        for name in groups[part]:
            parameters[name].requires_grad_(False)


def drop_unused(module: torch.nn.Module, groups: Mapping[str, list[str]]) -> list[str]:
    """After a trial backward pass: switch tensors off that no gradient reaches, and return their names.

    An encoder may carry a part that this head does not read, a pooler for instance. Left on, it would be stored as
    trained, and ranks would wait for its gradient.

    Raises:
        KubetuneError: A tensor of the output layer is among them: the loss does not depend on it.
    """
    unused = [name for name, tensor in named_parameters(module).items() if tensor.requires_grad and tensor.grad is None]
    bare = [name for name in groups.get("head", []) if "pooler" not in name]
    if set(unused) & set(bare):
        raise KubetuneError(f"No gradient reaches {', '.join(unused)[:200]} of the head: this is a bug of kubetune.")
    parameters = named_parameters(module)
    for name in unused:
        parameters[name].requires_grad_(False)
    return unused


@dataclass(frozen=True)
class Snapshot:
    """Digest (SHA-256 of the bytes) and Euclidean norm of a tensor before training."""

    digest: str
    norm: float


def snapshot(module: torch.nn.Module) -> dict[str, Snapshot]:
    """Take a snapshot of each parameter."""
    return {name: Snapshot(_digest(tensor), _norm(tensor)) for name, tensor in named_parameters(module).items()}


def parameter_table(
    module: torch.nn.Module, before: Mapping[str, Snapshot], unused: list[str], moments: Mapping[str, torch.Tensor]
) -> list[dict[str, Any]]:
    """Return a row a parameter: name, shape, trainable, norms before and after, moved.

    Args:
        module: With the weights that are kept.
        before: Snapshot of the weights that training began with.
        unused: Names that no gradient can reach.
        moments: Optimizer state from `optimizer_tensors`.

    Raises:
        KubetuneError: A frozen tensor moved, or a trainable one that had a gradient did not.
    """
    table, faults = [], []
    for name, tensor in named_parameters(module).items():
        moved = _digest(tensor) != before[name].digest
        trains = tensor.requires_grad
        if moved and not trains:
            faults.append(f"{name} (frozen, moved)")
        if trains and not moved and _reached(moments.get(f"{name}/exp_avg_sq")):
            faults.append(f"{name} (trainable, did not move)")
        row = {
            "name": name,
            "shape": list(tensor.shape),
            "trainable": trains,
            "norm_before": before[name].norm,
            "norm_after": _norm(tensor),
            "moved": moved,
        }
        table.append(row | ({"unused": True} if name in unused else {}))
    if faults:
        raise KubetuneError(
            f"Parameters do not behave as the recipe says: {', '.join(faults)[:400]}; a learning rate too small to "
            "change a weight does this, else it is a bug of kubetune."
        )
    return table


def _reached(second_moment: torch.Tensor | None) -> bool:
    """Whether a gradient above rounding noise ever reached a tensor; one without state was forgotten: yes."""
    return second_moment is None or float(second_moment.max()) > NO_GRADIENT


def _digest(tensor: torch.Tensor) -> str:
    values = tensor.detach().cpu().contiguous()
    return hashlib.sha256(values.reshape(-1).numpy().data).hexdigest()


def _norm(tensor: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor.detach().cpu(), dtype=torch.float64))
