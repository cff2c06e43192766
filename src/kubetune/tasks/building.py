"""Modules by architecture, for any task whose output is a vector a text or a token."""

import re
from collections.abc import Iterable
from pathlib import Path

import torch

from kubetune.errors import ConfigError
from kubetune.tasks.base import ModelSpec, OutputHead
from kubetune.tasks.weights import own_storage

LAYER = re.compile(
    r"(?:^|\.)(?:layer|layers|albert_layer_groups|block|blocks|h|attentions|ffns|layer_norm[12])\.(\d+)\."
)
DECODER = re.compile(r"(?:^|\.)decoder\.")
EMBEDDINGS = re.compile(r"(?:^|\.)embeddings\.")
"""Their norms and projections; the tables themselves are known by their class."""
POOLER = re.compile(r"(?:^|\.)pooler\.")


def build(spec: ModelSpec, folder: Path, head: OutputHead, *, pretrained: bool) -> torch.nn.Module:
    """Build a module with storage of its own, see `Task.build_model`.

    Args:
        spec: What to build.
        folder: Artifact `weights` or artifact `model`.
        head: What it gives.
        pretrained: See `Task.build_model`.
    """
    return own_storage(_built(spec, folder, head, pretrained))


def parameter_groups(module: torch.nn.Module) -> dict[str, list[str]]:
    """Return names of parameters by part, see `Task.parameter_groups`; names as in the module's state.

    A pooler is part of the head, since it serves nothing else; a decoder's layers come behind the encoder's.
    """
    groups: dict[str, list[str]] = {}
    state = module.state_dict(keep_vars=True)
    before_decoder = _encoder_layers(state)
    tables = {id(part.weight) for part in module.modules() if isinstance(part, torch.nn.Embedding)}
    encoder: tuple[str, ...] = module.encoder_parts  # type: ignore[assignment]
    for name, tensor in state.items():
        if not isinstance(tensor, torch.nn.Parameter):
            continue
        if not name.startswith(encoder) or POOLER.search(name):
            part = "head"
        elif layer := LAYER.search(name):
            part = f"layer.{int(layer[1]) + (before_decoder if DECODER.search(name) else 0)}"
        else:
            part = "embeddings" if id(tensor) in tables or EMBEDDINGS.search(name) else "rest"
        groups.setdefault(part, []).append(name)
    return groups


def _encoder_layers(state: Iterable[str]) -> int:
    """Return the layers in front of a decoder's first one: 0 where there is a decoder alone, or none."""
    layers = [LAYER.search(name) for name in state if not DECODER.search(name)]
    return 1 + max((int(layer[1]) for layer in layers if layer), default=-1)


def _built(spec: ModelSpec, folder: Path, head: OutputHead, pretrained: bool) -> torch.nn.Module:
    """Build the module of the architecture that `spec` names; its weights may still lie in a mapped file."""
    if head.stock == "feature-extraction":
        from kubetune.tasks.embedder import build_embedder

        return build_embedder(spec, folder, pretrained=pretrained)
    if head.stock == "fill-mask":
        from kubetune.tasks.masked_words import build_masked_words

        return build_masked_words(spec, folder, pretrained=pretrained)
    if spec.architecture == "bilstm":
        from kubetune.tasks.bilstm import build_bilstm

        return build_bilstm(spec, folder, head, pretrained=pretrained)
    from kubetune.tasks.encoder import build_own, build_stock

    if spec.architecture == "stock":
        return build_stock(spec, folder, head, pretrained=pretrained)
    if spec.architecture == "own":
        return build_own(spec, folder, head, pretrained=pretrained)
    raise ConfigError(f"Architecture {spec.architecture!r:.40} is unknown: allowed are stock, own and bilstm.")
