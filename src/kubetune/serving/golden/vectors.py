"""Golden vectors: raw rows with the answers that `evaluate` computed. Ready means: they are reproduced."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetune.errors import ConfigError
from kubetune.serving.archive.manifest import GOLDEN
from kubetune.tasks.answers import AnswerForm

FORMAT = 1
BF16_FACTOR = 10
"""bf16 keeps 8 bits of a number where fp32 keeps 24; measured probabilities differ by some thousandths."""

Expectation = Mapping[str, Any]
"""What a vector states of an answer, see `AnswerForm.expectation`: of classes `{"scores": {label: probability}}`."""


@dataclass(frozen=True)
class Answers:
    """The answers of a predictor or a server.

    Attributes:
        found: What would be stated of each answer; None where there was none.
        precision: `fp32` or `bf16`, as it computed; decides the tolerance.
    """

    found: Sequence[Expectation | None]
    precision: str


Predict = Callable[[Sequence[Mapping[str, str]]], Answers]
"""Items (texts by column of the task) to answers."""


@dataclass(frozen=True)
class Vector:
    """One raw row.

    Attributes:
        name: Why it was picked: `ordinary`, `longest`, `shortest`, `non-ascii`, `cleaned`, or the kind of answer, as
            `label-<number>`.
        row_id: Its stable id.
        item: Raw texts by column, before cleaning.
        expected: What `evaluate` computed.
    """

    name: str
    row_id: str
    item: Mapping[str, str]
    expected: Expectation


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
    listed = [
        {"name": vector.name, "row_id": vector.row_id, "item": dict(vector.item), **vector.expected}
        for vector in golden.vectors
    ]
    values = {"format": FORMAT, "tolerance": golden.tolerance, "vectors": listed}
    (folder / GOLDEN).write_text(json.dumps(values, sort_keys=True, indent=2) + "\n", encoding="utf-8")


def read_golden(folder: Path) -> Golden:
    """Read `golden.json` of an archive.

    Raises:
        ConfigError: It has an unknown format or no vector.
    """
    try:
        values = json.loads((folder / GOLDEN).read_text(encoding="utf-8"))
        golden = Golden(tuple(_vector(dict(vector)) for vector in values["vectors"]), float(values["tolerance"]))
        found = values["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{GOLDEN} cannot be read ({type(error).__name__}): package the run again.") from error
    if found != FORMAT or not golden.vectors:
        raise ConfigError(
            f"{GOLDEN} has format {found!r:.40} and {len(golden.vectors)} vectors: this version reads format {FORMAT} "
            "with at least one; package the run again."
        )
    return golden


def check_golden(golden: Golden, predict: Predict, form: AnswerForm) -> list[str]:
    """Return one sentence for each vector that `predict` does not reproduce; none holds text of a row.

    Args:
        golden: The vectors.
        predict: Answers them.
        form: Of the task; says when an answer reproduces a vector's.
    """
    answers = predict([vector.item for vector in golden.vectors])
    if len(answers.found) != len(golden.vectors):
        return [f"{len(answers.found)} answers came to {len(golden.vectors)} golden vectors"]
    allowed = golden.allowed(answers.precision)
    sentences = []
    for vector, found in zip(golden.vectors, answers.found, strict=True):
        wrong = "got no answer" if found is None else form.differs(vector.expected, found, allowed)
        if wrong is not None:
            sentences.append(f"golden vector {vector.name} {wrong}")
    return sentences


def _vector(values: dict[str, Any]) -> Vector:
    name, row, item = (values.pop(key) for key in ("name", "row_id", "item"))
    return Vector(name, row, item, values)
