"""A checkpoint: its configuration, read without code of its own, and its weights, of which a head may be new."""

import inspect
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from kubetune.errors import ConfigError, DataError
from kubetune.tasks.base import ModelSpec, OutputHead
from kubetune.tasks.dropout import set_encoder_dropout

POOLER = re.compile(r"(^|\.)pooler\.")


def read_configuration(spec: ModelSpec, folder: Path, pretrained: bool) -> Any:
    """Read `config.json` without running any code of the checkpoint, and put the recipe's dropout into it."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if "auto_map" in values:
            raise ConfigError("config.json has auto_map, which runs code of the checkpoint: use another checkpoint.")
        with muted():
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError) as error:
        raise DataError("model-config", f"config.json is not a known architecture's: {str(error)[:200]}") from error
    if config.model_type == "xlnet":
        raise ConfigError("Architecture xlnet pads on the left and puts its class token last: use another encoder.")
    if getattr(config, "attention_type", None) == "block_sparse":
        # BigBird falls back to this for good at the first short text: answers would depend on what came before.
        config.attention_type = "original_full"
    if pretrained and spec.encoder_dropout is not None:
        set_encoder_dropout(config, spec.encoder_dropout)
    return config


def portable(config: PreTrainedConfig) -> dict[str, Any]:
    """Configuration as JSON-able values without the folder that it was read from."""
    values: dict[str, Any] = json.loads(config.to_json_string(use_diff=True))
    values.pop("_name_or_path", None)
    return values


def load_network(auto: Any, config: PreTrainedConfig, folder: Path | None) -> PreTrainedModel:
    """Build `auto`'s class for `config`; with a folder, load its encoder and accept a new head only."""
    return load_with_report(auto, config, folder)[0]


def load_with_report(
    auto: Any, config: PreTrainedConfig, folder: Path | None
) -> tuple[PreTrainedModel, frozenset[str]]:
    """Return what `load_network` does, and the names of tensors of the head that the checkpoint has not."""
    options = {} if (headed := auto in STOCK.values()) else _without_pooler(config)
    with muted():
        if folder is None:
            return auto.from_config(config, **options), frozenset()
        try:
            network, report = auto.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported, and allowed for a head only
                **options,
            )
        except (SafetensorError, OSError, RuntimeError, ValueError) as error:
            sentence = " ".join(str(error).split())[:200]
            raise DataError("weights", f"The pretrained weights cannot be loaded ({sentence}); fetch again") from error
    misfits = [str(key if isinstance(key, str) else key[0]) for key in report["mismatched_keys"]]
    encoder = encoder_part(network) if headed else ""
    lacking = {*report["missing_keys"], *misfits}
    faults = sorted(name for name in lacking if name.startswith(encoder) and not POOLER.search(name))
    if faults and not misfits and all("decoder." in name for name in faults):
        raise ConfigError(
            f"This {config.model_type} checkpoint is an encoder without its decoder, which the architecture's own "
            "classifier reads: use model.head.kind=own with model.head.pooling=mean."
        )
    if faults:
        raise DataError("weights", f"The weights do not fit {config.model_type}: {', '.join(faults)[:300]}")
    return network, frozenset(map(str, lacking))


def encoder_part(network: PreTrainedModel) -> str:
    """Return what names of the encoder begin with inside of a classifier; what is beside it is the head."""
    prefix = network.base_model_prefix
    return f"{prefix}." if prefix and hasattr(network, prefix) else ""


STOCK = {
    "text-classification": AutoModelForSequenceClassification,
    "token-classification": AutoModelForTokenClassification,
    "question-answering": AutoModelForQuestionAnswering,
    "fill-mask": AutoModelForMaskedLM,
}


def stock_class(head: OutputHead) -> Any:
    """Return the class of `transformers` that makes an architecture's own head."""
    return STOCK[head.stock]


def _without_pooler(config: PreTrainedConfig) -> dict[str, bool]:
    """Arguments that leave the pooler out: our head pools itself, and unused tensors would be dead weight."""
    kind: Any = AutoModel._model_mapping[type(config)]
    kinds = kind if isinstance(kind, tuple) else (kind,)
    optional = all("add_pooling_layer" in inspect.signature(kind).parameters for kind in kinds)
    return {"add_pooling_layer": False} if optional else {}


@contextmanager
def muted() -> Iterator[None]:
    """Mute the load report: a new head is what was asked for, and `load_with_report` checks the rest itself."""
    verbosity, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
