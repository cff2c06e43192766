"""Simulated answers with a known hit rate, and a whole assessment made of them."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from class_answers import scored, simulated
from kubetune.config.evaluation import EvaluationSection
from kubetune.evaluation.assessment import Assessment, EvaluatedRows, assess
from kubetune.metrics.classes import ClassStatistics, Scores
from kubetune.tasks.baselines.classes import majority
from kubetune.tasks.forms.classes import FORM

Simulate = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="session")
def simulate() -> Simulate:
    """Return a function (rows, classes, strength, seed) → labels (rows,), probabilities (rows, classes)."""
    return simulated


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
        outcomes, losses = scored(labels, probabilities), Scores.from_probabilities(probabilities, labels).losses
        single = probabilities.astype(np.float32)
        known = EvaluatedRows(
            labels, lengths, np.zeros(rows, bool), names, {"place": table["column_place"].to_pylist()}
        )
        settings = EvaluationSection.model_validate({"bootstrap_samples": 100, **section})
        baseline = majority(labels, labels, known.shown_names)
        assessment = assess(known, outcomes, ClassStatistics(names), [baseline], settings)
        return assessment, predictions_table(table, FORM.columns(single), outcomes.right, losses, np.arange(rows))

    return make
