"""Which licence a model states: in the front matter of its card, or in a distribution's metadata."""

from email.message import Message
from pathlib import Path
from typing import Any

from kubetune.data.models.files import CARD
from kubetune.schema.yaml_text import YamlTextError, read_yaml

LONGEST = 200


def card_licence(folder: Path) -> str | None:
    """Return the licence that the YAML front matter of a model card states, or None."""
    path = folder / CARD
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    head, _, rest = text.removeprefix("\ufeff").partition("\n")
    if head.strip() != "---":
        return None
    matter = rest.split("\n---", maxsplit=1)[0]
    try:
        values: Any = read_yaml(matter)
    except YamlTextError:  # a card is prose for people: a slip in it says nothing about the model
        return None
    if not isinstance(values, dict):
        return None
    stated = values.get("license")
    if stated == "other":
        stated = values.get("license_name") or stated
    return _one_line(stated)


def distribution_licence(metadata: Message) -> str | None:
    """Return the licence that a distribution's metadata states, or None."""
    stated: Any = metadata.get("License-Expression") or metadata.get("License")
    if not stated or "\n" in stated:  # some put the whole text there
        classifiers = metadata.get_all("Classifier") or []
        names = [str(line).rpartition(" :: ")[2] for line in classifiers if str(line).startswith("License :: ")]
        stated = names or None
    return _one_line(stated)


def _one_line(stated: Any) -> str | None:
    if isinstance(stated, list):
        stated = ", ".join(str(item) for item in stated)
    return " ".join(str(stated).split())[:LONGEST] if stated else None
