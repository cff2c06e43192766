"""What a data source is: a module with two functions, and the record batches that it gives."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kubetune.errors import DataError
from kubetune.redaction import quoted
from kubetune.text.shown import one_line

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_NAME = 255
CHUNK = 1 << 20
"""Bytes read at a time."""


@dataclass(frozen=True)
class FileFact:
    """A file that was read.

    Attributes:
        name: Its name without folders, so that a moved file is the same file.
        sha256: Digest of its bytes as they lie there (compressed, if they do), hex.
        size: Bytes.
        rows: Rows that it gave; None where another library read it together with others.
    """

    name: str
    sha256: str
    size: int
    rows: int | None


@dataclass
class Facts:
    """What is known of a source once its rows have been read. Same source, same facts.

    Attributes:
        identity: What the source was when it was read; None: it has no name for that.
        revision: Commit or version; None: it has none.
        licence: As its owner states it; None: not stated.
        files: What was read, in order.
        surrogates: Characters U+FFFD that stand for lone surrogates, which no UTF-8 file can hold.
        class_names: Column of class numbers → names by number.
        decoded: Columns whose values were bytes and have been read as UTF-8.
        decisions: What was decided in reading (delimiter, encoding, columns without a name, …), a sentence without its
            subject → names of the files of which it is true.
    """

    identity: str | None = None
    revision: str | None = None
    licence: str | None = None
    files: list[FileFact] = field(default_factory=list)
    surrogates: int = 0
    class_names: dict[str, list[str]] = field(default_factory=dict)
    decoded: set[str] = field(default_factory=set)
    decisions: dict[str, list[str]] = field(default_factory=dict)

    def decided(self, name: str, sentence: str) -> None:
        """Keep what was decided for a file, to be reported once for all files that it is true of."""
        names = self.decisions.setdefault(sentence, [])
        if name not in names:
            names.append(name)

    def sentences(self) -> list[str]:
        """Return the decisions as sentences, each with its first file and the number of others."""
        others = {1: "", 2: " and another file"}
        return [
            f"{one_line(names[0], 60)}{others.get(len(names), f' and {len(names) - 1} other files')}: {sentence}"
            for sentence, names in self.decisions.items()
        ]


@dataclass(frozen=True)
class Reading:
    """The rows of a source as a stream.

    Attributes:
        batches: (split, rows) in the source's order; all batches of a split have one schema.
        facts: Complete once the stream has ended.
    """

    batches: "Iterator[tuple[str, pa.RecordBatch]]"
    facts: Facts


class Source(Protocol):
    """A module of this package."""

    def identify(self, source: Any, platform: Mapping[str, Any]) -> str | None:
        """Return the source's identity without reading its rows; imports nothing heavy where it is files."""

    def read(self, source: Any, encoding: str, platform: Mapping[str, Any], scratch: Path) -> Reading:
        """Return the rows.

        Args:
            source: Section `data.source` of this kind.
            encoding: Of text files; decoding is strict.
            platform: Deployment settings.
            scratch: A private folder for what must lie on disk meanwhile.
        """


def is_file(path: Path) -> bool:
    """Whether a file lies there; a path that no file system takes (a NUL in it, too long) names none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def check_file_name(name: str, what: str) -> None:
    """Refuse a name under which a download could not be kept.

    Raises:
        DataError: It has control characters or is too long.
    """
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME or not all(map(str.isprintable, name)):
        raise DataError(
            "file-name",
            f"{quoted(what, 120)} names no file that can be kept: its name has control characters or "
            f"more than {LONGEST_NAME} bytes.",
        )


def digest_of_parts(parts: Any) -> str:
    """Return one identity for JSON-able parts whose order matters."""
    return "sha256:" + hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()
