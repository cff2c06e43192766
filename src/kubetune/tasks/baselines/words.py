"""Texts as the words in them: how many two texts share, and the cosine of their tf-idf weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.metrics.base import Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PATTERN = r"(?u)\b\w+\b"
TITLES = {
    "jaccard": (
        "shared words",
        "Shared words",
        "Compares two texts by the share of their distinct words, in lower case, that both have (Jaccard).",
    ),
    "tfidfcosine": (
        "tf-idf",
        "tf-idf",
        "Compares two texts by the cosine of their tf-idf weights of words; weights are those of the train texts.",
    ),
}
"""Name → title, heading and description."""


@dataclass(frozen=True)
class Words:
    """Texts by their words.

    Attributes:
        weights: Shape (texts, words); rows of tf-idf have length 1, those of shared words are 0 and 1.
        shared: Whether two texts are compared by shared words.
    """

    weights: "csr_matrix"
    shared: bool

    def pairwise(self, other: "Words") -> Floats:
        """Return how near each text is to the one at its place in another list, 0 to 1."""
        both = np.asarray(self.weights.multiply(other.weights).sum(axis=1)).reshape(-1)
        return self._near(both, self._sizes(), other._sizes())

    def near(self, other: "Words", some: Ints) -> Floats:
        """Return how near some of the texts are to each of another list, shape (some, texts), 0 to 1."""
        both = (self.weights[some] @ other.weights.T).toarray()
        return self._near(both, self._sizes()[some, None], other._sizes()[None])

    def _sizes(self) -> Floats:
        found: Floats = np.asarray(self.weights.sum(axis=1)).reshape(-1)
        return found

    def _near(self, both: Any, first: Floats, second: Floats) -> Floats:
        if not self.shared:
            found: Floats = both
            return found
        union = first + second - both
        share: Floats = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
        return share


WordVectors = Callable[[Sequence[str]], Words]


def word_vectors(name: str, known: Sequence[str]) -> WordVectors:
    """Return what makes texts of any list comparable.

    Args:
        name: `jaccard` or `tfidfcosine`.
        known: Train texts, of which weights are made.
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

    if name == "jaccard":
        # Hashed: words that train does not have are shared as well.
        hashing = HashingVectorizer(
            token_pattern=PATTERN, binary=True, norm=None, alternate_sign=False, dtype=np.float64
        )
        return lambda texts: Words(hashing.transform(texts), shared=True)
    weighing = TfidfVectorizer(token_pattern=PATTERN, sublinear_tf=True, dtype=np.float64)
    try:
        weighing.fit(known)
    except ValueError:  # train has no word
        return lambda texts: Words(_empty(len(texts)), shared=False)
    return lambda texts: Words(weighing.transform(texts), shared=False)


def _empty(texts: int) -> "csr_matrix":
    from scipy.sparse import csr_matrix

    return csr_matrix((texts, 1))
