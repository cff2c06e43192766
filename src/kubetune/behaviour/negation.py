"""Negation put into a text and taken out of it. Both turn the meaning round: for direction tests."""

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
