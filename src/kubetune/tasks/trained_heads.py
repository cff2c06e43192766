"""The classifier that a checkpoint was saved with, as its configuration tells."""

import json
from pathlib import Path


def trained_head(folder: Path) -> tuple[str, ...] | None:
    """Return the labels of the classifier that a checkpoint was saved with; None: it has none."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not any(str(name).endswith("ForSequenceClassification") for name in values.get("architectures") or ()):
            return None
        names = values.get("id2label") or {}
        return tuple(str(names[key]) for key in sorted(names, key=int)) or ("LABEL_0", "LABEL_1")
    except (OSError, ValueError, TypeError, AttributeError):
        return None  # `_configuration` says what is wrong with the file


def keeps_head(folder: Path, labels: tuple[str, ...]) -> bool:
    """Whether a checkpoint's own classifier goes on: it has the recipe's labels, in this order."""
    return trained_head(folder) == labels
