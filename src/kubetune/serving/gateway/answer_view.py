"""An answer as a person reads it on the page: labels as bars, places in their text, the ends of a vector."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubetune.text.marking import is_decided, is_marked, is_ranked, pieces

MOST_BARS = 30
"""Labels that are shown; the others are counted."""
NUMBERS = 8
"""Numbers of a vector that are shown."""
HUES = 8
"""Colours that names of places have, by turns."""


@dataclass(frozen=True)
class Bar:
    """A label.

    Attributes:
        label: Its name.
        score: As text.
        share: Width in percent; None: the score has no bounds.
        chosen: Whether the model gives the label; None: it chooses none.
    """

    label: str
    score: str
    share: float | None
    chosen: bool | None = None


@dataclass(frozen=True)
class Piece:
    """A part of a text.

    Attributes:
        text: The part.
        name: What it is; empty: nothing.
        hue: Number of its colour.
    """

    text: str
    name: str = ""
    hue: int = 0


@dataclass(frozen=True)
class AnswerView:
    """What is shown of an answer.

    Attributes:
        headline: The answer in a few words; empty: there is none to give.
        note: What a score or a length is; empty: nothing.
        bars: Labels.
        more: Labels that are not shown.
        pieces: A text with places.
        numbers: The beginning of a vector, as text.
        raw: The answer as JSON.
    """

    headline: str
    note: str = ""
    bars: tuple[Bar, ...] = ()
    more: int = 0
    pieces: tuple[Piece, ...] = ()
    numbers: str = ""
    raw: str = ""


def view_of(texts: Sequence[str], prediction: Any, schema: Mapping[str, Any]) -> AnswerView:
    """Return what is shown of an answer.

    Args:
        texts: Of the item, raw.
        prediction: In our own form.
        schema: Of an answer, see `AnswerForm.schema`.
    """
    raw = json.dumps(prediction, ensure_ascii=False, indent=2)
    if is_ranked(prediction):
        return _ranked(prediction, schema, raw)
    if isinstance(prediction, Mapping) and is_marked(prediction):
        found = tuple(Piece(text, name or "") for text, name in pieces(texts, prediction))
        answered = prediction["start"] < prediction["end"]
        headline = str(prediction.get("answer", "")) if answered else "There is no answer in this text."
        return AnswerView(headline, _score(prediction), pieces=found if answered else (), raw=raw)
    if isinstance(prediction, list) and prediction and all(isinstance(one, int | float) for one in prediction):
        numbers = ", ".join(f"{number:.4f}" for number in prediction[:NUMBERS])
        more = ", …" if len(prediction) > NUMBERS else ""
        return AnswerView(
            f"{len(prediction):,} numbers", f"length {math.hypot(*prediction):.4f}", numbers=numbers + more, raw=raw
        )
    if isinstance(prediction, list) and is_marked(prediction):
        return _places(texts, prediction, raw)
    return AnswerView("", raw=raw)


def _ranked(prediction: Sequence[Mapping[str, Any]], schema: Mapping[str, Any], raw: str) -> AnswerView:
    """Return labels as bars, where their scores have bounds."""
    bounded = schema.get("items", {}).get("properties", {}).get("score", {}).get("maximum") == 1
    bars = tuple(
        Bar(
            str(entry["label"]),
            f"{entry['score']:.1%}" if bounded else f"{entry['score']:.4g}",
            round(100 * entry["score"], 1) if bounded else None,
            entry.get("chosen"),
        )
        for entry in prediction[:MOST_BARS]
    )
    if is_decided(prediction):
        chosen = [str(entry["label"]) for entry in prediction if entry["chosen"]]
        headline = ", ".join(chosen) or "None of its labels."
    else:
        headline = bars[0].label if bounded else bars[0].score
    return AnswerView(headline, bars=bars, more=len(prediction) - len(bars), raw=raw)


def _places(texts: Sequence[str], prediction: Sequence[Mapping[str, Any]], raw: str) -> AnswerView:
    """Return a text with its places, each name in a colour of its own."""
    hues: dict[str, int] = {}
    found = tuple(
        Piece(text, name or "", 0 if name is None else hues.setdefault(name, len(hues) % HUES))
        for text, name in pieces(texts, prediction)
    )
    count = len(prediction)
    headline = f"{count} found" if count else "Nothing was found in this text."
    return AnswerView(headline, pieces=found, raw=raw)


def _score(prediction: Mapping[str, Any]) -> str:
    return f"{prediction['score']:.1%} sure" if isinstance(prediction.get("score"), int | float) else ""
