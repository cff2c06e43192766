"""The layer that gives a model's outputs, whose bias and unit can be set."""

import torch
from torch import nn

from kubetune.errors import ConfigError


class ExactLinear(nn.Linear):
    """A linear layer that computes in fp32 under autocast too, for outputs that are numbers in a unit of the data.

    bf16 has 8 significant bits: a score near 75 would be a multiple of 0.5, whatever the model knows.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return (…, outputs), fp32, of inputs of any floating dtype."""
        with torch.autocast(input.device.type, enabled=False):
            return nn.functional.linear(input.float(), self.weight, self.bias)


def keep_exact(module: nn.Module, outputs: int) -> nn.Module:
    """Return `module` with an `ExactLinear` in the place of its output layer, over the same parameters."""
    layer = output_layer(module, outputs)
    for parent in list(module.modules()):
        for name, part in parent.named_children():
            if part is layer:
                exact = ExactLinear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
                exact.weight, exact.bias = layer.weight, layer.bias
                setattr(parent, name, exact)
    return module


def output_layer(module: nn.Module, outputs: int) -> nn.Linear | None:
    """Return the linear layer that gives the outputs, the last one of that width, or None: a head may have none."""
    layers = [part for part in module.modules() if isinstance(part, nn.Linear) and part.out_features == outputs]
    return layers[-1] if layers else None


def score_layer(module: nn.Module) -> nn.Linear:
    """Return the linear layer that gives one score.

    Raises:
        ConfigError: There is none.
    """
    layer = output_layer(module, 1)
    if layer is None:
        raise ConfigError(
            "The architecture's own head gives its output by no linear layer, whose unit could be that of the scores: "
            "use model.head.kind=own."
        )
    return layer


def change_unit(layer: nn.Linear, center: float, scale: float) -> None:
    """Make a layer give `center + scale * x` where it gave x; a center other than 0 needs a bias."""
    with torch.no_grad():
        layer.weight.mul_(scale)
        if layer.bias is not None:
            layer.bias.mul_(scale).add_(center)
