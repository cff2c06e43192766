"""Golden vectors: raw rows with the probabilities that `evaluate` computed. Ready means: they are reproduced."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kubetune.errors import ConfigError
from kubetune.serving.archive.manifest import GOLDEN

FORMAT = 1
BF16_FACTOR = 10
"""bf16 keeps 8 bits of a number where fp32 keeps 24; measured probabilities differ by some thousandths."""

Scores = Mapping[str, float]


@dataclass(frozen=True)
class Answers:
    """The answers of a predictor or a server.

    Attributes:
        scores: Probability by label for each item; None where there was no answer.
        precision: `fp32` or `bf16`, as it computed; decides the tolerance.
    """

    scores: Sequence[Scores | None]
    precision: str


Predict = Callable[[Sequence[Mapping[str, str]]], Answers]
"""Items (`text` and, for pairs, `text_pair`) to answers."""


@dataclass(frozen=True)
class Vector:
    """One raw row.

    Attributes:
        name: Why it was picked: `ordinary`, `longest`, `shortest`, `non-ascii`, `cleaned` or `label-<number>`.
        row_id: Its stable id.
        item: Raw texts by column, before cleaning.
        scores: Probability by label, as `evaluate` computed it.
    """

    name: str
    row_id: str
    item: Mapping[str, str]
    scores: Scores


@dataclass(frozen=True)
class Golden:
    """All vectors of an archive.

    Attributes:
        vectors: At least one.
        tolerance: Absolute difference of a probability at fp32.
    """

    vectors: tuple[Vector, ...]
    tolerance: float

    def allowed(self, precision: str) -> float:
        """Absolute difference allowed to a server that computes in `precision`."""
        return self.tolerance * (BF16_FACTOR if precision == "bf16" else 1)


def write_golden(folder: Path, golden: Golden) -> None:
    """Write `golden.json`."""
    values = {"format": FORMAT, "tolerance": golden.tolerance, "vectors": [asdict(vector) for vector in golden.vectors]}
    (folder / GOLDEN).write_text(json.dumps(values, sort_keys=True, indent=2) + "\n", encoding="utf-8")


def read_golden(folder: Path) -> Golden:
    """Read `golden.json` of an archive.

    Raises:
        ConfigError: It has an unknown format or no vector.
    """
    try:
        values = json.loads((folder / GOLDEN).read_text(encoding="utf-8"))
        golden = Golden(tuple(Vector(**vector) for vector in values["vectors"]), float(values["tolerance"]))
        found = values["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{GOLDEN} cannot be read ({type(error).__name__}): package the run again.") from error
    if found != FORMAT or not golden.vectors:
        raise ConfigError(
            f"{GOLDEN} has format {found!r:.40} and {len(golden.vectors)} vectors: this version reads format {FORMAT} "
            "with at least one; package the run again."
        )
    return golden


def check_golden(golden: Golden, predict: Predict) -> list[str]:
    """Return one sentence for each vector that `predict` does not reproduce; none holds text of a row."""
    answers = predict([vector.item for vector in golden.vectors])
    if len(answers.scores) != len(golden.vectors):
        return [f"{len(answers.scores)} answers came to {len(golden.vectors)} golden vectors"]
    allowed = golden.allowed(answers.precision)
    pairs = zip(golden.vectors, answers.scores, strict=True)
    sentences = (_mismatch(vector, scores, allowed) for vector, scores in pairs)
    return [sentence for sentence in sentences if sentence is not None]


def _mismatch(vector: Vector, scores: Scores | None, allowed: float) -> str | None:
    if scores is None:
        return f"golden vector {vector.name} got no answer"
    if set(scores) != set(vector.scores):
        return f"golden vector {vector.name} got labels other than the model's {len(vector.scores)}"
    label = max(vector.scores, key=lambda name: abs(vector.scores[name] - scores[name]))
    difference = abs(vector.scores[label] - scores[label])
    if math.isfinite(difference) and difference <= allowed:
        return None
    return (
        f"golden vector {vector.name} got {scores[label]:.4f} for label {label!r:.60} instead of "
        f"{vector.scores[label]:.4f}, where {allowed:g} is allowed"
    )
