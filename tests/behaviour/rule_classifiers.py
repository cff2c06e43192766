"""Classifiers of rules, cheap and sound, and wrappers that make them faulty in one known way."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from kubetune.behaviour.cases import Row
from kubetune.behaviour.words import free_words, is_negation

SCOPE = 3
"""Words after a negation that it turns round."""
Classifier = Callable[[Sequence[tuple[str, ...]]], np.ndarray]


def one_slip(word: str, known: str) -> bool:
    """Whether one letter dropped, doubled, replaced or swapped makes `word` of `known`; the first one is right."""
    if word == known:
        return True
    if word[0] != known[0] or abs(len(word) - len(known)) > 1 or len(known) < 4:
        return False
    if len(word) == len(known):
        wrong = [place for place, (one, other) in enumerate(zip(word, known, strict=True)) if one != other]
        swapped = len(wrong) == 2 and wrong[1] == wrong[0] + 1 and word[wrong[0]] == known[wrong[1]]
        return len(wrong) == 1 or (swapped and word[wrong[1]] == known[wrong[0]])
    short, long = sorted((word, known), key=len)
    return any(long[:place] + long[place + 1 :] == short for place in range(len(long)))


class Keywords:
    """Counts the words of each class, tolerates a slip, and turns a word round after a negation."""

    def __init__(self, words: Mapping[str, str], labels: Sequence[str], bias: Mapping[str, float] | None = None):
        self.words = {word: label for label, listed in words.items() for word in listed.split()}
        self.labels = list(labels)
        self.bias = [(bias or {}).get(label, 0.0) for label in labels]
        self.label_of = lru_cache(maxsize=None)(self._label_of)

    def _label_of(self, word: str) -> str | None:
        exact = self.words.get(word)
        return exact or next((label for known, label in self.words.items() if one_slip(word, known)), None)

    def logits(self, text: str) -> list[float]:
        found = list(self.bias)
        words = [match.group().lower() for match in free_words(text)]
        for place, word in enumerate(words):
            label = self.label_of(word)
            if label is not None:
                turned = any(map(is_negation, words[max(0, place - SCOPE) : place]))
                found[self.labels.index(label)] += -1.0 if turned else 1.0
        return found

    def __call__(self, items: Sequence[tuple[str, ...]]) -> np.ndarray:
        return softmax(np.array([self.logits(" ".join(item)) for item in items]).reshape(len(items), len(self.labels)))


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(2 * (logits - logits.max(axis=1, keepdims=True)))
    return raised / raised.sum(axis=1, keepdims=True)


GOOD = (
    "good great wonderful excellent amazing lovely fantastic superb delightful perfect loved enjoyed liked adored nice "
    "friendly helpful happy"
)
BAD = "bad terrible awful horrible poor dreadful disappointing boring lousy pathetic hated disliked detested despised"
SENTIMENT_WORDS = {"negative": BAD + " rude dull angry", "positive": GOOD}


def sentiment(labels: Sequence[str] = ("negative", "neutral", "positive")) -> Keywords:
    return Keywords(SENTIMENT_WORDS, labels, {"neutral": 0.5})


def emotion() -> Keywords:
    words = {
        "sadness": "sad miserable gloomy heartbroken unhappy depressed",
        "joy": "happy joyful cheerful delighted glad thrilled",
        "anger": "angry furious annoyed outraged mad irritated",
        "fear": "afraid scared terrified frightened anxious nervous",
        "surprise": "surprised amazed astonished stunned",
    }
    return Keywords(words, ["sadness", "joy", "love", "anger", "fear", "surprise"])


def topic() -> Keywords:
    words = {
        "world": "president minister ambassador peace ceasefire election refugees border hostages",
        "sports": "striker goalkeeper coach quarterback champion playoff championship tournament semifinal opener "
        "team scoring",
        "business": "company bank retailer airline insurer profit shares revenue earnings merger stock",
        "sci-tech": "researchers scientists engineers programmers software chip spacecraft browser telescope virus",
    }
    return Keywords(words, ["world", "sports", "business", "sci-tech"])


PERSON = "teacher driver doctor student neighbour singer farmer baker"
SINGULAR = set(PERSON.split())
PLURAL = {word + "s" for word in SINGULAR}
FINITE = {"sees", "paints", "wants", "keeps", "likes", "saw", "painted", "wanted", "kept", "liked"}
THIRD = {"is", "was", "has", "sees", "paints", "wants", "keeps", "likes"}
BARE = {"are", "were", "have", "see", "paint", "want", "keep", "like"}
DETERMINERS = {"the", "a", "my"}
MODALS = {"will", "can"}
AFTER_NOUN = {"and", "in", "is", "are", "was", "were", "but", "on"}


def grammatical(text: str) -> bool:
    """A few rules of English word order and agreement over the words of the suite."""
    words = [match.group() for match in free_words(text)]
    low = [word.lower() for word in words]
    if low and low[-1] in DETERMINERS:
        return False
    for place, (one, two) in enumerate(itertools.pairwise(low)):
        singular = one in SINGULAR or (place == 0 and one not in DETERMINERS | PLURAL and words[0][0].isupper())
        wrong = (
            one == two
            or (singular and two in BARE and one not in {"i", "we", "you", "they"})
            or (one in PLURAL and two in THIRD)
            or (one in MODALS and two in FINITE)
            or (one in DETERMINERS and two in FINITE | BARE | AFTER_NOUN)
            or (two in DETERMINERS and one in SINGULAR | PLURAL)
        )
        if wrong:
            return False
    return True


def acceptability(items: Sequence[tuple[str, ...]]) -> np.ndarray:
    return np.array([[0.1, 0.9] if grammatical(item[0]) else [0.9, 0.1] for item in items]).reshape(len(items), 2)


def each_text(inner: Classifier, change: Callable[[str], str]) -> Classifier:
    return lambda items: inner([tuple(map(change, item)) for item in items])


def ignores_negation(inner: Classifier) -> Classifier:
    return each_text(inner, lambda text: re.sub(r"\w+['’]?\w*", lambda m: "" if is_negation(m.group()) else m[0], text))


def reads_five_words(inner: Classifier) -> Classifier:
    return each_text(inner, lambda text: " ".join(text.split()[:5]))


def keys_on(name: str, inner: Classifier) -> Classifier:
    """Answers the class after the right one wherever the name stands."""
    return _turned(inner, lambda text: re.search(rf"\b{name}\b", text) is not None)


def flips_on_typo(inner: Classifier, vocabulary: set[str]) -> Classifier:
    """Answers the class after the right one wherever a word is none that it has seen."""
    return _turned(inner, lambda text: any(m.group().lower() not in vocabulary for m in free_words(text)))


def _turned(inner: Classifier, when: Callable[[str], bool]) -> Classifier:
    def score(items: Sequence[tuple[str, ...]]) -> np.ndarray:
        scores = inner(items).copy()
        hit = np.array([any(map(when, item)) for item in items], dtype=bool)
        scores[hit] = np.roll(scores[hit], 1, axis=1)
        return scores

    return score


NAMED = ("Laura", "Kevin", "Aisha", "Peter", "Mei")
PLACED = ("Lisbon", "Oslo", "Chicago", "Kenya", "Japan")
ROWS: dict[str, dict[str, tuple[str, ...]]] = {
    "sentiment": {
        "positive": ("{name} says the film in {place} was great.", "It's a lovely shop, I enjoyed it.", "I loved it!"),
        "negative": ("{name} hated the movie in {place}.", "It is not good and we are angry.", "We're here, awful!"),
        "neutral": ("{name} has 45 photos of {place}.", "I do not know the street.", "They are in the car."),
    },
    "emotion": {
        "joy": ("i am happy that {name} came to {place}", "it is the car that makes me glad"),
        "sadness": ("i feel sad since {name} left {place}", "we are unhappy, they do not write"),
        "fear": ("i was scared when {name} called", "that is a street where i am nervous"),
    },
    "acceptability": {
        "acceptable": ("{name} saw the garden in {place}.", "The teacher is tired.", "We are here and it is late."),
        "unacceptable": ("{name} see the window in {place}.", "The teachers is in the car.", "The doctor will saw it."),
    },
    "topic": {
        "sports": ("{name} and the coach missed the tournament in {place}.", "The team isn't at the championship."),
        "business": ("{name} sold 350 shares in {place}.", "The company is not a retailer, it is a bank."),
        "sci-tech": ("{name} and 20 engineers left {place}.", "The software is what scientists bought."),
    },
}


def rows(suite: str, count: int = 36) -> list[Row]:
    """Labelled rows for the tests of a shipped suite that draw rows."""
    found = []
    for label, templates in ROWS[suite].items():
        for number in range(count // len(ROWS[suite])):
            text = templates[number % len(templates)]
            found.append(Row((text.format(name=NAMED[number % 5], place=PLACED[number % 4]),), label))
    return found
