"""Short and long forms of English auxiliaries: `do not` and `don't`, `it is` and `it's`. Meaning and negation stay."""

import re
from collections.abc import Mapping
from random import Random
from types import MappingProxyType

from kubetune.behaviour.words import like_case

BE_AND_HAVE = ("is", "are", "was", "were", "has", "have", "had")
PLAIN_NOT = (*BE_AND_HAVE, "do", "does", "did", "could", "should", "would", "must", "need")
SHORT: Mapping[str, str] = MappingProxyType(
    {f"{word} not": f"{word}n't" for word in PLAIN_NOT}
    | {"will not": "won't", "cannot": "can't", "can not": "can't"}
    | {"i am": "i'm", "it is": "it's", "that is": "that's", "he is": "he's", "she is": "she's", "there is": "there's"}
    | {f"{who} are": f"{who}'re" for who in ("we", "you", "they")}
    | {f"{who} have been": f"{who}'ve been" for who in ("i", "we", "you", "they")}
    | {f"{who} will": f"{who}'ll" for who in ("i", "we", "you", "they", "he", "she", "it")}
)
"""Long form → short form, in lower case."""
LONG: Mapping[str, str] = MappingProxyType({short: long for long, short in SHORT.items() if long != "can not"})
HAS_AFTER = ("been", "got", "had", "become", "gone", "done", "taken", "made", "never", "always", "already")
"""After these, 's stands for `has`."""
ASKED = ("i", "you", "we", "they", "he", "she", "it")
"""Before these a short form asks (`don't you think`) and cannot be written out in place."""

# A short form cannot end a clause (`yes, it is`), hence the word that must follow.
LONG_FORM = re.compile(
    rf"\b(?:{'|'.join(sorted(SHORT, key=len, reverse=True))})(?= (?!and\b|or\b|but\b)\w)", re.IGNORECASE
)
SHORT_FORM = re.compile(
    rf"\b(?:{'|'.join(sorted(LONG, key=len, reverse=True)).replace(chr(39), '[' + chr(39) + '’]')})\b"
    rf"(?! (?:{'|'.join((*HAS_AFTER, *ASKED))})\b)",
    re.IGNORECASE,
)
QUESTION = re.compile(r"\A\W*(?:why |how )?\w+n['’]t\b.*\?", re.IGNORECASE | re.DOTALL)
"""`Isn't Anna here?` cannot be written out in place either."""


def contract(text: str, draw: Random) -> str | None:
    """Every long form becomes the short one."""
    return LONG_FORM.sub(lambda found: _write(SHORT[found.group().lower()], found.group()), text)


def expand(text: str, draw: Random) -> str | None:
    """Every short form becomes the long one; questions that begin with one do not apply."""
    if QUESTION.match(text):
        return None
    return SHORT_FORM.sub(lambda found: _write(LONG[found.group().lower().replace("’", "'")], found.group()), text)


def _write(new: str, old: str) -> str:
    first = old.split(" ", maxsplit=1)[0].split("'", maxsplit=1)[0]
    if first.lower() == "i":  # one capital letter says nothing of the rest
        return "I" + new[1:] if first == "I" else new
    return like_case(new, old)
