"""AdamW in decay groups, its state by parameter name, and clipping by the global norm."""

from collections.abc import Mapping

import torch

Named = Mapping[str, torch.nn.Parameter]
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of a parameter."""


def build_optimizer(parameters: Named, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Build AdamW; biases and norm weights (fewer than two dimensions) are not decayed.

    Args:
        parameters: Trainable parameters by name; their order is the order of the state.
        learning_rate: Peak rate; the loop sets the current one each step.
        weight_decay: Decoupled decay.
    """
    decayed = [tensor for tensor in parameters.values() if tensor.ndim >= 2]
    plain = [tensor for tensor in parameters.values() if tensor.ndim < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip(parameters: Named, limit: float | None) -> float:
    """Scale gradients to a global norm of at most `limit`; return the norm before (not finite: nothing is scaled)."""
    gradients = [tensor.grad for tensor in parameters.values() if tensor.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if limit is not None and bool(torch.isfinite(norm)) and float(norm) > limit:  # else all would be multiplied by 1
        torch.nn.utils.clip_grads_with_norm_(parameters.values(), limit, norm)
    return float(norm)


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: Named) -> dict[str, torch.Tensor]:
    """Return the state as `<parameter>/<moment>` → tensor."""
    return {
        f"{name}/{moment}": value
        for name, tensor in parameters.items()
        for moment, value in optimizer.state.get(tensor, {}).items()
    }


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer, parameters: Named, tensors: Mapping[str, torch.Tensor]
) -> None:
    """Put back what `optimizer_tensors` returned; the optimizer may keep the tensors themselves.

    Through PyTorch's own loading, which knows where each value belongs: a fused step wants `step` on the parameter's
    device, another one on the CPU.

    Raises:
        KeyError: A parameter has no state in `tensors`.
    """
    groups = optimizer.state_dict()["param_groups"]
    numbers = {
        id(tensor): number
        for group, numbered in zip(optimizer.param_groups, groups, strict=True)
        for tensor, number in zip(group["params"], numbered["params"], strict=True)
    }
    state = {
        numbers[id(tensor)]: {moment: tensors[f"{name}/{moment}"] for moment in MOMENTS}
        for name, tensor in parameters.items()
    }
    optimizer.load_state_dict({"state": state, "param_groups": groups})
