"""Shipped lists of common words: one group a line, entries parted by commas; `#` begins a comment.

The entries of one group can stand for each other. The lists are short, plain and written for kubetune.
"""

from functools import cache
from importlib import resources


@cache
def shipped_lexicons() -> tuple[str, ...]:
    """Return the names of the shipped lists, sorted."""
    items = resources.files(__name__).iterdir()
    return tuple(sorted(item.name.removesuffix(".txt") for item in items if item.name.endswith(".txt")))


@cache
def shipped_lexicon(name: str) -> tuple[tuple[str, ...], ...]:
    """Return the groups of a shipped list; `name` must be one of `shipped_lexicons()`."""
    text = resources.files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    lines = [line.partition("#")[0] for line in text.splitlines()]
    return tuple(tuple(entry.strip() for entry in line.split(",")) for line in lines if line.strip())
