"""Simulated answers with a known hit rate."""

from collections.abc import Callable

import numpy as np
import pytest

from class_answers import simulated


@pytest.fixture(scope="session")
def simulate() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return a function (rows, classes, strength, seed) → labels (rows,), probabilities (rows, classes)."""
    return simulated
