"""Answers of one vector a text: its numbers, of length 1 where a request asks for that."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.tasks.answers import ALIKE, UNLIKE, AnswerForm, HubForm, Parameter

if TYPE_CHECKING:
    import pyarrow as pa

    from kubetune.tasks.base import Encoding
    from kubetune.tasks.sides import Vectors

HUB = HubForm(
    pipeline="feature-extraction",
    arguments="tokenize_kwargs={'truncation': True}",
    because=(
        "without it a longer text fails. It gives a vector for each token; ours is their mean, or the first where "
        "`1_Pooling/config.json` says so. `sentence_transformers.SentenceTransformer(FOLDER)` gives ours itself"
    ),
    classes="",
    client="feature_extraction",
    in_list=False,
    at_root=True,
)
PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "normalize": Parameter(
            {"type": "boolean"}, "true or false: whether a vector is divided by its length", default=False
        ),
        "truncate": Parameter({"enum": [True]}, "true: of a longer text the beginning is read", default=True),
        "truncation_direction": Parameter(
            {"enum": ["right"]}, "`right`: of a longer text the beginning is read", default="right"
        ),
        "encoding_format": Parameter({"enum": ["float"]}, "`float`: vectors are numbers in JSON", default="float"),
    }
)
FARTHEST = 100
"""Cosine distance that is allowed, in squares of the difference allowed to a probability: 1e-4 of 1e-3 at fp32, 1e-2 at
bf16. A vector that is off by d of its length has a cosine of 1 - d² / 2."""
NEAR, FAR = 0.8, 0.4
"""Scores from which two texts are alike, and up to which they are not."""
LONGER = 10
"""Share by which a length may differ, in the difference allowed to a probability."""


class VectorAnswers:
    """Implements `AnswerForm`; a prediction is the `Vectors` of one text, or of the two of a row of data."""

    says = "An answer is a vector; texts that mean the same have vectors with a cosine near 1."
    hub = HUB
    request_texts: tuple[str, ...] = ()
    parameters = PARAMETERS
    judged_by: frozenset[str] = frozenset({"similarity"})
    flips = False
    grouped_by: tuple[str, ...] = ("cosine",)
    stored_in: tuple[str, ...] = ()

    @property
    def schema(self) -> Mapping[str, Any]:
        """See `AnswerForm.schema`."""
        return {"type": "array", "items": {"type": "number"}}

    def caveat(self, labels: Sequence[str]) -> str:
        """See `AnswerForm.caveat`."""
        del labels
        return "Cosines of two models, or of a model before and after training, cannot be compared with each other."

    def decode(self, prediction: "Vectors", labels: Sequence[str], parameters: Mapping[str, Any]) -> list[float]:
        """See `AnswerForm.decode`: the vector of the first text."""
        from kubetune.tasks.sides import unit

        del labels
        vector = prediction.values[0]
        found: list[float] = (unit(vector) if parameters.get("normalize") else vector).tolist()
        return found

    def similarity(self, prediction: "Vectors") -> float:
        """See `SimilarityForm.similarity`: the cosine."""
        return prediction.cosine

    def likeness(self, target: Any) -> str | None:
        """See `SimilarityForm.likeness`: by the score from 0 to 1; pairs without one belong together."""
        return ALIKE if float(target) >= NEAR else UNLIKE if float(target) <= FAR else None

    def columns(self, predictions: Sequence[Any] | np.ndarray) -> "dict[str, pa.Array]":
        """See `AnswerForm.columns`: the cosine of a row's two texts, and the same from 0 to 1."""
        import pyarrow as pa

        cosines = np.array([found.cosine for found in predictions], dtype=np.float64)
        confidence = ((1 + cosines) / 2).clip(0, 1)
        return {"cosine": pa.array(cosines, pa.float64()), "confidence": pa.array(confidence, pa.float32())}

    def stored(self, table: "pa.Table") -> list[Any]:
        """See `AnswerForm.stored`: none, since vectors are not kept."""
        del table
        return []

    def groups(self, table: "pa.Table", labels: Sequence[str]) -> "dict[str, pa.Array]":
        """See `AnswerForm.groups`: pairs that are near, and pairs that are far."""
        import pyarrow.compute as pc

        del labels
        middle = pc.approximate_median(table["cosine"])
        return {"near": pc.greater_equal(table["cosine"], middle), "far": pc.less(table["cosine"], middle)}

    def expectation(self, answer: Sequence[float]) -> dict[str, Any]:
        """See `AnswerForm.expectation`: the vector."""
        return {"vector": [float(value) for value in answer]}

    def differs(self, expected: Mapping[str, Any], got: Mapping[str, Any], allowed: float) -> str | None:
        """See `AnswerForm.differs`: direction and length are nearly the same."""
        wanted, found = (np.asarray(each["vector"], dtype=np.float64) for each in (expected, got))
        if wanted.shape != found.shape:
            return f"got {found.size} numbers instead of {wanted.size}"
        lengths = [float(np.sqrt(each @ each)) for each in (wanted, found)]
        if not np.isfinite(found).all() or 0.0 in lengths:
            return None if np.array_equal(wanted, found) else "got a vector without a direction"
        distance, longer = 1 - float(wanted @ found) / (lengths[0] * lengths[1]), abs(lengths[1] / lengths[0] - 1)
        if distance > (most := FARTHEST * allowed**2):
            return f"got a vector at a cosine distance of {distance:.2g}, where {most:.2g} is allowed"
        if longer > (most := LONGER * allowed):
            return f"got a vector whose length is off by {longer:.2g}, where {most:.2g} is allowed"
        return None

    def margins(self, outputs: Sequence[np.ndarray], encoding: "Encoding") -> list[float]:
        """See `AnswerForm.margins`: no small change makes another answer."""
        del outputs
        return [1.0] * len(encoding.truncated)


FORM: AnswerForm = VectorAnswers()
