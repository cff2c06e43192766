"""Answers cut from a context against the answers that people gave: exact match and F1 of words, as SQuAD counts them.

Rajpurkar et al., EMNLP 2016 (1.1) and ACL 2018 (2.0). Their normalisation is English: lower case, no punctuation, none
of a, an and the, single blanks. Text of other languages loses nothing by the articles.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kubetune.metrics.base import CatalogueStatistics, Floats, Ints, Outcomes, Totals, outcomes_of
from kubetune.metrics.catalogue import ANSWERS, Catalogue
from kubetune.metrics.labels import ratio

PUNCTUATION = frozenset(string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")
ANSWERABLE, EXACT, EXACT_ANSWERABLE = 0, 1, 2
"""Counts of a question."""


@dataclass(frozen=True)
class AnswerStatistics(CatalogueStatistics):
    """Implements `Statistics` for answers. Counts are `ANSWERABLE` and so on; sums are F1, loss and windows.

    Attributes:
        labels: None: a question has no class.
    """

    labels: tuple[str, ...] = ()

    @property
    def catalogue(self) -> Catalogue:
        """See `Statistics.catalogue`."""
        return ANSWERS

    @property
    def measures(self) -> Mapping[str, Callable[[Totals], Floats]]:
        """See `CatalogueStatistics.measures`."""
        return MEASURES

    def says(self, metric: str, totals: Totals) -> bool:
        """See `Statistics.says`: where all questions have an answer, nothing is said of the others."""
        answerable = int(totals.counts[ANSWERABLE])
        if metric == "has_answer_f1":
            return answerable > 0
        return metric != "no_answer_accuracy" or answerable < int(totals.rows)

    def flaws(self, totals: Totals, names: Sequence[str]) -> list[str]:
        """See `Statistics.flaws`: no answerable question has a word of its answer."""
        del names
        answerable = int(totals.counts[ANSWERABLE])
        if answerable and float(self.measure(totals, ("has_answer_f1",))["has_answer_f1"]) == 0:
            return [
                f"never right: no answer to {answerable:,} answerable questions has a word in common with those given; "
                "try a higher learning rate, more epochs or another seed."
            ]
        return []


def _left_out(totals: Totals) -> NDArray[Any]:
    """Return right answers to unanswerable questions."""
    found: NDArray[Any] = totals.counts[..., EXACT] - totals.counts[..., EXACT_ANSWERABLE]
    return found


def _has_answer_f1(totals: Totals) -> Floats:
    # Of a question without an answer F1 is its exact match, so that what is left belongs to the others.
    return ratio(totals.sums[..., 0] - _left_out(totals), totals.counts[..., ANSWERABLE])


MEASURES: Mapping[str, Callable[[Totals], Floats]] = {
    "f1": lambda totals: ratio(totals.sums[..., 0], totals.rows),
    "exact_match": lambda totals: ratio(totals.counts[..., EXACT], totals.rows),
    "has_answer_f1": _has_answer_f1,
    "no_answer_accuracy": lambda totals: ratio(
        _left_out(totals), totals.rows - totals.counts[..., ANSWERABLE], undefined=1.0
    ),
    "loss": lambda totals: ratio(totals.sums[..., 1], totals.sums[..., 2]),
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
