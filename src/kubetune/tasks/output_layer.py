"""The last layer of a model with one output a text, whose unit can be changed."""

import torch
from torch import nn

from kubetune.errors import ConfigError


def output_layer(module: nn.Module, outputs: int) -> nn.Linear:
    """Return the linear layer that gives the outputs: the last one of that width.

    Raises:
        ConfigError: There is none.
    """
    layers = [part for part in module.modules() if isinstance(part, nn.Linear) and part.out_features == outputs]
    if not layers:
        raise ConfigError(
            "The architecture's own head gives its output by no linear layer, whose unit could be that of the scores: "
            "use model.head.kind=own."
        )
    return layers[-1]


def change_unit(layer: nn.Linear, center: float, scale: float) -> None:
    """Make a layer give `center + scale * x` where it gave x; a center other than 0 needs a bias."""
    with torch.no_grad():
        layer.weight.mul_(scale)
        if layer.bias is not None:
            layer.bias.mul_(scale).add_(center)
