"""Answers cut from a context against the answers that people gave: exact match and F1 of words, as SQuAD counts them.

Rajpurkar et al., EMNLP 2016 (1.1) and ACL 2018 (2.0). Their normalisation is English: lower case, no punctuation, none
of a, an and the, single blanks. Text of other languages loses nothing by the articles.
"""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kubetune.metrics.base import Floats, Ints, Metric, Outcomes, Totals, outcomes_of

PUNCTUATION = frozenset(string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")
ANSWERABLE, EXACT, EXACT_ANSWERABLE = 0, 1, 2
"""Counts of a question."""

ANSWER_METRICS: Mapping[str, Metric] = {
    "f1": Metric("F1", "words shared with the nearest given answer", track=True),
    "exact_match": Metric("Exact match", "share of answers that are one of those given", track=True),
    "has_answer_f1": Metric("F1, answerable", "of questions that have an answer", track=True),
    "no_answer_accuracy": Metric("No answer", "share of unanswerable questions left unanswered", track=True),
    "loss": Metric("Loss", "nats a window; less is better", lower_is_better=True),
}


@dataclass(frozen=True)
class AnswerStatistics:
    """Exact match and F1. `no_answer_accuracy` is 1 where every question has an answer. Sums: F1, loss, windows."""

    main: str = "f1"

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """See `Statistics.metrics`."""
        return ANSWER_METRICS

    def measure(self, totals: Totals) -> dict[str, Floats]:
        """See `Statistics.measure`."""
        counts, rows = totals.counts.astype(np.float64), totals.rows.astype(np.float64)
        answerable, exact = counts[..., ANSWERABLE], counts[..., EXACT]
        left_out = exact - counts[..., EXACT_ANSWERABLE]
        # Of a question without an answer F1 is its exact match, so that what is left belongs to the others.
        return {
            "f1": _ratio(totals.sums[..., 0], rows, 0.0),
            "exact_match": _ratio(exact, rows, 0.0),
            "has_answer_f1": _ratio(totals.sums[..., 0] - left_out, answerable, 0.0),
            "no_answer_accuracy": _ratio(left_out, rows - answerable, 1.0),
            "loss": _ratio(totals.sums[..., 1], totals.sums[..., 2], 0.0),
        }


def answer_outcomes(
    given: Sequence[Sequence[str]],
    answers: Sequence[str],
    losses: Floats | None = None,
    windows: Ints | None = None,
) -> Outcomes:
    """Return what answers to some questions come to; the empty text is "there is none".

    Args:
        given: Texts of the right answers of each question; none: it has no answer.
        answers: Of a system.
        losses: Sum of the losses of each question's windows, shape (questions,); None: not known.
        windows: Losses in that sum, shape (questions,).
    """
    exact = np.array([exact_match(answer, right) for answer, right in zip(answers, given, strict=True)], dtype=bool)
    f1 = np.array([word_f1(answer, right) for answer, right in zip(answers, given, strict=True)], dtype=np.float64)
    there = np.array([bool(right) for right in given], dtype=bool)
    counts = np.stack([there, exact, there & exact], axis=1).astype(np.int64).reshape(len(answers), 3)
    sums = np.zeros((len(answers), 3))
    sums[:, 0] = f1
    if losses is not None and windows is not None:
        sums[:, 1], sums[:, 2] = losses, windows
    return outcomes_of(counts, sums, f1)


def exact_match(answer: str, given: Sequence[str]) -> bool:
    """Whether an answer is one of those given, after normalisation."""
    return normalised(answer) in ({normalised(right) for right in given} or {""})


def word_f1(answer: str, given: Sequence[str]) -> float:
    """Return the F1 of an answer's words with those of the nearest given answer; 1 or 0 where one of them is empty."""
    found = normalised(answer).split()
    best = 0.0
    for right in given or ("",):
        there = normalised(right).split()
        if not found or not there:
            best = max(best, float(found == there))
            continue
        shared = (Counter(found) & Counter(there)).total()
        best = max(best, 2 * shared / (len(found) + len(there)))
    return best


def normalised(text: str) -> str:
    """Return a text in lower case, without punctuation and English articles, with single blanks."""
    bare = "".join(letter for letter in text.lower() if letter not in PUNCTUATION)
    return " ".join(ARTICLES.sub(" ", bare).split())


def _ratio(over: Floats, under: Floats, otherwise: float) -> Floats:
    found: Floats = np.divide(over, under, out=np.full(np.shape(under), otherwise), where=np.asarray(under) > 0)
    return found
