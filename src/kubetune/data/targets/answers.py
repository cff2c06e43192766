"""Target type `answers`: pieces of a context that answer a question, as SQuAD has them; none is an answer, too."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kubetune.data.label_column import is_list
from kubetune.data.splits import SPLITS
from kubetune.data.targets.base import Settled, StoredTruths, TargetCell, TargetReader, TargetRules, Truth
from kubetune.data.targets.structured import Reasons, StructuredReader, truth_identity
from kubetune.errors import DataError
from kubetune.text.shown import one_line
from kubetune.text.unicode_forms import normal_form

ANSWERED, UNANSWERED = "answered", "without an answer"


class AnswersReader(StructuredReader):
    """Implements `TargetReader` for answers in the last text of a row.

    Args:
        rules: What the recipe says.
    """

    reasons = ("missing-label", "answer-malformed", "answer-blank", "answer-range", "answer-not-there")
    stored = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32()))])

    def __init__(self, rules: TargetRules) -> None:
        self.rules = rules
        self.decisions: list[str] = []
        self.problems = Reasons(self.reasons)
        self._splits: dict[str, list[str]] = {}
        self._answered = dict.fromkeys(SPLITS, 0)
        self._line: list[str] = []

    def read(self, cell: TargetCell) -> Truth | str:
        """See `TargetReader.read`."""
        value = _parsed(cell.value)
        if value is None:
            return "missing-label"
        found = _pairs(value)
        if found is None:
            return self.problems.because("answer-malformed", f"{value!r} has not texts and as many places")
        for text, start in found:
            if wrong := _problem(cell.texts[-1], text, start):
                return self.problems.because(*wrong)
        value = {"text": [text for text, _ in found], "answer_start": [start for _, start in found]}
        return Truth(0 if found else 1, truth_identity(sorted({normal_form(text) for text, _ in found})), value)

    def settle(self, split: np.ndarray, strata: np.ndarray, stored: StoredTruths) -> Settled:
        """See `TargetReader.settle`; there are no classes."""
        answers, characters = np.zeros(5, dtype=np.int64), np.zeros(5, dtype=np.int64)
        first = 0
        for column in stored():
            part, texts = split[first : first + len(column)], column.field("text")
            lengths = pc.list_value_length(texts).to_numpy(zero_copy_only=False)
            of = np.repeat(part, lengths)
            answers += np.bincount(of, minlength=5)
            sizes = pc.utf8_length(texts.flatten()).to_numpy(zero_copy_only=False)
            characters += np.bincount(of, weights=sizes, minlength=5).astype(np.int64)
            first += len(column)
        for number, name in enumerate(SPLITS):
            rows = split == number
            with_answer = int(np.count_nonzero(strata[rows] == 0))
            self._answered[name] = with_answer
            mean = characters[number] / max(1, answers[number])
            self._splits[name] = [
                f"{with_answer:,}", f"{int(rows.sum()) - with_answer:,}", f"{answers[number]:,}", f"{mean:.1f}",
            ]  # fmt: skip
        without = int(np.count_nonzero(split == 0)) - self._answered["train"]
        self._line = [f"{self._answered['train']:,} questions of train with an answer and {without:,} without"]
        return Settled([], {name: [] for name in SPLITS})

    def check(self, settled: Settled, *, whole: bool) -> None:
        """See `TargetReader.check`: train has an answer."""
        if not self._answered["train"]:
            raise DataError(
                "no-answers",
                "Train holds no question with an answer, so that nothing can be learnt: give rows with some.",
            )

    def column(self, strata: np.ndarray, stored: pa.Array) -> pa.Array:
        """See `TargetReader.column`: all answers that were given."""
        return stored

    def groups(self, labels: Sequence[str]) -> list[str]:
        """See `TargetReader.groups`."""
        return [ANSWERED, UNANSWERED]

    def groups_of(self, value: Any) -> Sequence[int]:
        """See `TargetReader.groups_of`."""
        return (0,) if value["text"] else (1,)

    def shown(self, value: Any, texts: Sequence[str]) -> str:
        """See `TargetReader.shown`: the first answer, in its context."""
        if not value["text"]:
            return UNANSWERED
        text, start = value["text"][0], value["answer_start"][0]
        around = texts[-1][max(0, start - 30) : start], texts[-1][start + len(text) : start + len(text) + 30]
        return f"… {one_line(around[0], 40)} [{one_line(text, 60)}] {one_line(around[1], 40)} …"

    def findings(self, settled: Settled, rare: int) -> dict[str, Any]:
        """See `TargetReader.findings`."""
        return {
            "targets": {
                "type": "answers",
                "heading": "Answers",
                "columns": ["Questions with an answer", "Without", "Answers", "Characters an answer"],
                "splits": self._splits,
                "line": self._line,
            }
        }


def _parsed(value: Any) -> Any:
    """Return a cell, of whose text JSON is read; None where it is empty."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else None
    except (ValueError, RecursionError):
        return value


def _pairs(value: Any) -> list[tuple[str, int]] | None:
    """Return (text, start) of each answer of `{text: […], answer_start: […]}` or a list of `{text, answer_start}`."""
    if isinstance(value, list) and all(isinstance(answer, dict) for answer in value):
        texts: Any = [answer.get("text") for answer in value]
        starts: Any = [answer.get("answer_start") for answer in value]
    elif isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start")
    else:
        return None
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        return None
    whole = all(isinstance(start, int) and not isinstance(start, bool) for start in starts)
    return list(zip(texts, starts, strict=True)) if whole and all(isinstance(text, str) for text in texts) else None


def _problem(context: str, text: str, start: int) -> tuple[str, str] | None:
    """Return the rule that an answer breaks, and what is wrong; an offset is never guessed."""
    if not text.strip():
        return "answer-blank", f"{text!r} at {start}"
    if not 0 <= start <= len(context) - len(text):
        return "answer-range", f"{text!r} at {start} of a context of {len(context)} characters"
    found = context[start : start + len(text)]
    if found == text:
        return None
    near = context.find(text)
    elsewhere = f"it stands at {near}" if near >= 0 else "it stands nowhere"
    return "answer-not-there", f"{text!r:.60} at {start}, where {found!r:.60} stands; {elsewhere}"


class AnswersType:
    """Implements `TargetType`."""

    type = AnswersReader.stored
    words = False
    document = 1

    def accepts(self, kind: pa.DataType) -> bool:
        """See `TargetType.accepts`: SQuAD's struct of lists, or a list of structs."""
        struct = kind.value_type if is_list(kind) else kind
        return pa.types.is_struct(struct) and {"text", "answer_start"} <= {field.name for field in struct}

    def open(self, rules: TargetRules, files: Mapping[str, Path], source: Mapping[str, Any]) -> TargetReader:
        """See `TargetType.open`."""
        return AnswersReader(rules)


TARGET_TYPE = AnswersType()
