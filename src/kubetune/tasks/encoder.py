"""Pretrained encoders: with their architecture's own classification head, or with ours."""

import inspect
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from kubetune.errors import ConfigError, DataError
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.weights import check_finite, load_weights

ENCODER_DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")
HEAD_DROPOUT = ("seq_classif_dropout", "classifier_dropout", "classifier_dropout_prob", "cls_dropout")
Classifier = TypeVar("Classifier", bound=nn.Module)
HEAD_PARTS = re.compile(r"(^|\.)(classifier|pre_classifier|pooler|score|classification_head|head)\.")


class StockClassifier(nn.Module):
    """`…ForSequenceClassification` that returns plain logits; its state has the names of the network inside."""

    def __init__(self, network: PreTrainedModel) -> None:
        super().__init__()
        self.network = network

    def configuration(self) -> dict[str, Any]:
        """What `config.json` of the model says."""
        return _portable(self.network.config)

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Return logits (rows, classes)."""
        logits: torch.Tensor = self.network(**inputs).logits
        return logits

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """State of the network itself, so that `from_pretrained` reads what we save."""
        return self.network.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Counterpart of `state_dict`."""
        return self.network.load_state_dict(state_dict, strict=strict, assign=assign)


class OwnHeadClassifier(nn.Module):
    """Encoder → pooling → optional tanh layer → dropout → classes."""

    def __init__(self, encoder: PreTrainedModel, spec: ModelSpec) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = spec.head.get("pooling", "cls")
        width = encoder.config.hidden_size
        hidden = spec.head.get("hidden_size")
        self.hidden = nn.Linear(width, hidden) if hidden else None
        self.dropout = nn.Dropout(float(spec.head.get("dropout", 0.1)))
        self.classifier = nn.Linear(hidden or width, len(spec.labels))

    def configuration(self) -> dict[str, Any]:
        """What `config.json` of the model says."""
        return _portable(self.encoder.config)

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Return logits (rows, classes)."""
        states = self.encoder(**inputs).last_hidden_state
        if self.pooling == "cls":
            pooled = states[:, 0]
        else:
            mask = inputs["attention_mask"].unsqueeze(-1).to(states.dtype)
            pooled = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        if self.hidden is not None:
            pooled = torch.tanh(self.hidden(pooled))
        logits: torch.Tensor = self.classifier(self.dropout(pooled))
        return logits


def build_stock(spec: ModelSpec, folder: Path, *, pretrained: bool) -> StockClassifier:
    """Build the architecture's own classifier. See `Task.build_model`."""
    config = _configuration(spec, folder, pretrained)
    config.num_labels = len(spec.labels)
    config.id2label = dict(enumerate(spec.labels))
    config.label2id = {label: number for number, label in enumerate(spec.labels)}
    config.problem_type = "single_label_classification"
    if pretrained:
        _set_dropout(config, HEAD_DROPOUT, float(spec.head.get("dropout", 0.1)), first_only=True)
    network = _network(AutoModelForSequenceClassification, config, folder if pretrained else None)
    config.architectures = [type(network).__name__]
    module = StockClassifier(network)
    return _loaded(module, folder, pretrained)


def build_own(spec: ModelSpec, folder: Path, *, pretrained: bool) -> OwnHeadClassifier:
    """Build the encoder with our head; an unused pooler is left out where the architecture allows it."""
    config = _configuration(spec, folder, pretrained)
    encoder = _network(AutoModel, config, folder if pretrained else None)
    module = OwnHeadClassifier(encoder, spec)
    return _loaded(module, folder, pretrained)


def use_plain_attention(module: nn.Module) -> None:
    """Switch every encoder inside `module` to attention of plain matrix products.

    On a CPU the backward pass of PyTorch's fused attention takes several times as long in bf16 (67 ms against 11 ms a
    layer for 32 short texts, torch 2.15); on any device the plain one is deterministic.
    """
    for part in module.children():
        if isinstance(part, PreTrainedModel):
            part.set_attn_implementation("eager")


def _loaded(module: Classifier, folder: Path, pretrained: bool) -> Classifier:
    module.to(torch.float32)
    if pretrained:
        check_finite(module)
    else:
        load_weights(module, folder)
    return module


def _configuration(spec: ModelSpec, folder: Path, pretrained: bool) -> Any:
    """Read `config.json` without running any code of the checkpoint, and put the recipe's dropout into it."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "auto_map" in values:
            raise ConfigError("config.json has auto_map, which runs code of the checkpoint: use another checkpoint.")
        with _quiet():
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError) as error:
        raise DataError("model-config", f"config.json is not a known architecture's: {str(error)[:200]}") from error
    positions = getattr(config, "max_position_embeddings", spec.max_length)
    if spec.max_length > positions:
        raise ConfigError(f"model.max_length is {spec.max_length}: this encoder has {positions} positions; lower it.")
    if pretrained and spec.encoder_dropout is not None:
        _set_dropout(config, ENCODER_DROPOUT, spec.encoder_dropout, first_only=False)
    return config


def _portable(config: PreTrainedConfig) -> dict[str, Any]:
    """Configuration as JSON-able values without the folder that it was read from."""
    values: dict[str, Any] = json.loads(config.to_json_string(use_diff=True))
    values.pop("_name_or_path", None)
    return values


def _set_dropout(config: PreTrainedConfig, names: tuple[str, ...], value: float, *, first_only: bool) -> None:
    present = [name for name in names if hasattr(config, name)]
    if not present:
        raise ConfigError(
            f"Architecture {config.model_type} has none of {', '.join(names)}: its dropout cannot be set; "
            "use model.head.kind=own and model.encoder_dropout=null."
        )
    for name in present[:1] if first_only else present:
        setattr(config, name, value)


def _network(auto: Any, config: PreTrainedConfig, folder: Path | None) -> PreTrainedModel:
    """Build `auto`'s class for `config`; with a folder, load its encoder and accept a new head only."""
    options = {} if auto is AutoModelForSequenceClassification else _without_pooler(config)
    with _quiet():
        if folder is None:
            return auto.from_config(config, **options)  # type: ignore[no-any-return]
        try:
            network, report = auto.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                **options,
            )
        except (SafetensorError, OSError, RuntimeError, ValueError) as error:
            sentence = " ".join(str(error).split())[:200]
            raise DataError("weights", f"The pretrained weights cannot be loaded ({sentence}); fetch again") from error
    missing = sorted(name for name in report["missing_keys"] if not HEAD_PARTS.search(name))
    if missing or report["mismatched_keys"]:
        faults = [*missing, *sorted(str(key) for key in report["mismatched_keys"])]
        raise DataError("weights", f"The weights do not fit {config.model_type}: {', '.join(faults)[:300]}")
    return network  # type: ignore[no-any-return]


def _without_pooler(config: PreTrainedConfig) -> dict[str, bool]:
    """Arguments that leave the pooler out: our head pools itself, and unused tensors would be dead weight."""
    kind: Any = AutoModel._model_mapping[type(config)]
    return {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind).parameters else {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Mute the load report: a new head is what was asked for, and `_network` checks the rest itself."""
    verbosity, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
