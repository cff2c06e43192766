"""Which texts a model is shown. One gate for training rows, golden rows, behavioural cases and requests."""

from collections.abc import Sequence

from kubetune.text.checks import is_blank, text_problem
from kubetune.text.cleaning import clean

BLANK = "blank-text"


def readable_text(text: str, steps: Sequence[str]) -> tuple[str, str | None]:
    """Clean `text`, and say what speaks against showing it to a model.

    Args:
        text: A raw text.
        steps: Names of cleaning steps.

    Returns:
        The cleaned text and None; or an empty one and the rule that the text breaks: one of `text_problem`, or
        `blank-text` where nothing that can be read is left.

    Raises:
        ConfigError: A step's name is unknown.
    """
    if problem := text_problem(text):
        return "", problem
    cleaned = clean(text, steps)
    return ("", BLANK) if is_blank(cleaned) else (cleaned, None)
