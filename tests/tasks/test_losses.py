"""Losses of many features at once are those of each alone, whatever their lengths."""

from typing import Any

import numpy as np
import pytest

from kubetune.tasks import load_task
from kubetune.tasks.base import IGNORED
from kubetune.tasks.inference import feature_losses

LENGTHS = [3, 9, 4, 17, 9, 5]


def feature(kind: str, length: int, draw: np.random.Generator) -> dict[str, Any]:
    tags = [IGNORED, *draw.integers(0, 5, length - 2).tolist(), IGNORED]
    marks = [0, *([0] * (length - 2)), IGNORED]
    marks[1], marks[length - 2] = marks[1] + 1, marks[length - 2] + 2
    own = {"text-classification": {"label": [1]}, "token-classification": {"tags": tags}}
    return {"input_ids": [1] * length, **own.get(kind, {"marks": marks})}


@pytest.mark.parametrize("kind", ["text-classification", "token-classification", "question-answering"])
def test_losses_together_are_losses_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task, draw = load_task(kind), np.random.default_rng(3)
    features = [feature(kind, length, draw) for length in LENGTHS]
    widths = {"text-classification": (2,), "token-classification": (5,), "question-answering": (2,)}[kind]
    shapes = [widths if kind == "text-classification" else (length, *widths) for length in LENGTHS]
    outputs = [draw.normal(size=shape).astype(np.float32) for shape in shapes]
    alone = [float(feature_losses(task, [output], [one])[0]) for output, one in zip(outputs, features, strict=True)]
    assert min(alone) > 0
    assert feature_losses(task, outputs, features) == pytest.approx(alone, rel=1e-6)
    monkeypatch.setattr("kubetune.tasks.inference.LOSS_BATCH", 2)
    assert feature_losses(task, outputs, features) == pytest.approx(alone, rel=1e-6)
    assert feature_losses(task, [], []).shape == (0,)
