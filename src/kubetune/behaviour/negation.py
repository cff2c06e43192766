"""English auxiliaries: negation put into a text and taken out of it, short forms and long ones (`do not`, `don't`).

Negation turns the meaning round, for direction tests; a short form and its long one mean the same.
"""

import re
from collections.abc import Mapping
from random import Random
from types import MappingProxyType

from kubetune.behaviour.words import APOSTROPHES, WORD, is_negation, like_case, negations, replaced

AUXILIARY = re.compile(
    r"(?<=\w) (?:is|are|was|were|am|can|could|should|would|will|must)(?= (?!not\b)\w)|"
    r"\b(?:it|that|he|she|there)['’]s(?= (?:a|an|the|so|very|really|just)\b)|\b(?:I['’]m|(?:we|you|they)['’]re)(?= \w)",
    re.IGNORECASE,
)
"""A verb that `not` can follow; at the start of a sentence it asks a question."""
OPINIONS: Mapping[str, str] = MappingProxyType(
    {
        form: base
        for base, forms in {
            "love": "love loves loved",
            "like": "like likes liked",
            "enjoy": "enjoy enjoys enjoyed",
            "hate": "hate hates hated",
            "recommend": "recommend recommends recommended",
            "regret": "regret regrets regretted",
            "want": "want wants wanted",
            "need": "need needs needed",
            "trust": "trust trusts trusted",
            "feel": "feel feels felt",
            "think": "think thinks thought",
        }.items()
        for form in forms.split()
    }
)
"""Form → base of verbs of opinion."""
VERB = re.compile(rf"\b(?:I|we|you|they|he|she|it) (?:(?:really|truly|just) )?({'|'.join(OPINIONS)})\b", re.IGNORECASE)
BARE: Mapping[str, str] = MappingProxyType({"won't": "will", "can't": "can", "cannot": "can", "shan't": "shall"})
"""Negated verbs whose plain form is not the word without n't."""


def negate(text: str, draw: Random) -> str | None:
    """The first verb that can carry it is negated; a text that holds a negation, or asks, does not apply."""
    if negations(text) or "?" in text:
        return None
    found = AUXILIARY.search(text)
    verb = VERB.search(text)
    if verb is not None and (found is None or verb.start() < found.start()):
        return replaced(text, verb.span(1), _negated(verb.group(1)))
    if found is None:
        return None
    joined = found.group().lower() == " can"
    return replaced(text, found.span(), found.group() + ("not" if joined else " not"))


def affirm(text: str, draw: Random) -> str | None:
    """The only negation of a text is taken out; one that is more than `not`, n't or `never` does not apply."""
    found = [match for match in WORD.finditer(text) if is_negation(match.group())]
    if len(found) != 1:
        return None
    word = found[0].group()
    plain = word.lower().translate(APOSTROPHES)
    start, end = found[0].span()
    if plain in ("not", "never"):
        if start == 0:  # `Never again`: what is left would be no sentence
            return None
        if text[start - 1] == " ":
            return replaced(text, (start - 1, end), "")
        return replaced(text, (start, end + (text[end : end + 1] == " ")), "")  # behind a quote or a bracket
    if plain in BARE or plain.endswith("n't"):
        return replaced(text, (start, end), like_case(BARE.get(plain, plain.removesuffix("n't")), word))
    return None


def _negated(verb: str) -> str:
    base = OPINIONS[verb.lower()]
    if verb.lower() == base:
        return f"do not {base}"
    return f"{'does' if verb.lower() == base + 's' else 'did'} not {base}"


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
