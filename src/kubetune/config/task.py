"""Section `task`: what kind of problem the text poses."""

from typing import Literal

from kubetune.config.section import Section


class TaskSection(Section):
    """Which task the model is fine-tuned for."""

    kind: Literal["text-classification", "pair-classification"] = "text-classification"
    """One label a text, or one label a pair of texts."""
