"""Stage `behave`: model, tokenizer and test rows → what the behavioural tests of a suite found, and their verdict.

Texts take the way of a served request (`kubetune.tasks.texts`), in fp32 as in `evaluate`. A text that a server would
refuse, such as one of which cleaning leaves nothing, has no answer to judge: it is no case, and a perturbation that
makes one does not apply.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from kubetune.behaviour.cases import Row, Usable
from kubetune.behaviour.chosen import chosen_suite
from kubetune.behaviour.label_sets import run_label_set_suite
from kubetune.behaviour.places import run_place_suite
from kubetune.behaviour.record import behaviour_document, empty_document, judge_behaviour, write_behaviour
from kubetune.behaviour.run import SuiteResult, run_suite
from kubetune.behaviour.similarity import run_similarity_suite
from kubetune.behaviour.suite import Suite
from kubetune.contract import Context, Result
from kubetune.errors import ConfigError, InterruptedRunError, KubetuneError
from kubetune.evaluation.predictions import TEXT_GROUP
from kubetune.text.gate import TextGate
from kubetune.text.languages import COLUMN, primary
from kubetune.text.shown import one_line

if TYPE_CHECKING:
    from kubetune.tasks.base import ModelSpec, Task
    from kubetune.tasks.texts import TextModel

TEXTS = ("raw_text", "raw_text_pair")
Item = tuple[str, ...]


def run(config: Any, inputs: Mapping[str, Path], outputs: Mapping[str, Path], context: Context) -> Result:
    """See `StageBody`; without a suite it writes an empty result and loads nothing.

    Raises:
        ConfigError: The suite does not exist, has errors or does not fit task and labels, or judges what the task's
            answers are not; or a bar is for no
            capability of it; or a GPU is declared and none is there.
        DataError: The model gives numbers that are not finite.
        InterruptedRunError: The stage was asked to stop; nothing is kept, since it is short.
    """
    section = config.behaviour
    if section.suite is None:
        if section.bars:
            raise ConfigError("behaviour.bars are given without behaviour.suite: name a suite, or leave them out.")
        write_behaviour(empty_document(section.seed), (), outputs["behaviour"])
        return Result()
    suite = chosen_suite(section.suite, section.bars, section.most)
    from kubetune.tasks import load_task  # loads torch, as the other imports inside functions do
    from kubetune.tasks.spec import load_spec

    spec = load_spec(inputs["model"])
    task = load_task(config.task.name).of_model(spec)
    _check_expectations(suite, task)
    _check_texts(suite, task)
    predictions = inputs["report"] / "predictions.parquet"
    rows, foreign = _spoken(report_rows(predictions, task, spec.labels), predictions, suite)
    for sentence in foreign:
        context.progress.note(sentence)
    model = _model(config, inputs, (task, spec), context)

    def usable(item: tuple[str, ...]) -> bool:
        _stop_if_asked(context)
        return model.answers(item)

    context.progress.note(f"building the cases of suite {suite.name}")
    ask = _Ask(model, spec.labels, context)
    found = run_on(suite, task, ask, rows, (section.seed, spec.labels, usable))
    found = replace(found, left_out=(*found.left_out, *foreign))
    verdict = judge_behaviour(suite, found)
    document = behaviour_document(suite, found, verdict)
    write_behaviour(document, found.cases, outputs["behaviour"])
    return Result(metrics=_metrics(document), verdict=verdict)


class _Ask:
    """Items → predictions, with progress and the stop flag."""

    def __init__(self, model: "TextModel", labels: Sequence[str], context: Context) -> None:
        self.model, self.labels, self.context = model, labels, context

    def __call__(self, items: Sequence[tuple[str, ...]]) -> list[Any]:
        self.context.progress.start("behave", len(items))
        return self.model.predictions(items, self.labels, self._advance)

    def _advance(self, items: int) -> None:
        self.context.progress.advance(items)
        _stop_if_asked(self.context)


def run_on(
    suite: Suite,
    task: "Task",
    ask: Callable[[Sequence[Item]], Sequence[Any]],
    rows: Sequence[Row],
    how: tuple[int, Sequence[str], Usable],
) -> SuiteResult:
    """Run a suite on predictions, in the way that its tests judge them.

    Args:
        suite: One that judges what answers of the task are.
        task: With the form of its answers.
        ask: Items → predictions.
        rows: Of `report_rows`.
        how: Seed, class names by class number, and whether an item can be answered.
    """
    seed, labels, usable = how
    form: Any = task.form  # one that is the protocol of what it is judged by, see `AnswerForm.judged_by`
    if suite.expects == {"places"}:
        return run_place_suite(suite, lambda items: [form.marks(found) for found in ask(items)], rows, seed, usable)
    if suite.expects == {"similarity"}:
        return run_similarity_suite(
            suite, lambda items: [form.similarity(found) for found in ask(items)], rows, seed, usable
        )
    if suite.expects == {"label-sets"}:
        return run_label_set_suite(
            suite, lambda items: [form.chosen_labels(found, labels) for found in ask(items)], rows, seed, usable
        )
    return run_suite(suite, lambda items: form.shares(ask(items)), rows, seed, labels, usable)


def _check_expectations(suite: Suite, task: "Task") -> None:
    """A test can judge only what the task answers."""
    if lacking := sorted(suite.expects - task.form.judged_by):
        known = ", ".join(sorted(task.form.judged_by)) or "nothing that a suite can expect yet"
        raise ConfigError(
            f"Suite {suite.name!r} expects {' and '.join(lacking)}, and answers of task {task.kind} have {known}: set "
            "behaviour={}, or choose a suite for that task."
        )


def _check_texts(suite: Suite, task: "Task") -> None:
    """Templates must have as many texts as the task takes; rows have them anyway."""
    wanted = len(task.columns)
    for test in suite.tests:
        for template in test.templates:
            found = 1 if isinstance(template, str) else min(len(template), 2)  # of three, two are asked at a time
            if found != wanted:
                raise ConfigError(
                    f"Test {test.name!r} of suite {suite.name!r} has templates of {found} text(s), task {task.kind} "
                    f"takes {' and '.join(task.columns)}: choose a suite for that task."
                )


def report_rows(path: Path, task: "Task", labels: Sequence[str]) -> list[Row]:
    """Return every row of the report's predictions: raw texts, and the name of the true label or marked entities.

    Rows of two texts that are scored have a label that says whether they are alike; those with any number of labels
    have none.
    """
    names = TEXTS[: len(task.columns)]
    try:
        table = pq.read_table(path, columns=[*names, "label", TEXT_GROUP])
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise KubetuneError(
            f"{path.name} of the report cannot be read ({type(error).__name__}): evaluate again."
        ) from error
    texts = zip(*(table[name].to_pylist() for name in names), strict=True)
    told = zip(texts, table["label"].to_pylist(), map(str, table[TEXT_GROUP].to_pylist()), strict=True)
    form: Any = task.form
    if form.judged_by == {"places"}:
        return [Row(item, None, group, form.true_marks(target, labels)) for item, target, group in told]
    if form.judged_by == {"similarity"}:
        return [Row(item, form.likeness(target), group) for item, target, group in told]
    if form.judged_by == {"label-sets"}:
        return [Row(item, None, group) for item, _, group in told]
    return [Row(item, labels[number], group) for item, number, group in told]


def _spoken(rows: list[Row], path: Path, suite: Suite) -> tuple[list[Row], list[str]]:
    """Return the rows in the suite's language, where a column tells it, and a sentence if others are left out."""
    column = f"column_{COLUMN}"
    if suite.language is None or column not in pq.read_schema(path).names:
        return rows, []
    cells = [value or "" for value in pq.read_table(path, columns=[column])[column].to_pylist()]
    spoken = [row for row, value in zip(rows, cells, strict=True) if primary(value) == primary(suite.language)]
    others = Counter(one_line(value, 20) or "(missing)" for value in cells if primary(value) != primary(suite.language))
    if not others:
        return rows, []
    listed = ", ".join(f"{name} {count:,}" for name, count in others.most_common(10))
    return spoken, [
        f"Suite {suite.name} is in {suite.language}: its tests of rows take the {len(spoken):,} of {len(rows):,} rows "
        f"whose column {COLUMN!r} says so, and leave out {listed}{', …' if len(others) > 10 else ''}."
    ]


def _model(config: Any, inputs: Mapping[str, Path], chosen: "tuple[Task, ModelSpec]", context: Context) -> "TextModel":
    import torch
    from transformers import AutoTokenizer

    from kubetune.config.cpus import cpu_quota_threads
    from kubetune.tasks.hardware import evaluation_device
    from kubetune.tasks.texts import TextModel

    task, spec = chosen
    device = evaluation_device(config.resources.evaluate.hardware)
    if device.type == "cpu":
        torch.set_num_threads(min(cpu_quota_threads(), torch.get_num_threads()))
    torch.backends.cudnn.allow_tf32 = False  # else a recurrent layer on a GPU is not fp32
    context.telemetry.record("device", type=device.type, threads=torch.get_num_threads(), precision="fp32")
    return TextModel(
        task=task,
        module=task.build_model(spec, inputs["model"], pretrained=False).to(device),
        tokenizer=AutoTokenizer.from_pretrained(inputs["tokenizer"], local_files_only=True),
        gate=TextGate(tuple(config.data.cleaning)),
        max_length=config.model.max_length,
        pad_token_id=_pad_token_id(inputs["dataset"] / "dataset.json"),
    )


def _pad_token_id(path: Path) -> int:
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["pad_token_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KubetuneError(f"{path.name} of an input artifact cannot be read ({type(error).__name__}).") from error


def _metrics(document: Mapping[str, Any]) -> dict[str, float]:
    """Return the failure rate of each capability that was met, over all its tests."""
    rates = {name: rate for name, rate in document["capabilities"].items() if rate["count"]}
    return {"behaviour_cases": float(sum(rate["count"] for rate in rates.values()))} | {
        f"failure_rate_{_word(name)}": float(rate["rate"]) for name, rate in rates.items()
    }


def _word(name: str) -> str:
    """`names and places` → `names_and_places`."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _stop_if_asked(context: Context) -> None:
    if context.should_stop():
        raise InterruptedRunError("behave was asked to stop; run the same command again, it starts over.")
