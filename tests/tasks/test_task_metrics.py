"""Our metrics against scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics as theirs

from class_answers import in_training


@pytest.mark.parametrize("classes", [3, 4, 7])
@pytest.mark.parametrize("case", ["random", "one-prediction", "missing-class", "perfect"])
def test_equal_to_scikit_learn(classes: int, case: str) -> None:
    draw = np.random.default_rng(classes)
    labels = draw.integers(0, classes - (case == "missing-class"), size=200)
    logits = draw.normal(size=(200, classes)).astype(np.float32)
    if case == "one-prediction":
        logits[:, 0] += 8
    if case == "missing-class":
        logits[:, -1] -= 8
    if case == "perfect":
        logits[np.arange(200), labels] += 8
    predictions = logits.argmax(axis=1)
    found = in_training(labels, logits)
    assert found["accuracy"] == pytest.approx(theirs.accuracy_score(labels, predictions))
    assert found["macro_f1"] == pytest.approx(theirs.f1_score(labels, predictions, average="macro", zero_division=0))
    weighted = theirs.f1_score(labels, predictions, average="weighted", zero_division=0)
    assert found["weighted_f1"] == pytest.approx(weighted)
    assert found["mcc"] == pytest.approx(theirs.matthews_corrcoef(labels, predictions), abs=1e-12)
    powers = np.exp(logits.astype(np.float64))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    expected = theirs.log_loss(labels, probabilities, labels=list(range(classes)))
    assert found["loss"] == pytest.approx(expected, abs=1e-6)
