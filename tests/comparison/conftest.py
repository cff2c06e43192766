"""Two simulated models on the same rows, with known chances of being right."""

from collections.abc import Callable

import numpy as np
import pytest

from class_answers import come_to, of_classes
from kubetune.comparison.decision import Comparison
from kubetune.metrics.base import Outcomes

CLASSES = 3


@pytest.fixture(scope="session")
def compared() -> Callable[..., Comparison]:
    """Return a function (rows, seed, gain, changes by part) → a comparison with slices `label` and `place`."""

    def make(
        rows: int = 2000, seed: int = 0, gain: float = 0.0, places: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0), **more
    ) -> Comparison:
        draw = np.random.default_rng(seed)
        labels, place = draw.integers(CLASSES, size=rows), draw.integers(len(places), size=rows)
        # Hard rows are hard for both, as with real models: most rows say nothing of the difference.
        chance = np.where(draw.random(rows) < 0.85, 0.98, 0.4)
        gains = gain + np.asarray(places)[place]

        def answer(right: np.ndarray, chance: np.ndarray) -> Outcomes:
            predictions = np.where(right, labels, (labels + draw.integers(1, CLASSES, size=rows)) % CLASSES)
            confidence = np.clip(chance + draw.normal(0, 0.02, rows), 0.35, 0.999)
            losses = np.where(right, -np.log(confidence), 1.0)
            return come_to(labels, predictions, CLASSES, confidence, losses)

        # A gain turns wrong answers right, a loss right ones wrong, evenly over the rows of its part, and the
        # confidence follows, so that both models are calibrated.
        mended, spoilt = np.maximum(gains, 0) / (1 - chance.mean()), np.maximum(-gains, 0) / chance.mean()
        better = (chance + (1 - chance) * mended) * (1 - spoilt)
        champion, candidate = draw.random(rows) < chance, draw.random(rows) < chance
        candidate = (candidate | (draw.random(rows) < mended)) & (draw.random(rows) >= spoilt)
        groups = {
            "label": [(name, labels == number) for number, name in enumerate("abc")],
            "place": [(f"part {number}", place == number) for number in range(len(places))],
        }
        return Comparison(answer(candidate, better), answer(champion, chance), of_classes(CLASSES), groups, **more)

    return make
