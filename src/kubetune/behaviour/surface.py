"""How a text looks and what hangs on it: case, punctuation, emoji, links, mentions. None of it says anything new."""

import re
from collections.abc import Callable, Sequence
from random import Random

from kubetune.behaviour.words import protected

FINAL = ".!…"
LAST_MARK = re.compile(r"([.!?])\s*\Z")
EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf][\ufe0f\u200d\U0001f3fb-\U0001f3ff]*")
URLS = ("https://example.org/a1b2", "https://www.example.com/news/17", "http://example.net/x?y=3")
MENTIONS = ("@example_one", "@someone42", "@the_example")


def upper_case(text: str, draw: Random) -> str | None:
    """All capitals, but for URLs and mentions."""
    return _recased(text, str.upper)


def without_capitals(text: str, draw: Random) -> str | None:
    """No capitals, but for those of URLs and mentions."""
    return _recased(text, str.lower)


def add_punctuation(text: str, draw: Random) -> str | None:
    """A text without a final mark gets a full stop; one with a mark has it two or three times.

    Behind a URL, a mention or a hashtag a mark would be read as a part of it: that does not apply.
    """
    if any(end >= len(text.rstrip()) for _, end in protected(text)):
        return None
    found = LAST_MARK.search(text)
    if found is None:
        return text.rstrip() + "." if text[-1:].isalnum() else None
    return text[: found.start()] + found.group(1) * draw.choice((2, 3))


def drop_punctuation(text: str, draw: Random) -> str | None:
    """Final full stops and exclamation marks go; a question mark stays, since it says something."""
    body = text.rstrip()
    return body.rstrip(FINAL).rstrip() if body.endswith(tuple(FINAL)) else None


def add_emoji(text: str, draw: Random, entries: Sequence[Sequence[str]]) -> str | None:
    """An emoji of the list is set behind."""
    return f"{text.rstrip()} {draw.choice([entry for group in entries for entry in group])}"


def drop_emoji(text: str, draw: Random) -> str | None:
    """All emoji go."""
    return " ".join(EMOJI.sub(" ", text).split()) if EMOJI.search(text) else None


def add_url(text: str, draw: Random) -> str | None:
    """A link (of the domains that are reserved for examples) is set behind."""
    return f"{text.rstrip()} {draw.choice(URLS)}"


def add_mention(text: str, draw: Random) -> str | None:
    """A mention is set before."""
    return f"{draw.choice(MENTIONS)} {text.lstrip()}"


def _recased(text: str, change: Callable[[str], str]) -> str:
    pieces, done = [], 0
    for start, end in sorted(protected(text)):
        if start >= done:
            pieces += [change(text[done:start]), text[start:end]]
            done = end
    return "".join([*pieces, change(text[done:])])
