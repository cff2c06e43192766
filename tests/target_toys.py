"""Tasks of a few lines for the tests of target types: a real tokenizer, and features that show what they were given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from kubetune.config.task_columns import TASK_COLUMNS, TaskColumns
from kubetune.tasks.base import Encoding, Schema
from kubetune.tasks.named import ClassNames
from prepared_toys import Prepared


@dataclass(frozen=True)
class ToyTask:
    """As much of a task as `prepare` knows: tokens, and their targets in a column of its own."""

    schema: Schema
    columns: tuple[str, ...] = ("text",)
    windows: bool = False

    def class_names(self, labels: Sequence[str], roles: Mapping[str, str]) -> ClassNames:
        """What they are called."""
        return ClassNames(list(labels))

    def token_names(self, tokenizer: Any) -> list[str]:
        """None are needed."""
        return []

    def encode(
        self, tokenizer: Any, items: Sequence[tuple[str, ...]], max_length: int, targets: Sequence[Any] | None = None
    ) -> Encoding:
        """Cut the last text into windows where the task makes some; `tags` say which tokens a span begins in."""
        features, example, truncated = [], [], []
        for number, item in enumerate(items):
            batch = tokenizer(
                *item, max_length=max_length, truncation="only_second" if len(item) > 1 else True,
                return_overflowing_tokens=self.windows, return_offsets_mapping=True,
            )  # fmt: skip
            whole = batch["input_ids"] if self.windows else [batch["input_ids"]]
            places = batch["offset_mapping"] if self.windows else [batch["offset_mapping"]]
            for ids, offsets in zip(whole, places, strict=True):
                feature = {"input_ids": list(ids)}
                if targets is not None and self.schema.target_type == "spans":
                    starts = {span["start"]: span["label"] for span in targets[number]}
                    feature["tags"] = [starts.get(start, -1) if end > start else -100 for start, end in offsets]
                features.append(feature)
                example.append(number)
            truncated.append(not self.windows and len(whole[0]) == max_length)
        return Encoding(features, example, truncated)


TOKENS = ToyTask(Schema(("tokens",), "ner_tags", "spans", offsets=True))
QUESTIONS = ToyTask(Schema(("question", "context"), "answers", "answers", offsets=True), ("text", "text_pair"), True)
SCORES = ToyTask(Schema(("text",), "label", "score"))
LABELS = ToyTask(Schema(("text",), "labels", "labels"))

NER = ("data.columns={text: tokens, label: ner_tags}", "data.cleaning=[]")
QA = ("task.kind=pair-classification", "data.columns={text: question, text_pair: context, label: answers}",
      "data.cleaning=[]")  # fmt: skip


def preparing(
    prepare: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch, task: ToyTask, *always: str
) -> Callable[..., Prepared]:
    """Return `prepare` for another task: its module is not there, so the recipe names one that is."""
    monkeypatch.setattr("kubetune.stages.prepare.load_task", lambda kind: task)
    taken = TaskColumns(task.schema.texts, task.schema.target, task.schema.target_type, task.schema.offsets)
    monkeypatch.setattr("kubetune.config.recipe.TASK_COLUMNS", dict.fromkeys(TASK_COLUMNS, taken))

    def call(raw: dict[str, Any], *overrides: str, **further: Any) -> Prepared:
        return prepare(raw, *always, *overrides, **further)

    return call
