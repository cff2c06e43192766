"""Spans in their text: nothing of the text is lost, nothing that a terminal would obey is printed."""

from typing import Any

import pytest

from kubetune.text.marking import AROUND, bracketed, is_marked, is_ranked, pieces


def span(start: int, end: int, **more: Any) -> dict[str, Any]:
    return {"start": start, "end": end, **more}


CASES: dict[str, tuple[str, Any, str]] = {
    "none": ("we met", [], "we met"),
    "one": ("in Berlin", [span(3, 9, entity_group="place")], "in [Berlin](place)"),
    "out of order": ("a b", [span(2, 3, label="y"), span(0, 1, label="x")], "[a](x) [b](y)"),
    "side by side": ("ab", [span(0, 1, label="x"), span(1, 2, label="x")], "[a](x)[b](x)"),
    "across each other": ("abcd", [span(0, 3, label="x"), span(2, 4, label="y")], "[abc](x)d"),
    "out of range": ("ab", [span(1, 9, label="x"), span(-2, 1, label="y")], "ab"),
    "empty": ("ab", [span(1, 1, label="x")], "ab"),
    "no text": ("", [], ""),
    "controls": ("a\x1b[31m\nb\u202ec", [span(7, 8, label="x")], "a [31m [b](x) c"),
    "an answer": ("We met in Berlin.", span(10, 16, answer="Berlin", score=0.9), "We met in [Berlin](answer)."),
    "no answer": ("We met in Berlin.", span(0, 0, answer="", score=0.9), "no answer"),
    "far in a context": ("x" * 500 + "yes" + "z" * 500, span(500, 503), f"…{'x' * AROUND}[yes](answer){'z' * AROUND}…"),
}


@pytest.mark.parametrize("name", CASES)
def test_spans_are_shown_where_they_are(name: str) -> None:
    text, answer, shown = CASES[name]
    assert is_marked(answer)
    assert not is_ranked(answer)
    assert bracketed(pieces(("a question", text), answer)) == shown


def test_labels_are_no_places() -> None:
    ranked = [{"label": "a", "score": 0.9}]
    assert is_ranked(ranked) and not is_marked(ranked)
    for answer in (None, 3, "x", ["x"], [{"label": "a", "score": 1, "more": 2}], {"label": "a", "score": 1}):
        assert not is_ranked(answer) and not is_marked(answer)
