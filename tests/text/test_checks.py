"""The characters that neither a training row nor a request may hold."""

import pytest

from kubetune.text.checks import text_problem


@pytest.mark.parametrize("text", ["", "plain", "caf\u00e9 \U0001f600", "\ufffd", "\x1b[31m"])
def test_a_text_that_can_be_encoded_has_no_problem(text: str) -> None:
    assert text_problem(text) is None


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a\x00b", "nul-character"),
        ("\ud800", "lone-surrogate"),
        ("good \udfff day", "lone-surrogate"),
        ("\x00\ud800", "nul-character"),
    ],
)
def test_the_rule_that_is_broken_is_named(text: str, rule: str) -> None:
    assert text_problem(text) == rule
