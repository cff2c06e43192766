"""What old checkpoints left out and `transformers` then guessed from the repository's name: written into the files.

A tokenizer folder has no `config.json` beside it, so a `tokenizer_config.json` without a class would be loaded as a
generic tokenizer, without the segment ids of pairs and without an error.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kubetune.errors import DataError

OLD_BERT = frozenset({"hidden_act", "intermediate_size", "num_hidden_layers", "type_vocab_size"})


def model_type(config: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return the architecture that `config.json` states, or the one that it can only mean.

    A configuration without `model_type` is from before 2020; with BERT's sizes and a word-piece vocabulary it is BERT.

    Raises:
        DataError: It states none and is not BERT's.
    """
    stated = config.get("model_type")
    if isinstance(stated, str) and stated:
        return stated
    if "vocab.txt" in names and set(config) >= OLD_BERT:
        return "bert"
    raise DataError("model-config", "config.json names no model_type: add the architecture's, for example bert")


def tokenizer_class(tokenizer: Mapping[str, Any], config: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Return the class to add to `tokenizer_config.json`; None: it is stated there, or no configuration tells."""
    if tokenizer.get("tokenizer_class") or not config:
        return None
    if isinstance(config.get("tokenizer_class"), str):
        return str(config["tokenizer_class"])
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    found: str | None = TOKENIZER_MAPPING_NAMES.get(model_type(config, names))
    return found


def check_loads(tokenizer_dir: Path, weights_dir: Path | None = None) -> None:
    """Load the tokenizer and the configuration as later stages will, so that a fault is found before they run.

    Raises:
        DataError: `transformers` cannot load one of them.
    """
    from transformers import AutoConfig, AutoTokenizer

    try:
        AutoTokenizer.from_pretrained(tokenizer_dir, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises nothing narrower; whatever it is, it is refused
        raise DataError("tokenizer", f"The tokenizer cannot be loaded ({_short(error)}): save it again") from error
    if weights_dir is None:
        return
    try:
        AutoConfig.from_pretrained(weights_dir, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError("model-config", f"config.json is not a known architecture's ({_short(error)})") from error


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
