"""Labels for unlabelled text from a published rule set: VADER (Hutto and Gilbert, ICWSM 2014)."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

TONE_TAKEN = frozenset({"lower-case", "emoji-spell"})
"""Cleaning steps after which the rules would read less than the writer said: capitals are emphasis to them."""
POLARITIES = ("negative", "neutral", "positive")


def polarity(text: str, positive_from: float, negative_to: float) -> str:
    """Return the polarity of an English text.

    Args:
        text: Text with its case, punctuation and emoji, which the rules read.
        positive_from: A compound score (-1 … 1) at or above this is `positive`.
        negative_to: A compound score at or below this is `negative`.
    """
    score = float(_analyzer().polarity_scores(text)["compound"])
    if score >= positive_from:
        return "positive"
    return "negative" if score <= negative_to else "neutral"


@cache
def _analyzer() -> "SentimentIntensityAnalyzer":
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
