"""CoNLL files: a word and its tag a line, a blank line between two sentences → a row a sentence."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from kubetune.data.bounds import STANDARD, SourceBounds
from kubetune.data.sources.base import Facts
from kubetune.data.sources.batches import in_batches
from kubetune.data.sources.text_lines import read_lines
from kubetune.errors import DataError

SCHEMA = pa.schema([("tokens", pa.list_(pa.string())), ("ner_tags", pa.list_(pa.string()))])
"""Columns as the Hub's data sets of entities have them."""
DOCUMENT = "-DOCSTART-"
BLANKS = re.compile("[ \t]+")
LONGEST_SENTENCE = 100_000
"""Words; more is a file without blank lines."""


def read_conll(
    path: Path, name: str, encoding: str, facts: Facts, bounds: SourceBounds = STANDARD
) -> Iterator[pa.RecordBatch]:
    """Stream the sentences of a file; the first column is the word, the last one its tag.

    Args:
        path: The file.
        name: Its name for messages; `.gz` at its end is unpacked.
        encoding: Its encoding.
        facts: Where it is kept what was decided.
        bounds: How much it may become.

    Raises:
        DataError: A line has another number of fields than the first, or no tag; names the line.
    """
    sentences = _Sentences(name)
    yield from in_batches(sentences.of(read_lines(path, name, encoding, bounds, facts)), SCHEMA)
    separated = "tabs" if sentences.tabs else "blanks"
    facts.decided(name, f"read as CoNLL: fields are separated by {separated}, the first is a word, the last its tag")
    if sentences.fields > 2:
        facts.decided(name, f"columns between word and tag are not read: {sentences.fields - 2}")
    if sentences.documents:
        facts.decided(name, f"lines {DOCUMENT}, which are not read: {sentences.documents:,}")


class _Sentences:
    """The sentences of a file.

    Attributes:
        fields: Of each line; 0 before the first.
        tabs: Whether tabs part them.
        documents: Lines that begin a document.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.fields = self.documents = 0
        self.tabs = False

    def of(self, lines: Iterator[str]) -> Iterator[tuple[list[str], list[str]]]:
        words: list[str] = []
        tags: list[str] = []
        for number, line in enumerate(lines, start=1):
            parts = self.parts(line, number)
            if parts:
                words.append(parts[0])
                tags.append(parts[-1])
                if len(words) > LONGEST_SENTENCE:
                    raise DataError(
                        "long-sentence",
                        f"{self.name} line {number} is the word {len(words):,} of one sentence: part sentences "
                        "by blank lines.",
                    )
            elif words:
                yield words, tags
                words, tags = [], []
        if words:
            yield words, tags

    def parts(self, line: str, number: int) -> list[str]:
        """Return the fields of a line; none where it ends a sentence."""
        bare = line.rstrip("\r\n").lstrip("\ufeff")
        if not bare.strip(" \t"):
            return []
        if bare.startswith(DOCUMENT):
            self.documents += 1
            return []
        if not self.fields:
            self.tabs = "\t" in bare
        parts = bare.rstrip("\t").split("\t") if self.tabs else BLANKS.split(bare.strip(" \t"))
        if not self.fields:
            self.fields = len(parts)
        if len(parts) < 2 or len(parts) != self.fields:
            expected = f"and the first line has {self.fields}" if self.fields > 1 else "and a word and a tag are needed"
            raise DataError(
                "ragged-row",
                f"{self.name} line {number} has {len(parts)} fields {expected}: give each line a word and its tag, "
                "separated by a tab or blanks, or set data.source.format if it is no CoNLL file.",
            )
        if not parts[0] or not parts[-1]:
            what = "word" if not parts[0] else "tag"
            raise DataError(
                "ragged-row", f"{self.name} line {number} has no {what}: give each line a word and its tag."
            )
        return parts
