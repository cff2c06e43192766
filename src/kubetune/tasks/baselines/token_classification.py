"""Baselines of `token-classification`: the entities of train, looked up."""

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from kubetune.metrics.base import Baseline
from kubetune.metrics.entities import EntityStatistics
from kubetune.tasks.entities import Span, span_target, words_of

if TYPE_CHECKING:
    import pyarrow as pa


def baselines(train: "pa.Table", test: "pa.Table", columns: tuple[str, ...], labels: tuple[str, ...]) -> list[Baseline]:
    """Return the gazetteer; see `Task.baselines`."""
    (text,) = columns
    known = gazetteer(train[text].to_pylist(), [span_target(spans) for spans in train["label"].to_pylist()])
    found = [
        [(start, end, labels[label]) for start, end, label in looked_up(words, known)]
        for words in test[text].to_pylist()
    ]
    there = [
        [(span.start, span.end, labels[span.label]) for span in span_target(spans)]
        for spans in test["label"].to_pylist()
    ]
    description = f"Answers each of {len(known):,} names of the train rows with its commonest type, wherever it stands."
    outcomes = EntityStatistics(labels).outcomes(there, found)
    return [Baseline("gazetteer", "a gazetteer", "Gazetteer", description, outcomes)]


def gazetteer(texts: list[str], spans: list[list[Span]]) -> dict[tuple[str, ...], int]:
    """Return name (its words in lower case) → its commonest type; of equally common ones the first."""
    seen: dict[tuple[str, ...], Counter[int]] = defaultdict(Counter)
    for text, entities in zip(texts, spans, strict=True):
        for span in entities:
            if name := tuple(_words(text[span.start : span.end])):
                seen[name][span.label] += 1
    return {name: min(counts, key=lambda label: (-counts[label], label)) for name, counts in seen.items()}


def looked_up(text: str, known: dict[tuple[str, ...], int]) -> list[tuple[int, int, int]]:
    """Return the names in a text as (start, end, type), the longest first from the left, none across another."""
    longest = max(map(len, known), default=0)
    places = words_of(text, [])
    words = [text[start:end].lower() for start, end in places]
    found, at = [], 0
    while at < len(words):
        for size in range(min(longest, len(words) - at), 0, -1):
            label = known.get(tuple(words[at : at + size]))
            if label is not None:
                found.append((places[at][0], places[at + size - 1][1], label))
                at += size
                break
        else:
            at += 1
    return found


def _words(text: str) -> list[str]:
    return [text[start:end].lower() for start, end in words_of(text, [])]
