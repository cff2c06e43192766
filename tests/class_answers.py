"""Answers of one class a row, and what they come to."""

import numpy as np

from kubetune.metrics.base import Outcomes, Statistics
from kubetune.metrics.classes import ClassStatistics, Scores
from kubetune.tasks import load_task
from kubetune.tasks.base import Encoding
from kubetune.tasks.inference import feature_losses


def of_classes(classes: int) -> ClassStatistics:
    """Return the statistics of classes without words."""
    return ClassStatistics(tuple(f"class {number}" for number in range(classes)))


def come_to(
    labels: np.ndarray,
    predictions: np.ndarray,
    classes: int,
    confidence: np.ndarray | None = None,
    losses: np.ndarray | None = None,
) -> Outcomes:
    """Return the outcomes of predictions; confidence is 0.9 and a loss 1 unless they are given."""
    rows = len(labels)
    scores = Scores(
        np.asarray(predictions),
        np.full(rows, 0.9) if confidence is None else confidence,
        np.ones(rows) if losses is None else losses,
    )
    return of_classes(classes).outcomes(np.asarray(labels), scores)


def scored(labels: np.ndarray, probabilities: np.ndarray) -> Outcomes:
    """Return the outcomes of probabilities (rows, classes)."""
    classes = probabilities.shape[1]
    return of_classes(classes).outcomes(labels, Scores.from_probabilities(probabilities, labels))


def measured(outcomes: Outcomes, classes: int) -> dict[str, float]:
    """Return every metric."""
    return {name: float(value) for name, value in of_classes(classes).measure(outcomes.total()).items()}


def in_training(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return every metric as a validation during training has it, of logits (rows, classes)."""
    task, names = load_task("text-classification"), of_classes(logits.shape[1]).labels
    features = [{"input_ids": [0], "label": [int(label)]} for label in labels]
    outputs = list(logits.astype(np.float32))
    encoding = Encoding(features, list(range(len(features))), [])
    outcomes = task.validation(outputs, encoding, feature_losses(task, outputs, features), names, {})
    return measured(outcomes, len(names))


def simulated(rows: int, classes: int, strength: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (rows,) and probabilities (rows, classes) of answers with a known hit rate."""
    chance = np.random.default_rng(seed)
    labels = chance.choice(classes, size=rows, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    probabilities = chance.dirichlet(np.ones(classes), size=rows)
    probabilities[np.arange(rows), labels] += strength * chance.random(rows)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def measure_outcomes(statistics: Statistics, outcomes: Outcomes) -> dict[str, float]:
    """Every metric of some rows."""
    return {name: float(value) for name, value in statistics.measure(outcomes.total()).items()}
