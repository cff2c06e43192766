"""Baselines of `token-classification`: the entities of train, wherever they are met again."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from kubetune.metrics.base import Baseline
from kubetune.metrics.entities import Entity, EntityStatistics

WORD = re.compile(r"\w+|[^\w\s]")
OFTEN = 0.5
"""A phrase is answered where it is an entity at least this often in train: `May` is a month more rarely than not."""

Phrase = tuple[str, ...]


def baselines(train: pa.Table, test: pa.Table, texts: Sequence[str], names: tuple[str, ...]) -> list[Baseline]:
    """Return a gazetteer, measured on the test rows.

    Args:
        train: A column of texts, and `label`: a list of `{"start", "end", "label"}` a row, types as numbers.
        test: The same of the test rows.
        texts: Name of the column of texts.
        names: Types of entities.
    """
    (column,) = texts
    labelled = [_entities(rows["label"], names) for rows in (train, test)]
    phrases = gazetteer(train[column].to_pylist(), labelled[0])
    answered = [found(text, phrases) for text in test[column].to_pylist()]
    description = (
        f"Answers the {len(phrases):,} phrases that are entities in at least {OFTEN:.0%} of their places in "
        f"{train.num_rows:,} train rows, the longest first."
    )
    outcomes = EntityStatistics(names).outcomes(labelled[1], answered)
    return [Baseline("gazetteer", "the gazetteer", "Gazetteer", description, outcomes)]


def gazetteer(texts: Sequence[str], entities: Sequence[Sequence[Entity]]) -> dict[Phrase, str]:
    """Return the phrases, as words, that are mostly entities, with their commonest type.

    Args:
        texts: Of train.
        entities: Of each text, with offsets of characters.
    """
    types: dict[Phrase, Counter[str]] = {}
    for text, spans in zip(texts, entities, strict=True):
        for start, end, label in spans:
            if phrase := tuple(WORD.findall(text[start:end])):
                types.setdefault(phrase, Counter())[label] += 1
    known = {phrase: min(counts, key=lambda name: (-counts[name], name)) for phrase, counts in types.items()}
    met: Counter[Phrase] = Counter(phrase for text in texts for _, _, phrase in _matches(text, known))
    return {phrase: label for phrase, label in known.items() if types[phrase].total() >= OFTEN * met[phrase]}


def found(text: str, phrases: Mapping[Phrase, str]) -> list[Entity]:
    """Return the phrases in a text as entities, from left to right, the longest at each place."""
    return [(start, end, phrases[phrase]) for start, end, phrase in _matches(text, phrases)]


def _matches(text: str, phrases: Mapping[Phrase, str]) -> Iterator[tuple[int, int, Phrase]]:
    words = [(match.group(), match.start(), match.end()) for match in WORD.finditer(text)]
    longest, place = max(map(len, phrases), default=0), 0
    while place < len(words):
        for length in range(min(longest, len(words) - place), 0, -1):
            phrase = tuple(word for word, _, _ in words[place : place + length])
            if phrase in phrases:
                yield words[place][1], words[place + length - 1][2], phrase
                place += length
                break
        else:
            place += 1


def _entities(column: pa.ChunkedArray, names: Sequence[str]) -> list[list[Entity]]:
    return [[(span["start"], span["end"], names[span["label"]]) for span in cell] for cell in column.to_pylist()]
