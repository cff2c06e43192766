"""A small bidirectional LSTM, trained from scratch: the cheap model that a fine-tuned encoder has to beat."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kubetune.errors import ConfigError, DataError
from kubetune.tasks.base import ModelSpec, OutputHead
from kubetune.tasks.weights import load_weights

FIELDS = ("vocab_size", "embedding_size", "hidden_size", "layers", "pad_token_id")


class BiLstmClassifier(nn.Module):
    """Embedding → bidirectional LSTM layers → mean over the real tokens, or each token → dropout → classes.

    Nothing is packed: the backward direction reads each row reversed within its own length, so that right padding
    never reaches a real token and results do not depend on the neighbours in a batch.
    """

    encoder_parts = ("embeddings.", "forward_lstm.", "backward_lstm.")

    def __init__(self, architecture: dict[str, Any], head: OutputHead, dropout: float) -> None:
        super().__init__()
        self.per_token = head.per_token
        self.architecture = architecture
        width, hidden = architecture["embedding_size"], architecture["hidden_size"]
        self.embeddings = nn.Embedding(architecture["vocab_size"], width)
        self.forward_lstm = nn.ModuleList()
        self.backward_lstm = nn.ModuleList()
        for layer in range(architecture["layers"]):
            for direction in (self.forward_lstm, self.backward_lstm):
                direction.append(nn.LSTM(width if layer == 0 else 2 * hidden, hidden, batch_first=True))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(2 * hidden, len(head.names))

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return logits (rows, classes), or (rows, length, classes).

        `token_type_ids` carry nothing that an LSTM does not see from separators.
        """
        lengths = attention_mask.sum(dim=1, keepdim=True)
        position = torch.arange(input_ids.shape[1], device=input_ids.device).unsqueeze(0)
        reverse = torch.where(position < lengths, lengths - 1 - position, position)
        states = self.embeddings(input_ids)
        for ahead, back in zip(self.forward_lstm, self.backward_lstm, strict=True):
            onward, _ = ahead(states)
            backward, _ = back(_take(states, reverse))
            states = self.dropout(torch.cat([onward, _take(backward, reverse)], dim=-1))
        if self.per_token:
            each: torch.Tensor = self.classifier(states)
            return each
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        logits: torch.Tensor = self.classifier((states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1))
        return logits

    def configuration(self) -> dict[str, Any]:
        """What `config.json` of the model says."""
        return {"model_type": "kubetune-bilstm", **self.architecture}


def _take(states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Reorder (rows, length, width) along length by (rows, length) positions."""
    rows = torch.arange(states.shape[0], device=states.device).unsqueeze(1)
    return states[rows, index]


def build_bilstm(spec: ModelSpec, folder: Path, head: OutputHead, *, pretrained: bool) -> BiLstmClassifier:
    """Build it from `architecture.json` (drawn from torch's current generator) or from a complete artifact `model`.

    Raises:
        DataError: The architecture's values are absent or the weights do not fit.
        ConfigError: The head asks for something that this model has not.
    """
    if spec.head.get("hidden_size") is not None:
        raise ConfigError("model.head.hidden_size is not available with model.source.kind=scratch: leave it null.")
    path = folder / ("architecture.json" if pretrained else "config.json")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        architecture = {name: int(values[name]) for name in FIELDS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError("architecture", f"{path.name} does not state {', '.join(FIELDS)} as numbers") from error
    dropout = spec.head.get("dropout")
    module = BiLstmClassifier(architecture, head, 0.1 if dropout is None else float(dropout))
    if not pretrained:
        load_weights(module, folder)
    return module
