"""Words, what in a text must be left alone, and words that turn a meaning round."""

import re

from kubetune.text.cleaning import mention_pattern, url_pattern

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
MARKED = re.compile(r"[@#]|://|www\.", re.IGNORECASE)
"""Without one of these nothing is protected, which is quickly seen."""
HASHTAG = re.compile(r"#\w+")
APOSTROPHES = str.maketrans("’", "'")

PLAIN_NEGATIONS = ("not", "no", "never", "none", "nobody", "nothing", "nowhere", "neither", "nor", "cannot", "without")
ALMOST = ("hardly", "barely", "scarcely")
UNMARKED = (
    "ai",
    "do",
    "does",
    "did",
    "is",
    "was",
    "are",
    "were",
    "wo",
    "ca",
    "could",
    "should",
    "would",
    "have",
    "has",
)
NEGATIONS = frozenset((*PLAIN_NEGATIONS, *ALMOST, *(f"{verb}nt" for verb in UNMARKED)))
"""Besides every word that ends in n't."""


def is_negation(word: str) -> bool:
    """Whether `word`, in any case, negates."""
    plain = word.lower().translate(APOSTROPHES)
    return plain in NEGATIONS or plain.endswith("n't")


def negations(text: str) -> int:
    """Return the number of negating words in `text`."""
    return sum(is_negation(found.group()) for found in WORD.finditer(text))


def free_words(text: str) -> list[re.Match[str]]:
    """Return the words of `text` that are no part of a URL, a mention or a hashtag; spans are those in `text`."""
    return list(WORD.finditer(masked(text)))


def masked(text: str) -> str:
    """Return `text`, equally long, with spaces in the place of what is protected. Linear, hostile text included."""
    spans = protected(text)
    if not spans:
        return text
    pieces, done = [], 0
    for start, end in sorted(spans):
        if end > done:
            pieces += [text[done : max(start, done)], " " * (end - max(start, done))]
            done = end
    return "".join([*pieces, text[done:]])


def protected(text: str) -> list[tuple[int, int]]:
    """Return the spans of URLs, mentions and hashtags: a slip in them is not one of language."""
    if not MARKED.search(text):
        return []
    return [found.span() for pattern in (url_pattern(), mention_pattern(), HASHTAG) for found in pattern.finditer(text)]


def replaced(text: str, span: tuple[int, int], new: str) -> str:
    """Return `text` with `new` in the place of `span`."""
    return text[: span[0]] + new + text[span[1] :]


def like_case(new: str, old: str) -> str:
    """Return `new` in the case of `old`: all capitals (of two letters or more), first capital, or as it is."""
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new[:1].upper() + new[1:] if old[:1].isupper() else new
