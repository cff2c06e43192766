"""Templates filled from lexicons."""

import math
import re
from collections.abc import Mapping, Sequence
from random import Random

from kubetune.behaviour.suite import Template

Item = tuple[str, ...]
"""What is classified: one text, or two."""
PLACEHOLDER = re.compile(r"\{([a-z][a-z_]*)(?:#([1-9]))?\}")
ARTICLE = re.compile(r"\b([Aa])n? (?=\{)")
"""An article before a placeholder: `a` or `an` is chosen by the entry."""


def placeholders(text: str) -> list[tuple[str, str]]:
    """Return the distinct (lexicon, number) pairs of a template's text, in their order; number is "" or a digit."""
    return list(dict.fromkeys((found.group(1), found.group(2) or "") for found in PLACEHOLDER.finditer(text)))


def template_problem(text: str) -> str | None:
    """Return what is wrong with the braces of a template, or None."""
    rest = PLACEHOLDER.sub("", text)
    return "a brace belongs to no placeholder: write {name} or {name#2}" if "{" in rest or "}" in rest else None


def fill(
    templates: Sequence[Template], lexicons: Mapping[str, Sequence[str]], most: int, draw: Random
) -> dict[Item, Template]:
    """Return at most `most` distinct filled items and the template of each, each template in equal parts.

    Args:
        templates: Texts with placeholders, or pairs of them.
        lexicons: Entries by name.
        most: Upper bound; where there are more, `draw` chooses.
        draw: Seeded.
    """
    pools = [_Pool((template,) if isinstance(template, str) else template, lexicons) for template in templates]
    wanted, left = [0] * len(pools), most
    # Smallest pools first, so that what they cannot give goes to the others.
    for rank, place in enumerate(sorted(range(len(pools)), key=lambda place: pools[place].size)):
        wanted[place] = min(pools[place].size, left // (len(pools) - rank))
        left -= wanted[place]
    items: dict[Item, Template] = {}
    for template, pool, count in zip(templates, pools, wanted, strict=True):
        numbers = range(pool.size) if count == pool.size else sorted(draw.sample(range(pool.size), count))
        for item in map(pool.item, numbers):
            if item is not None:
                items.setdefault(item, template)
    return items


class _Pool:
    """All ways to fill one template, by number."""

    def __init__(self, texts: Item, lexicons: Mapping[str, Sequence[str]]) -> None:
        self.texts = texts
        self.keys = list(dict.fromkeys(key for text in texts for key in placeholders(text)))
        self.entries = [lexicons[name] for name, _ in self.keys]
        self.size = math.prod(map(len, self.entries))

    def item(self, number: int) -> Item | None:
        """Return the filling of that number; None where one list gave the same entry twice."""
        chosen: dict[tuple[str, str], str] = {}
        for key, entries in zip(self.keys, self.entries, strict=True):
            number, place = divmod(number, len(entries))
            chosen[key] = entries[place]
        if len({(name, entry) for (name, _), entry in chosen.items()}) < len(chosen):
            return None
        return tuple(_filled(text, chosen) for text in self.texts)


def _filled(text: str, chosen: Mapping[tuple[str, str], str]) -> str:
    def article(found: re.Match[str]) -> str:
        following = PLACEHOLDER.match(text, found.end())
        entry = chosen[following.group(1), following.group(2) or ""] if following is not None else ""
        return f"{found.group(1)}n " if entry[:1].lower() in tuple("aeiou") else f"{found.group(1)} "

    # Articles first: their places are those of the template.
    with_articles = ARTICLE.sub(article, text)
    done = PLACEHOLDER.sub(lambda found: chosen[found.group(1), found.group(2) or ""], with_articles)
    return done[:1].upper() + done[1:] if text.startswith("{") else done
