"""Simulated answers with a known hit rate, and a whole assessment made of them."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from kubetune.config.evaluation import EvaluationSection
from kubetune.evaluation.assessment import Assessment, EvaluatedRows, assess
from kubetune.evaluation.baselines import majority
from kubetune.evaluation.metrics import Scores

Simulate = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="session")
def simulate() -> Simulate:
    """Return a function (rows, classes, strength, seed) → labels (rows,), probabilities (rows, classes)."""

    def draw(rows: int, classes: int, strength: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        chance = np.random.default_rng(seed)
        labels = chance.choice(classes, size=rows, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
        probabilities = chance.dirichlet(np.ones(classes), size=rows)
        probabilities[np.arange(rows), labels] += strength * chance.random(rows)
        return labels, probabilities / probabilities.sum(axis=1, keepdims=True)

    return draw


@pytest.fixture(scope="session")
def assessed(simulate: Simulate) -> Callable[..., tuple[Assessment, pa.Table]]:
    """Return a function that assesses simulated answers: → assessment, predictions table."""
    from kubetune.evaluation.predictions import predictions_table

    def make(
        names: tuple[str, ...] = ("calm", "cross", "glad"),
        rows: int = 400,
        strength: float = 1.5,
        text: str = "a plain row",
        **section: object,
    ) -> tuple[Assessment, pa.Table]:
        labels, probabilities = simulate(rows, len(names), strength)
        lengths = np.random.default_rng(1).integers(4, 40, rows)
        table = pa.table(
            {
                "row_id": [f"row-{number}" for number in range(rows)],
                "raw_text": [text] * rows,
                "text": [text] * rows,
                "label": pa.array(labels.astype(np.int32)),
                "length": pa.array(lengths.astype(np.int32)),
                "truncated": [False] * rows,
                "column_place": ["here" if number % 3 else "there" for number in range(rows)],
            }
        )
        scores = Scores.from_probabilities(probabilities, labels)
        single = probabilities.astype(np.float32)
        known = EvaluatedRows(
            labels, lengths, np.zeros(rows, bool), names, {"place": table["column_place"].to_pylist()}
        )
        settings = EvaluationSection.model_validate({"bootstrap_samples": 100, **section})
        assessment = assess(known, scores, [majority(labels, labels, known.shown_names)], settings)
        return assessment, predictions_table(table, scores, single, np.log(single), np.arange(rows))

    return make
