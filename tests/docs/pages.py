"""The pages that users read, their fenced `sh` blocks, and how a block is run.

A comment before a block says how it is tested. None: it is run (`make test-slow`). `<!-- test: cluster -->`: it needs a
cluster, and `<!-- test: parsed, REASON -->`: it cannot be run here; both are parsed. `<!-- NAME: these commands are run
by TEST -->`: that test runs it.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*?) -->\n\n)?^```sh\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"\w+: these commands are run by (\S+)")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


@dataclass(frozen=True)
class Block:
    """Commands of a page.

    Attributes:
        page: Where they stand.
        line: Line of the fence.
        mark: The comment before the block; empty: none.
        text: The commands.
    """

    page: Path
    line: int
    mark: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether it is run as it stands."""
        return not self.mark

    def commands(self) -> Iterator[list[str]]:
        """Yield the words of each simple command, without assignments; ValueError where no shell could read it."""
        for line in self.text.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, ";"]:
                if not set(word) <= set("();<>|&"):
                    if words or not ASSIGNMENT.match(word):
                        words.append(word)
                elif words:
                    yield words
                    words = []


def blocks() -> list[Block]:
    """Return all blocks, page by page."""
    return [
        Block(page, text[: found.start("text")].count("\n"), found["mark"] or "", found["text"])
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for found in BLOCK.finditer(text)
    ]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def spans(page: Path) -> list[str]:
    """Return the code spans of a page's prose."""
    return re.findall(r"`([^`\n]+)`", prose(page))
