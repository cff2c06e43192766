"""The curve of a training out of its telemetry, which grows while the stage runs."""

import json
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Any

from kubetune.tracking.facts import Point, plain_name

STEP = {"loss": "training/loss", "rate": "training/rate", "norm": "training/gradient_norm"}
EVALUATION = {"train_loss": "training/mean_loss", "epoch": "training/epoch"}
ALL_UNTIL, TENTH_UNTIL = 1000, 10_000
"""Each step is kept up to the first, each 10th up to the second, each 100th beyond: nothing kept is ever taken back."""


def training_points(histories: Iterable[bytes]) -> tuple[Point, ...]:
    """Return the values of a training, sorted.

    A step that an attempt repeats after a resume stays as the first attempt recorded it: it is equal on equal hardware.

    Args:
        histories: JSON lines of each attempt; a last line may be cut.
    """
    attempts = [list(events(history)) for history in histories]
    attempts.sort(key=lambda found: float(found[0]["at"]) if found else 0.0)
    points: dict[tuple[str, int], Point] = {}
    for attempt in attempts:
        for event in attempt:
            for point in _points(event):
                points.setdefault((point.name, point.step), point)
    return tuple(sorted(points.values()))


def events(history: bytes) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a telemetry file."""
    for line in history.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("at"), int | float):
            yield event


def _points(event: Mapping[str, Any]) -> Iterator[Point]:
    step, kind = event.get("step"), event.get("event")
    if not isinstance(step, int) or kind not in {"step", "evaluation"} or (kind == "step" and not is_kept(step)):
        return
    named = {name: event.get(key) for key, name in (STEP if kind == "step" else EVALUATION).items()}
    if kind == "evaluation" and isinstance(event.get("validation"), Mapping):
        named |= {plain_name(f"validation/{name}"): value for name, value in event["validation"].items()}
    for name, value in named.items():
        if isinstance(value, int | float) and isfinite(value):
            yield Point(name, step, float(value), round(event["at"] * 1000))


def is_kept(step: int) -> bool:
    """Whether a step of a long training is mirrored."""
    return step <= ALL_UNTIL or (step % 10 == 0 and step <= TENTH_UNTIL) or step % 100 == 0
