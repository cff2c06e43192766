"""Polarity by VADER and its thresholds."""

import pytest

from kubetune.text.weak_labels import POLARITIES, polarity


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I love this, it is great!", "positive"),
        ("This is awful, I hate it.", "negative"),
        ("The train leaves at nine.", "neutral"),
        ("", "neutral"),
    ],
)
def test_clear_texts_get_their_polarity(text: str, label: str) -> None:
    assert label in POLARITIES
    assert polarity(text, 0.05, -0.05) == label


def test_the_thresholds_decide() -> None:
    text = "This is good."  # compound 0.4404
    assert polarity(text, 0.44, -0.05) == "positive"
    assert polarity(text, 0.45, -0.05) == "neutral"
    assert polarity(text, 0.9, 0.45) == "negative"
