"""What a recipe says of dropout, put into a checkpoint's configuration; nothing else of it is touched."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from kubetune.errors import ConfigError

ENCODER = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")
HEAD = ("seq_classif_dropout", "classifier_dropout", "classifier_dropout_prob", "cls_dropout")


def set_encoder_dropout(config: PreTrainedConfig, value: float) -> None:
    """Set every dropout of the encoder.

    Raises:
        ConfigError: The architecture has none that is known.
    """
    for name in _present(config, ENCODER):
        setattr(config, name, value)


def set_head_dropout(config: PreTrainedConfig, value: float) -> None:
    """Set the dropout of the architecture's own head.

    Raises:
        ConfigError: The architecture has none that is known.
    """
    setattr(config, _present(config, HEAD)[0], value)


def keep_head_dropout(network: PreTrainedModel, auto: Any, encoder: str, untouched: PreTrainedConfig) -> None:
    """Give a head back its own dropout where the architecture takes it from the encoder's, which the recipe set.

    BERT's does where the checkpoint states none, MPNet's and DeBERTa's always. What it would have been is seen in a
    network without memory, so that no family has to be known; no random number is drawn.

    Args:
        network: The classifier.
        auto: `AutoModelFor…` that built it.
        encoder: What names of its encoder begin with.
        untouched: The checkpoint's configuration as it is.
    """
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        plain = auto.from_config(untouched)
    own = {name: part.p for name, part in plain.named_modules() if isinstance(part, nn.Dropout)}
    for name, part in network.named_modules():
        if isinstance(part, nn.Dropout) and not name.startswith(encoder):
            part.p = own[name]


def _present(config: PreTrainedConfig, names: tuple[str, ...]) -> list[str]:
    present = [name for name in names if hasattr(config, name)]
    if not present:
        raise ConfigError(
            f"Architecture {config.model_type} has none of {', '.join(names)}: its dropout cannot be set; "
            "use model.head.kind=own and model.encoder_dropout=null."
        )
    return present
