"""A pretrained encoder with its architecture's head for masked tokens, which computes nothing for the other tokens."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

from kubetune.errors import ConfigError
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.encoder import StockClassifier, with_weights
from kubetune.tasks.pretrained import load_with_report, read_configuration
from kubetune.tasks.trial import check_positions

PLACES = "places"
"""Input of the module: where the masked tokens are, counted through all rows, row by row, (masks,) int64."""


class MaskedWords(StockClassifier):
    """Encoder → states of the masked tokens → the head: transformation, then a number for each token of the vocabulary.

    Attributes:
        said: What a person must know of the head before it is trained, a line each.
    """

    def __init__(self, network: PreTrainedModel, said: tuple[str, ...] = ()) -> None:
        super().__init__(network)
        self.said = said
        self._places: torch.Tensor | None = None
        encoder: torch.nn.Module = network.base_model
        encoder.register_forward_hook(self._gather)

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Return logits (masks, vocabulary)."""
        self._places = inputs.pop(PLACES)
        try:
            logits: torch.Tensor = self.network(**inputs).logits[0]
        finally:
            self._places = None
        return logits

    def _gather(self, encoder: torch.nn.Module, given: Any, output: Any) -> Any:
        """Leave the states (1, masks, width) of the masked tokens of those (rows, length, width) of all."""
        del encoder, given
        states = output[0].flatten(0, 1)[self._places].unsqueeze(0)
        if isinstance(output, tuple):
            return states, *output[1:]
        output["last_hidden_state"] = states
        return output


def build_masked_words(spec: ModelSpec, folder: Path, *, pretrained: bool) -> MaskedWords:
    """Build the encoder and its head. See `Task.build_model`.

    Raises:
        ConfigError: The architecture has no such head, or another one was asked for.
    """
    if spec.architecture != "stock":
        raise ConfigError(
            f"Architecture {spec.architecture} has no head for masked tokens: use a pretrained encoder and "
            "model.head.kind=stock."
        )
    config = read_configuration(spec, folder, pretrained)
    auto: Any = AutoModelForMaskedLM
    if type(config) not in auto._model_mapping:
        raise ConfigError(
            f"Architecture {config.model_type} has no head for masked tokens in transformers: use an encoder that was "
            "trained with masks, such as BERT, DistilBERT or RoBERTa."
        )
    network, lacking = load_with_report(auto, config, folder if pretrained else None)
    if network.base_model is network:
        raise ConfigError(
            f"Architecture {config.model_type} cannot be asked for masked tokens alone: use another model."
        )
    check_positions(network, spec.max_length)
    network.config.architectures = [type(network).__name__]
    return with_weights(MaskedWords(network, _said(network, lacking)), folder, pretrained)


def _said(network: PreTrainedModel, lacking: frozenset[str]) -> tuple[str, ...]:
    """Say that a head is new, where the checkpoint has none or only a part of one."""
    if not lacking:
        return ()
    table = network.get_input_embeddings().weight
    output = network.get_output_embeddings()  # type: ignore[no-untyped-call]
    tied = output is not None and output.weight is table
    begins = "its output layer is that of the embeddings, the rest is random" if tied else "it begins at random"
    return (f"the checkpoint has no head for masked tokens ({len(lacking)} tensors are absent): {begins}",)
