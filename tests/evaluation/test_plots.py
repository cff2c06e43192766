import re

import numpy as np
import pytest

from kubetune.evaluation import plots

CALIBRATION = [
    {"from": 8 / 15, "to": 9 / 15, "rows": 40, "texts": 40, "confidence": 0.57, "accuracy": 0.5},
    {"from": 14 / 15, "to": 1.0, "rows": 60, "texts": 60, "confidence": 0.97, "accuracy": 0.95},
]
CLASSES = [
    {"label": "a <b> & $x_1$", "f1": {"value": 0.9, "low": 0.8, "high": 0.95}},
    {"label": "日本語", "f1": {"value": 0.0, "low": 0.0, "high": 0.0}},
]
POINTS = [
    {"step": 10, "train_loss": 1.0, "loss": 0.9, "macro_f1": 0.5},
    {"step": 20, "train_loss": 0.5, "loss": 0.4, "macro_f1": 0.8},
]

DRAWINGS = {
    "reliability": lambda: plots.reliability_diagram(CALIBRATION),
    "class-f1": lambda: plots.class_f1(CLASSES),
    "confusion": lambda: plots.confusion_map([[5, 1], [0, 3]], ["a", "b<"]),
    "learning": lambda: plots.learning_curve(POINTS, "macro_f1", 20),
    "lengths": lambda: plots.length_histogram(np.array([3, 4, 9, 90]), np.array([True, True, False, True])),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_is_stable_inline_and_takes_the_pages_colours(name: str) -> None:
    svg = DRAWINGS[name]()
    assert svg == DRAWINGS[name]()
    assert svg.startswith('<svg class="plot" role="img" aria-label="')
    assert svg.rstrip().endswith("</svg>")
    assert "http" not in svg
    assert "<style" not in svg
    assert "#00000" not in svg
    assert "var(--accent)" in svg or "var(--good)" in svg
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert len(ids) == len(set(ids)) > 3
    assert all(found.startswith(f"{name}-") for found in ids)
    references = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', svg)
    assert {one or other for one, other in references} <= set(ids)


def test_labels_are_escaped_and_dollar_signs_are_text() -> None:
    svg = plots.class_f1(CLASSES)
    assert "a &lt;b&gt; &amp; $x_1$" in svg
    assert "日本語" in svg


def test_a_curve_of_one_point_or_of_the_loss_alone_is_drawn() -> None:
    assert ">mcc</text>" in plots.learning_curve([POINTS[0] | {"mcc": 0.4}], "mcc", None)
    assert plots.learning_curve(POINTS, "loss", 10).count(">loss</text>") == 1
