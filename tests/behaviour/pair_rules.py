"""Sound models of pairs and of several labels, made of rules, and wrappers that make them faulty in one known way."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise

from behaviour.rule_classifiers import one_slip
from kubetune.behaviour.cases import Row, cases_of
from kubetune.behaviour.joining import ROW_PERTURBATIONS
from kubetune.behaviour.lexicons import shipped_lexicon
from kubetune.behaviour.load import load_suite
from kubetune.behaviour.words import free_words, is_negation

Item = tuple[str, ...]
Change = Callable[[str], str]
ROLES = ("nurse", "farmer", "teacher", "driver", "singer", "doctor", "baker", "pilot", "student", "lawyer")
NAMED = frozenset(entry.lower() for name in ("names", "places") for group in shipped_lexicon(name) for entry in group)
LITTLE = "a an the of in on at to is was are were i we it that with by as this has had for and be"
SMALL = frozenset(LITTLE.split())
DOING = ("sleeping", "reading", "waiting", "dancing", "cooking")
WHERE = ("at home", "in the garden", "on the beach", "in the kitchen")
PLACES = ("Lisbon", "Oslo", "Chicago", "Kenya", "Japan")


@cache
def vocabulary(suite: str) -> frozenset[str]:
    """Every word of the texts before a typo is put in."""
    chosen, found = load_suite(suite), set[str]()
    for test in chosen.tests:
        if getattr(test, "perturb", None) in ROW_PERTURBATIONS:  # of words that other tests have
            continue
        for case in cases_of(test, chosen, ROWS[suite](), 0).cases:
            items = (case.item,) if getattr(test, "perturb", None) == "typo" else (case.item, *case.variants)
            found |= {word for item in items for text in item for word in words(text)}
    return frozenset(found | NAMED)


def words(text: str) -> list[str]:
    return [match.group().lower() for match in free_words(text)] + re.findall(r"\d+", text)


@cache
def mended(word: str, suite: str) -> str:
    """A word with a slip as it was meant."""
    known = vocabulary(suite)
    return word if word in known else next((each for each in sorted(known) if one_slip(word, each)), word)


def read(text: str, suite: str) -> list[str]:
    return [mended(word, suite) for word in words(text)]


def has_unknown(item: Item, suite: str) -> bool:
    return any(word not in vocabulary(suite) for text in item for word in words(text) if not word.isdigit())


def without_negations(text: str) -> str:
    return " ".join(word for word in text.split() if not is_negation(word.strip(".,")))


def without_names(text: str) -> str:
    return re.sub(r"\w+", lambda found: "" if found.group().lower() in NAMED else found.group(), text)


# --- similarity

Similarity = Callable[[Item], float]


def acting(text: str) -> tuple[str, ...]:
    """The people of a sentence, who acts before who is acted on."""
    found = tuple(word for word in read(text, "similarity") if word in ROLES)
    return found[::-1] if " by " in text else found


def alike(item: Item, order: bool = True, names: bool = True) -> float:
    """Words in common; a fifth of that where a negation, a name, a number or who acts differs."""
    sides = [[word for word in read(text, "similarity") if names or word not in NAMED] for text in item]
    content = [{word for word in side if word not in SMALL and not is_negation(word)} for side in sides]
    shared = 2 * len(content[0] & content[1]) / max(1, sum(map(len, content)))
    named = [{word for word in side if word in NAMED or word.isdigit()} for side in sides]
    odd = [sum(map(is_negation, side)) % 2 for side in sides]
    people = [acting(text) for text in item]
    other = order and set(people[0]) == set(people[1]) and people[0] != people[1]
    return shared / 5 if named[0] != named[1] or odd[0] != odd[1] or other else shared


def on_texts(change: Change) -> Similarity:
    return lambda item: alike(tuple(map(change, item)))


def first_words(text: str) -> str:
    return " ".join(text.split()[:9])


def case_counts(item: Item) -> float:
    """A text without a capital is another one."""
    return alike(item) * (1.0 if all(text != text.lower() for text in item) else 0.5)


SIMILARITY_FAULTS: Mapping[str, Similarity] = {
    "negation": on_texts(without_negations),
    "word order": lambda item: alike(item, order=False),
    "names and places": lambda item: alike(item, names=False),
    "whole text": on_texts(first_words),
    "typos": lambda item: alike(item) * (0.0 if has_unknown(item, "similarity") else 1.0),
    "surface": case_counts,
}


def alike_rows() -> list[Row]:
    found = []
    for number in range(40):
        role, place = ROLES[number % 10], PLACES[number % 5]
        one = f"The {role} is in {place} with {20 + number} friends."
        found.append(Row((one, f"In {place}, the {role} is together with {20 + number} friends."), "alike"))
    return found


# --- entailment

CLASSES = ("entailment", "neutral", "contradiction")


def clause(text: str) -> tuple[list[str], int]:
    """The words of a sentence without negations and articles, and whether it is negated."""
    read_words = ["not" if word == "no" else word for word in read(text, "entailment")]
    parts = [part for word in read_words for part in (("can", "not") if word == "cannot" else (word,))]
    plain = [word for word in parts if not is_negation(word) and word not in ("a", "an", "the")]
    return plain, sum(map(is_negation, parts)) % 2


def follows(less: Sequence[str], more: Sequence[str]) -> bool:
    """Whether words stand in others in their order."""
    rest = iter(more)
    return all(word in rest for word in less)


def entailed(item: Item) -> str:
    (premise, no), (hypothesis, other) = map(clause, item)
    if no == other:
        return "entailment" if follows(hypothesis, premise) else "neutral"
    either = follows(hypothesis, premise) or follows(premise, hypothesis)
    return "contradiction" if either else "neutral"


def turned(label: str) -> str:
    return CLASSES[(CLASSES.index(label) + 1) % 3]


def needs_a_short_hypothesis(item: Item) -> str:
    found, (one, other) = entailed(item), map(len, map(str.split, item))
    return "neutral" if found == "contradiction" and other > one + 1 else found


def knows_nothing_of_itself(item: Item) -> str:
    return "neutral" if item[0] == item[1] else entailed(item)


def takes_another_matter(item: Item) -> str:
    sides = [set(clause(text)[0]) - SMALL for text in item]
    return entailed(item) if sides[0] & sides[1] else "entailment"


def counts_words(item: Item) -> str:
    (premise, no), (hypothesis, other) = map(clause, item)
    return "entailment" if no == other and set(hypothesis) <= set(premise) else entailed(item)


ENTAILMENT_FAULTS: Mapping[str, Callable[[Item], str]] = {
    "same text": knows_nothing_of_itself,
    "symmetry": needs_a_short_hypothesis,
    "negation": lambda item: entailed(tuple(map(without_negations, item))),
    "both texts": takes_another_matter,
    "word order": counts_words,
    "names and places": lambda item: entailed(tuple(map(without_names, item))),
    "typos": lambda item: turned(entailed(item)) if has_unknown(item, "entailment") else entailed(item),
    "surface": lambda item: turned(entailed(item)) if item[1] == item[1].lower() else entailed(item),
}


def nli_rows() -> list[Row]:
    found = []
    for number in range(40):
        role, doing, where = ROLES[number % 10], DOING[number % 5], WHERE[number % 4]
        more, less = f"A tall {role} is {doing} {where}.", f"A {role} is {doing}."
        found.append(Row((more, less), "entailment"))
        found.append(Row((less, more), "neutral"))
        found.append(Row((more, f"A {role} is not {doing}."), "contradiction"))
    return found


# --- several labels

FEELINGS = {"joy": ("happy", "glad"), "anger": ("angry", "furious"), "fear": ("afraid", "scared")}


def chosen(item: Item) -> dict[str, float]:
    """A feeling for each of its words, in the order of the text."""
    found = [name for word in read(item[0], "several-labels") for name, listed in FEELINGS.items() if word in listed]
    return dict.fromkeys(found, 0.9)


def with_label(item: Item, when: str) -> dict[str, float]:
    return chosen(item) | ({"surprise": 0.7} if re.search(when, item[0], re.IGNORECASE) else {})


SEVERAL_FAULTS: Mapping[str, Callable[[Item], dict[str, float]]] = {
    "several labels": lambda item: dict(list(chosen(item).items())[:1]),
    "sentence beside": lambda item: with_label(item, r"\b(two|second|phone)\b"),
    "names and places": lambda item: with_label(item, r"\b(Laura|Emma|Oslo|Vienna|Madrid)\b"),
    "typos": lambda item: {} if has_unknown(item, "several-labels") else chosen(item),
    "surface": lambda item: {} if item[0] == item[0].lower() else chosen(item),
}


def feeling_rows() -> list[Row]:
    found, spoken = [], [word for listed in FEELINGS.values() for word in listed]
    names = ("Laura", "Emma", "Julia", "Sarah", "Olga")
    for number, (one, other) in enumerate(pairwise(spoken * 8)):
        both = f"{one} and {other}" if number % 3 == 0 else one
        found.append(Row((f"{names[number % 5]} and {20 + number} friends in {PLACES[number % 3]} are {both}.",)))
    return found


ROWS: Mapping[str, Callable[[], list[Row]]] = {
    "similarity": alike_rows,
    "entailment": nli_rows,
    "several-labels": feeling_rows,
}
