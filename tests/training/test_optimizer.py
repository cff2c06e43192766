"""The optimizer's state on its way through a checkpoint."""

from pathlib import Path

import pytest
import torch

from kubetune.tasks.weights import read_tensors, write_tensors
from kubetune.training.optimizer import build_optimizer, load_optimizer_tensors, optimizer_tensors


def parameters(device: str = "cpu") -> dict[str, torch.nn.Parameter]:
    torch.manual_seed(0)
    # In another order than the groups': matrices decay, vectors do not.
    shapes = {"bias": (3,), "weight": (5, 3), "norm": (5,), "head": (2, 5)}
    return {name: torch.nn.Parameter(torch.randn(shape, device=device)) for name, shape in shapes.items()}


def step(optimizer: torch.optim.Optimizer, found: dict[str, torch.nn.Parameter], number: int) -> None:
    for tensor in found.values():
        tensor.grad = torch.full_like(tensor, 0.1 * number)
    optimizer.step()


def test_a_resumed_optimizer_goes_on_as_the_unbroken_one(tmp_path: Path) -> None:
    unbroken = parameters()
    optimizer = build_optimizer(unbroken, 1e-2, 0.1)
    for number in range(1, 4):
        step(optimizer, unbroken, number)
    write_tensors(optimizer_tensors(optimizer, unbroken), tmp_path / "optimizer.safetensors")
    resumed = {name: torch.nn.Parameter(tensor.detach().clone()) for name, tensor in unbroken.items()}
    other = build_optimizer(resumed, 1e-2, 0.1)
    load_optimizer_tensors(other, resumed, read_tensors(tmp_path / "optimizer.safetensors"))
    for number in range(4, 7):
        step(optimizer, unbroken, number)
        step(other, resumed, number)
    assert all(torch.equal(unbroken[name], tensor) for name, tensor in resumed.items())
    states = [optimizer_tensors(optimizer, unbroken), optimizer_tensors(other, resumed)]
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())


@pytest.mark.parametrize(("fused", "device"), [(True, "meta"), (False, "cpu")])
def test_the_step_lies_where_the_optimizer_reads_it(fused: bool, device: str) -> None:
    """A fused step reads it on the parameter's device: `meta` stands for a GPU, whose kernels are not run here."""
    source = parameters()
    optimizer = build_optimizer(source, 1e-2, 0.1)
    step(optimizer, source, 1)
    elsewhere = parameters("meta")
    there = torch.optim.AdamW(elsewhere.values(), lr=1e-2)
    there.param_groups[0]["fused"] = fused
    load_optimizer_tensors(there, elsewhere, optimizer_tensors(optimizer, source))
    for tensor in elsewhere.values():
        state = there.state[tensor]
        assert state["step"].device.type == device
        assert {state[moment].device.type for moment in ("exp_avg", "exp_avg_sq")} == {"meta"}


def test_a_parameter_without_state_is_an_error() -> None:
    found = parameters()
    optimizer = build_optimizer(found, 1e-2, 0.1)
    step(optimizer, found, 1)
    tensors = optimizer_tensors(optimizer, found)
    del tensors["norm/exp_avg"]
    with pytest.raises(KeyError, match="norm/exp_avg"):
        load_optimizer_tensors(optimizer, found, tensors)
