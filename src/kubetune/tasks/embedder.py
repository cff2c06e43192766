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
        """Return vectors (rows, texts * width) of tensors (rows, texts, length) or (rows, length).

        Texts of a row differ in length, a question from its answer: all texts are read sorted by length, in as many
        passes as a row has texts, each as long as its longest.
        """
        rows = len(inputs["input_ids"])
        flat = {name: tensor.flatten(0, -2) for name, tensor in inputs.items()}
        texts = len(flat["input_ids"]) // rows
        if texts == 1:
            return self._pooled(flat)
        lengths = flat["attention_mask"].sum(dim=1)
        order = lengths.argsort(stable=True)
        passes = [
            self._pooled({name: tensor[some, : int(lengths[some].max())] for name, tensor in flat.items()})
            for some in order.chunk(texts)
        ]
        return torch.cat(passes)[order.argsort()].reshape(rows, -1)

    def _pooled(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        states: torch.Tensor = self.network(**inputs).last_hidden_state
        if self.pooling == "cls":
            return states[:, 0]
        mask = inputs["attention_mask"].unsqueeze(-1).to(states.dtype)
        return (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


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
