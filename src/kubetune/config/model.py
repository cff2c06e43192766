"""Section `model`: the pretrained encoder and the head on it."""

from typing import Literal

from pydantic import Field

from kubetune.config.model_sources import ModelSource
from kubetune.config.section import Section


class Head(Section):
    """Classification head.

    `kind: stock` is the architecture's own `…ForSequenceClassification` head, so that the result loads in
    `transformers.pipeline`; `own` is ours: pooling, optional hidden layer, dropout.
    """

    kind: Literal["stock", "own"] = "stock"
    pooling: Literal["cls", "mean"] = "cls"
    """`own` only: the first token, or the mean over the real tokens."""
    hidden_size: int | None = Field(default=None, ge=1, le=65_536)
    """`own` only: units of a tanh layer before the output; None: no such layer."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Before the output layer. None: as the checkpoint's configuration says (`stock`), 0.1 (`own`, scratch)."""


class ModelSection(Section):
    """What is fine-tuned."""

    source: ModelSource
    max_length: int = Field(default=128, ge=4, le=8192)
    """Tokens a text; longer text is truncated and counted in the data report."""
    encoder_dropout: float | None = Field(default=None, ge=0, lt=1)
    """Dropout inside the encoder; None: what the checkpoint's configuration says. The head keeps its own."""
    head: Head = Head()
