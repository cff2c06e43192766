"""The classifier that a checkpoint was saved with, as its configuration tells."""

import json
from pathlib import Path

from kubetune.tasks.base import OutputHead

ENDINGS = {
    "text-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
}
"""How the names of the architectures' classes end."""


def trained_head(folder: Path, head: OutputHead) -> tuple[str, ...] | None:
    """Return the labels of the classifier that a checkpoint was saved with; None: it has none."""
    ending = ENDINGS.get(head.stock)
    if ending is None:  # a task without a head
        return None
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not any(str(name).endswith(ending) for name in values.get("architectures") or ()):
            return None
        names = values.get("id2label") or {}
        return tuple(str(names[key]) for key in sorted(names, key=int)) or ("LABEL_0", "LABEL_1")
    except (OSError, ValueError, TypeError, AttributeError):
        return None  # `_configuration` says what is wrong with the file


def keeps_head(folder: Path, head: OutputHead) -> bool:
    """Whether a checkpoint's own classifier goes on: it has the data's labels, in this order."""
    return trained_head(folder, head) == head.names
