"""A look at a file before there is a recipe: columns, what they hold and first rows, by the readers of the sources."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from kubetune.data.cells import cell_text
from kubetune.data.label_column import is_list
from kubetune.data.sources import load_source
from kubetune.data.sources.base import Reading
from kubetune.data.targets.tags import parted_tag
from kubetune.errors import DataError
from kubetune.tasks.guesses.seen import Holds, Seen, SeenColumn
from kubetune.text.shown import one_line

MOST_ROWS = 100_000
"""Rows that are looked at."""
FIRST = 3
"""Rows that are shown."""
MOST_VALUES = 2_000
"""Different values of a column that are kept; more are no classes."""
LONGEST_VALUE = 200
"""Characters of a value that is kept; longer ones are no classes."""
SAMPLED = 1_000
"""Cells of a column that are looked at for what they hold, where that takes parsing them."""
NESTED = "[{"
INTEGER = re.compile(r"[+-]?\d{1,18}(\.0+)?")
NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf(inity)?)", re.IGNORECASE)
TRUTHS = frozenset({"true", "false"})
LETTERS = 200_000
"""Letters of a column that are looked at for their script."""
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff]")
"""Thai, Lao, Burmese, Japanese and Chinese."""


def look_at(data: Any, platform: Mapping[str, Any], scratch: Path) -> Seen:
    """Read a source's first rows, at most `MOST_ROWS`, as `ingest` reads them.

    Args:
        data: Section `data` of a recipe: source, encoding and marks of missing labels.
        platform: Deployment settings.
        scratch: A private folder.

    Raises:
        DataError: The source does not exist, has no rows or breaks a rule.
        ConfigError: It cannot be reached or read as configured.
        TemporaryError: It did not deliver.
    """
    reading: Reading = load_source(data.source.kind).read(data.source, data.encoding, platform, scratch)
    columns: dict[str, _Column] = {}
    first: list[list[str]] = []
    marks = frozenset(mark.casefold() for mark in data.missing_labels)
    rows, whole = 0, True
    batches: Any = reading.batches
    with closing(batches):
        for _, batch in batches:
            taken = batch.slice(0, MOST_ROWS - rows)
            for name, array in zip(taken.schema.names, taken.columns, strict=True):
                columns.setdefault(name, _Column(name, marks)).take(array)
            if len(first) < FIRST:
                head = [array.slice(0, FIRST - len(first)).to_pylist() for array in taken.columns]
                first += [[_shown(cell) for cell in row] for row in zip(*head, strict=True)]
            rows += len(taken)
            if rows == MOST_ROWS and len(taken) < len(batch):
                whole = False
                break
    if not rows:
        raise DataError("no-rows", "The file has no rows: below the names of the columns at least one row is needed.")
    return Seen(
        [column.seen(whole) for column in columns.values()],
        first,
        rows,
        whole,
        frozenset(reading.facts.class_names),
        reading.facts.sentences(),
    )


def _shown(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, list) and all(isinstance(item, str) for item in cell):
        cell = " ".join(cell)
    nested = isinstance(cell, list | dict)
    return one_line(json.dumps(cell, ensure_ascii=False, default=str) if nested else str(cell), LONGEST_VALUE)


@dataclass
class _Column:
    """What is known of a column so far."""

    name: str
    marks: frozenset[str]
    kind: pa.DataType = field(default_factory=pa.null)
    filled: int = 0
    missing: int = 0
    values: Counter[str] = field(default_factory=Counter)
    others: set[int] = field(default_factory=set)
    """Hashes of further values."""
    nested: list[Any] = field(default_factory=list)
    items: Counter[str] = field(default_factory=Counter)
    empty: int = 0
    longest: int = 0
    characters: int = 0
    words: int = 0
    prose: int = 0
    letters: int = 0
    foreign: int = 0

    def take(self, array: pa.Array) -> None:
        """Take in the cells of a batch."""
        self.kind = array.type
        for value in array.to_pylist():
            if value is None:
                self.missing += 1
            elif isinstance(value, list | dict):
                self.filled += 1
                if isinstance(value, list):
                    self.listed(value)
                if len(value) and isinstance(value, list) and isinstance(value[0], str):
                    self.words += len(value)
                    self.characters += sum(map(len, filter(None, value)))
                if len(self.nested) < SAMPLED:
                    self.nested.append(value)
            else:
                self.single(value if isinstance(value, str) else cell_text(value, self.name))

    def single(self, text: str) -> None:
        """Take in the text of a single value."""
        bare = text.strip()
        if not bare or bare.casefold() in self.marks:
            self.missing += 1
            return
        self.filled += 1
        if len(bare) <= LONGEST_VALUE and (bare in self.values or len(self.values) < MOST_VALUES):
            self.values[bare] += 1
        else:
            self.others.add(hash(bare))
        if bare[0] in NESTED and len(self.nested) < SAMPLED:
            self.nested.append(bare)
        if bare[0] == "[" and isinstance(found := next(_parsed([bare])), list):
            self.listed(found)
        words = len(bare.split())
        self.longest, self.characters = max(self.longest, len(bare)), self.characters + len(bare)
        self.words += words
        self.prose += words > 1 or UNSPACED.search(bare) is not None
        if self.letters < LETTERS:
            letters = [character for character in bare if character.isalpha()]
            self.letters += len(letters)
            self.foreign += sum(not character.isascii() for character in letters)

    def listed(self, items: Sequence[Any]) -> None:
        """Take in the single values of a list, each once."""
        self.empty += not items
        for item in {str(item).strip() for item in items if isinstance(item, str | int)}:
            if item in self.items or len(self.items) < MOST_VALUES:
                self.items[item] += 1

    def seen(self, whole: bool) -> SeenColumn:
        """Return what was seen."""
        filled = max(self.filled, 1)
        return SeenColumn(
            self.name,
            self.holds(),
            self.filled,
            self.missing,
            dict(self.values.most_common()),
            len(self.values) + len(self.others),
            self.longest,
            self.characters / filled,
            self.words / filled,
            self.prose / filled,
            self.foreign / max(self.letters, 1),
            whole,
            dict(self.items.most_common()),
            self.empty,
        )

    def holds(self) -> Holds:
        """Return what the cells are."""
        if not self.filled:
            return Holds.NOTHING
        if pa.types.is_nested(self.kind):
            return _nested(self.nested) or (Holds.LISTS if is_list(self.kind) else Holds.OBJECTS)
        return self.plain() or self.written()

    def plain(self) -> Holds | None:
        """Return what single values are, if it is numbers or truth values."""
        kept = list(self.values)
        for holds, fits in (
            (Holds.TRUTH_VALUES, lambda value: value.lower() in TRUTHS),
            (Holds.INTEGERS, INTEGER.fullmatch),
            (Holds.NUMBERS, NUMBER.fullmatch),
        ):
            if kept and (len(kept) == MOST_VALUES or not self.others) and all(map(fits, kept)):
                return holds
        return None

    def written(self) -> Holds:
        """Return what texts are: JSON of something that a task reads, tags, or texts."""
        if self.nested and len(self.nested) == min(self.filled, SAMPLED):
            return _nested(list(_parsed(self.nested))) or Holds.TEXT
        parts = [value.split() for value in list(self.values)[:SAMPLED]]
        if not parts or not _are_tags(parts):
            return Holds.TEXT
        return Holds.TAGS if any(len(words) > 1 for words in parts) else Holds.TAG


def _parsed(cells: Iterable[str]) -> Iterator[Any]:
    for cell in cells:
        try:
            yield json.loads(cell)
        except (ValueError, RecursionError):
            yield cell


def _nested(cells: Sequence[Any]) -> Holds | None:
    """Return what lists and objects are; None: nothing that a task reads."""
    if cells and all(isinstance(cell, dict) for cell in cells):
        return Holds.ANSWERS if all({"text", "answer_start"} <= set(cell) for cell in cells) else None
    if not all(isinstance(cell, list) for cell in cells):
        return None
    items = [item for cell in cells for item in cell]
    return _of_items(items, cells) if items else None


def _of_items(items: Sequence[Any], cells: Sequence[Any]) -> Holds | None:
    """Return what lists of these items are."""
    for holds, keys in ((Holds.ANSWERS, {"text", "answer_start"}), (Holds.SPANS, {"start", "end", "label"})):
        if all(isinstance(item, dict) and keys <= set(item) for item in items):
            return holds
    if all(isinstance(item, int) and not isinstance(item, bool) for item in items):
        return Holds.TAG_NUMBERS
    if all(isinstance(item, str) for item in items):
        return Holds.TAGS if _are_tags(cells) else Holds.WORDS
    return None


def _are_tags(cells: Iterable[Sequence[str]]) -> bool:
    """Whether lists of words are tags of IOB2, at least one of which begins something."""
    found = {item for cell in cells for item in cell}
    return any(tag.startswith("B-") for tag in found) and all(parted_tag(tag) is not None for tag in found)
