"""A pretrained encoder that gives one vector a text: nothing but the encoder and how its states are pooled."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from kubetune.errors import ConfigError
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.encoder import StockClassifier, bare_encoder, with_weights


class Embedder(StockClassifier):
    """Encoder → mean over the real tokens, or the first token."""

    def __init__(self, network: PreTrainedModel, pooling: str) -> None:
        super().__init__(network)
        self.pooling = pooling

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Return vectors (rows, texts * width) of tensors (rows, texts, length), read in one pass."""
        rows = len(inputs["input_ids"])
        flat = {name: tensor.flatten(0, -2) for name, tensor in inputs.items()}
        states = self.network(**flat).last_hidden_state
        if self.pooling == "cls":
            pooled = states[:, 0]
        else:
            mask = flat["attention_mask"].unsqueeze(-1).to(states.dtype)
            pooled = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        vectors: torch.Tensor = pooled.reshape(rows, -1)
        return vectors


def build_embedder(spec: ModelSpec, folder: Path, *, pretrained: bool) -> Embedder:
    """Build the encoder without a head. See `Task.build_model`.

    Raises:
        ConfigError: The architecture cannot be had without its decoder, or another one was asked for.
    """
    if spec.architecture != "stock":
        raise ConfigError(
            f"Architecture {spec.architecture} gives no vectors of texts: use a pretrained encoder and "
            "model.head.kind=stock."
        )
    network = bare_encoder(spec, folder, pretrained=pretrained)
    network.config.architectures = [type(network).__name__]
    return with_weights(Embedder(network, spec.head.get("pooling", "mean")), folder, pretrained)
