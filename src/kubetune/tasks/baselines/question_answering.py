"""Baselines of `question-answering`: the words nearest to those of the question."""

from statistics import median
from typing import TYPE_CHECKING

from kubetune.metrics.answers import answer_outcomes
from kubetune.metrics.base import Baseline
from kubetune.tasks.entities import words_of

if TYPE_CHECKING:
    import pyarrow as pa

AROUND = 10
"""Words before and behind an answer in which words of the question count."""


def baselines(train: "pa.Table", test: "pa.Table", columns: tuple[str, ...], labels: tuple[str, ...]) -> list[Baseline]:
    """Return the sliding window; see `Task.baselines`."""
    del labels
    answers = [value["text"][0] for value in train["label"].to_pylist() if value["text"]]
    size = max(1, round(median(len(words_of(answer, [])) for answer in answers))) if answers else 1
    pairs = zip(*(test[name].to_pylist() for name in columns), strict=True)
    found = [nearest(question, context, size) for question, context in pairs]
    given = [[str(text) for text in value["text"]] for value in test["label"].to_pylist()]
    description = (
        f"Answers the {size} words, as many as a train answer has in the middle, that have most words of the question "
        "near them and none in them."
    )
    outcomes = answer_outcomes(given, found)
    return [Baseline("overlap", "words near those of the question", "Overlap", description, outcomes)]


def nearest(question: str, context: str, size: int) -> str:
    """Return the `size` words of a context that have most distinct words of the question around them.

    After the sliding window of Richardson et al., EMNLP 2013.
    """
    asked = {question[start:end].lower() for start, end in words_of(question, [])}
    places = words_of(context, [])
    words = [context[start:end].lower() for start, end in places]
    hits = [word in asked for word in words]
    best, chosen = -1, 0
    for at in range(max(1, len(words) - size + 1)):
        if any(hits[at : at + size]):
            continue
        near = {
            words[place] for place in range(max(0, at - AROUND), min(len(words), at + size + AROUND)) if hits[place]
        }
        if len(near) > best:
            best, chosen = len(near), at
    if not places:
        return ""
    return context[places[chosen][0] : places[min(chosen + size, len(places)) - 1][1]]
