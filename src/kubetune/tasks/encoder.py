"""Pretrained encoders: with their architecture's own classification head, or with ours."""

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification, AutoModelForTextEncoding, PreTrainedModel

from kubetune.errors import ConfigError
from kubetune.tasks.base import ModelSpec, OutputHead
from kubetune.tasks.dropout import keep_head_dropout, set_head_dropout
from kubetune.tasks.pretrained import encoder_part, load_network, muted, portable, read_configuration, stock_class
from kubetune.tasks.trained_heads import keeps_head, trained_head
from kubetune.tasks.trial import check_positions
from kubetune.tasks.weights import check_finite, load_weights

Classifier = TypeVar("Classifier", bound=nn.Module)
OWN_HEAD_DROPOUT = 0.1
ENCODERS_OF_TWO = ("t5", "mt5", "umt5")
"""Published with and without their decoder, under one name."""


class StockClassifier(nn.Module):
    """An architecture's own head that returns plain logits; its state has the names of the network inside."""

    def __init__(self, network: PreTrainedModel) -> None:
        super().__init__()
        self.network = network
        self.encoder_parts = (encoder_part(network),)

    def configuration(self) -> dict[str, Any]:
        """What `config.json` of the model says."""
        return portable(self.network.config)

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Return logits (rows, classes), or (rows, length, classes) of a head that reads each token."""
        found = self.network(**inputs)
        if "start_logits" in found:
            return torch.stack([found.start_logits, found.end_logits], dim=-1)
        logits: torch.Tensor = found.logits
        return logits

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """State of the network itself, so that `from_pretrained` reads what we save."""
        return self.network.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Counterpart of `state_dict`."""
        return self.network.load_state_dict(state_dict, strict=strict, assign=assign)


class OwnHeadClassifier(nn.Module):
    """Encoder → pooling, or each token → optional tanh layer → dropout → classes."""

    encoder_parts = ("encoder.",)

    def __init__(self, encoder: PreTrainedModel, spec: ModelSpec, head: OutputHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = "none" if head.per_token else spec.head.get("pooling", "cls")
        width = getattr(encoder.config, "hidden_size", None)
        if width is None:
            raise ConfigError(
                f"Architecture {encoder.config.model_type} states no hidden_size, which model.head.kind=own builds on: "
                "use model.head.kind=stock, or another model."
            )
        hidden = spec.head.get("hidden_size")
        self.hidden = nn.Linear(width, hidden) if hidden else None
        dropout = spec.head.get("dropout")
        self.dropout = nn.Dropout(OWN_HEAD_DROPOUT if dropout is None else float(dropout))
        self.classifier = nn.Linear(hidden or width, len(head.names))

    def configuration(self) -> dict[str, Any]:
        """What `config.json` of the model says; it names no class, since none of transformers has this head."""
        values = portable(self.encoder.config)
        values.pop("architectures", None)
        return values

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Return logits (rows, classes), or (rows, length, classes)."""
        states = self.encoder(**inputs).last_hidden_state
        if self.pooling == "none":
            pooled = states
        elif self.pooling == "cls":
            pooled = states[:, 0]
        else:
            mask = inputs["attention_mask"].unsqueeze(-1).to(states.dtype)
            pooled = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        if self.hidden is not None:
            pooled = torch.tanh(self.hidden(pooled))
        logits: torch.Tensor = self.classifier(self.dropout(pooled))
        return logits


def build_stock(spec: ModelSpec, folder: Path, head: OutputHead, *, pretrained: bool) -> StockClassifier:
    """Build the architecture's own classifier. See `Task.build_model`."""
    config, auto = read_configuration(spec, folder, pretrained), stock_class(head)
    if type(config) not in auto._model_mapping:
        raise ConfigError(
            f"Architecture {config.model_type} has no head of its own for {head.stock} in transformers: use "
            "model.head.kind=own, or another model."
        )
    replaced = pretrained and trained_head(folder, head) is not None and not keeps_head(folder, head)
    config.num_labels = len(head.names)
    config.id2label = dict(enumerate(head.names))
    config.label2id = {label: number for number, label in enumerate(head.names)}
    if head.stock == "text-classification":
        config.problem_type = head.problem
    if getattr(config, "pad_token_id", None) is None:  # decoders look for the last token before the padding
        config.pad_token_id = spec.pad_token_id
    if pretrained and spec.head.get("dropout") is not None:
        set_head_dropout(config, float(spec.head["dropout"]))
    network = load_network(auto, config, folder if pretrained else None)
    if replaced:
        _draw_head(network, auto)
    if pretrained and spec.encoder_dropout is not None and spec.head.get("dropout") is None:
        untouched = read_configuration(replace(spec, encoder_dropout=None), folder, pretrained)
        with muted():
            keep_head_dropout(network, auto, encoder_part(network), untouched)
    check_positions(network, spec.max_length)
    network.config.architectures = [type(network).__name__]
    return with_weights(StockClassifier(network), folder, pretrained)


def build_own(spec: ModelSpec, folder: Path, head: OutputHead, *, pretrained: bool) -> OwnHeadClassifier:
    """Build the encoder with our head. See `Task.build_model`."""
    encoder = bare_encoder(spec, folder, pretrained=pretrained)
    return with_weights(OwnHeadClassifier(encoder, spec, head), folder, pretrained)


def bare_encoder(spec: ModelSpec, folder: Path, *, pretrained: bool) -> PreTrainedModel:
    """Build the encoder alone; an unused pooler is left out where the architecture allows it.

    Raises:
        ConfigError: The architecture is an encoder with a decoder, and cannot be had without the decoder.
    """
    config = read_configuration(spec, folder, pretrained)
    auto: Any = AutoModel
    if type(config) not in auto._model_mapping:
        raise ConfigError(f"Architecture {config.model_type} cannot be built alone: use another model.")
    if getattr(config, "is_encoder_decoder", False) or config.model_type in ENCODERS_OF_TWO:
        auto = AutoModelForTextEncoding
        if type(config) not in auto._model_mapping:
            stock = type(config) in AutoModelForSequenceClassification._model_mapping
            raise ConfigError(
                f"Architecture {config.model_type} is an encoder with a decoder, whose states model.head.kind=own "
                f"cannot pool: use {'model.head.kind=stock, or ' if stock else ''}an encoder."
            )
    encoder = load_network(auto, config, folder if pretrained else None)
    check_positions(encoder, spec.max_length)
    return encoder


def use_plain_attention(module: nn.Module) -> None:
    """Switch every encoder inside `module` to attention of plain matrix products.

    On a CPU the backward pass of PyTorch's fused attention takes several times as long in bf16 (67 ms against 11 ms a
    layer for 32 short texts, torch 2.15); on any device the plain one is deterministic.
    """
    for part in module.children():
        if isinstance(part, PreTrainedModel):
            part.set_attn_implementation("eager")


def with_weights(module: Classifier, folder: Path, pretrained: bool) -> Classifier:
    """Return a module in fp32, its weights checked or those of artifact `model`."""
    module.to(torch.float32)
    if pretrained:
        check_finite(module)
    else:
        load_weights(module, folder)
    return module


def _draw_head(network: PreTrainedModel, auto: Any) -> None:
    """Put a new head in the place of one that was trained for other labels, drawn from torch's generator."""
    with muted():
        fresh = auto.from_config(network.config)
    for name, part in fresh.named_children():
        if name != network.base_model_prefix:
            setattr(network, name, part)
