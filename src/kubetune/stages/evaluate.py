"""Stage `evaluate`: test rows and model → predictions, metrics, report and verdict.

The model runs in fp32 always: the golden vectors that `package` stores are these answers, and a served precision is
compared with them inside a stated tolerance.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import AutoTokenizer

from kubetune.config.cpus import cpu_quota_threads
from kubetune.contract import Context, Result
from kubetune.errors import DataError, InterruptedRunError, KubetuneError
from kubetune.evaluation.assessment import EvaluatedRows, assess
from kubetune.evaluation.overlap import split_sketch
from kubetune.evaluation.predictions import predictions_table, text_groups, write_predictions
from kubetune.evaluation.report import Evidence, render_report
from kubetune.evaluation.unseen import UnseenFigures, unseen_figures, with_unseen
from kubetune.tasks import dataset_texts, load_task
from kubetune.tasks.base import Encoding, Task
from kubetune.tasks.hardware import evaluation_device
from kubetune.tasks.inference import predict_outputs
from kubetune.tasks.rows import EncodedRows, read_rows, windows_of
from kubetune.tasks.spec import SPEC_FILE, load_spec
from kubetune.tasks.texts import TextModel
from kubetune.text.gate import TextGate

CHUNK_BATCHES = 32
"""Batches between two looks at the stop flag; rows are sorted by length inside such a chunk."""
KEPT = "column_"


def run(config: Any, inputs: Mapping[str, Path], outputs: Mapping[str, Path], context: Context) -> Result:
    """See `StageBody`.

    Raises:
        DataError: The test split is empty, or the model gives numbers that are not finite.
        ConfigError: A GPU is declared and none is there.
        InterruptedRunError: The stage was asked to stop; nothing is kept, since it is short.
    """
    dataset, test = _read_json(inputs["dataset"] / "dataset.json"), _test_rows(inputs["dataset"])
    task = load_task(config.task.name).of_model(load_spec(inputs["model"])).of_tokens(dataset.get("tokens", ()))
    names = tuple(dataset["labels"])
    rows = read_rows(inputs["dataset"], "test", task, names, places=True)
    module = _module(config, task, inputs["model"], context)
    given = _outputs(config, task, module, (rows, dataset["pad_token_id"]), context)
    answers, judged = _answers(task, (rows, given), test, names)
    losses = judged["loss"]
    outcomes = task.outcomes(test["label"], pa.table({**answers, **judged}), names)
    context.progress.note("fitting the baselines and drawing the intervals")
    columns = dataset_texts(task.columns)
    train = pq.read_table(inputs["dataset"] / "train.parquet", columns=[*columns, "label", *task.baseline_columns])
    baselines = task.baselines(train, test, names)
    _stop_if_asked(context)
    texts = text_groups(test, columns)
    evaluated = _rows(test, task.parts(test["label"], names), texts)
    statistics = task.statistics(names)
    assessment = assess(evaluated, outcomes, statistics, baselines, config.evaluation)
    assessment = with_unseen(assessment, _unseen(config, (task, module, names), inputs, dataset, context))
    document = {**assessment.document, "task": config.task.name, "precision": "fp32"}
    table = predictions_table(test, answers, outcomes.right, losses, texts)
    evidence = Evidence(
        predictions=table,
        catalogue=statistics.catalogue,
        describe=partial(task.describe, labels=names),
        dataset=dataset,
        spec=_read_json(inputs["model"] / SPEC_FILE),
        training=_read_json(inputs["model"] / "training.json"),
        thresholds=len(config.evaluation.thresholds),
        hardest=config.evaluation.hardest,
    )
    write_predictions(table, outputs["report"] / "predictions.parquet")
    _write(outputs["report"], document, evidence)
    for warning in document["warnings"]:
        context.progress.note(f"warning: {warning}")
    raw = zip(*(test[f"raw_{name}"].to_pylist() for name in columns), strict=True)
    facts = {
        "test_rows": split_sketch(table["row_id"].to_pylist(), raw) | {"distinct": document["texts"]},
        "warnings": document["warnings"],
    }
    return Result(metrics=assessment.flat, verdict=assessment.verdict, facts=facts)


def _test_rows(dataset: Path) -> pa.Table:
    test = pq.read_table(dataset / "test.parquet")
    if test.num_rows == 0:
        raise DataError(
            "empty-test",
            "The test split has no rows, so nothing can be measured: give one in data.source, or set "
            "data.splits.test above 0.",
        )
    return test


def _write(folder: Path, document: Mapping[str, Any], evidence: Evidence) -> None:
    text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.html").write_text(render_report(document, evidence), encoding="utf-8")


def _module(config: Any, task: Task, folder: Path, context: Context) -> torch.nn.Module:
    """Return the model on its device."""
    device = evaluation_device(config.resources.evaluate.hardware)
    if device.type == "cpu":
        torch.set_num_threads(min(cpu_quota_threads(), torch.get_num_threads()))
    torch.backends.cudnn.allow_tf32 = False  # else a recurrent layer on a GPU is not fp32
    context.telemetry.record("device", type=device.type, threads=torch.get_num_threads(), precision="fp32")
    return task.build_model(load_spec(folder), folder, pretrained=False).to(device)


def _outputs(
    config: Any, task: Task, module: torch.nn.Module, rows: tuple[EncodedRows, int], context: Context
) -> list[np.ndarray]:
    """Return the output of each feature of the test rows, float32; `rows` are those and the pad token."""
    test, pad_token_id = rows
    size = config.evaluation.batch * CHUNK_BATCHES
    context.progress.start("evaluate", test.examples)
    found: list[np.ndarray] = []
    for start in range(0, test.examples, size):
        _stop_if_asked(context)
        chunk = np.arange(start, min(start + size, test.examples))
        features = test.pick(windows_of(test, chunk))
        found += predict_outputs(module, features, task, pad_token_id, config.evaluation.batch, "fp32")
        context.progress.advance(len(chunk))
    return found


def _unseen(
    config: Any,
    model: tuple[Task, torch.nn.Module, tuple[str, ...]],
    inputs: Mapping[str, Path],
    dataset: Mapping[str, Any],
    context: Context,
) -> UnseenFigures | None:
    """Ask with the labels that the recipe names for its own texts, as a request does; nothing where there are none.

    Raises:
        DataError: A text says nothing once it is cleaned.
    """
    (task, module, names), unseen = model, config.evaluation.unseen
    if unseen is None:
        return None
    labels = list(unseen.texts)
    parameters = {"candidate_labels": labels, "hypothesis_template": unseen.template}
    asked = [task.asked((text,), parameters) for of in unseen.texts.values() for text in of]
    items = [tuple(map(str, item)) for each in asked for item in each]
    gate = TextGate(tuple(dataset["cleaning"]))
    loaded = AutoTokenizer.from_pretrained(inputs["tokenizer"], local_files_only=True)
    asks = TextModel(task, module, loaded, gate, dataset["max_length"], dataset["pad_token_id"])
    if mute := [item[0] for item in items if not asks.answers(item)]:
        raise DataError(
            "unseen-text",
            f"evaluation.unseen has {mute[0]!r:.60}, which says nothing once it is cleaned: leave it out.",
        )
    context.progress.start("asking with unseen labels", len(items))

    def advance(count: int) -> None:
        context.progress.advance(count)
        _stop_if_asked(context)

    found = np.stack(asks.predictions(items, names, advance)).reshape(len(asked), len(labels), -1)
    scores = [{each["label"]: each["score"] for each in task.form.decode(of, names, parameters)} for of in found]
    probabilities = np.array([[of[label] for label in labels] for of in scores])
    truth = np.repeat(np.arange(len(labels)), [len(of) for of in unseen.texts.values()])
    return unseen_figures(probabilities, truth, labels, config.evaluation, unseen.template)


def _answers(
    task: Task, given: tuple[EncodedRows, list[np.ndarray]], test: pa.Table, names: tuple[str, ...]
) -> tuple[dict[str, pa.Array], dict[str, np.ndarray]]:
    """Return the columns of what was answered, and the loss of each row, float64, with how many losses that is."""
    rows, outputs = given
    if broken := sum(not np.isfinite(output).all() for output in outputs):
        raise DataError(
            "finite-logits", f"The model gives numbers that are not finite for {broken:,} test rows: train it again."
        )
    features = rows.pick(np.arange(len(rows)))
    losses = task.feature_losses(outputs, features)
    count = test.num_rows
    judged = {
        "loss": np.bincount(rows.example, weights=losses, minlength=count).astype(np.float64),
        "terms": np.bincount(rows.example, weights=task.terms(features), minlength=count).astype(np.int64),
    }
    items = list(zip(*(test[name].to_pylist() for name in dataset_texts(task.columns)), strict=True))
    encoding = Encoding(features, rows.example.tolist(), [False] * count)
    columns = task.answer_columns(task.predictions(outputs, encoding, items, names))
    return columns | task.output_columns(outputs), judged


def _rows(test: pa.Table, parts: tuple[np.ndarray, tuple[str, ...]], texts: np.ndarray) -> EvaluatedRows:
    kept = {name.removeprefix(KEPT): test[name].to_pylist() for name in test.column_names if name.startswith(KEPT)}
    return EvaluatedRows(
        labels=parts[0],
        lengths=test["length"].to_numpy().astype(np.int64),
        truncated=test["truncated"].to_numpy(),
        names=parts[1],
        columns=kept,
        texts=texts,
    )


def _stop_if_asked(context: Context) -> None:
    if context.should_stop():
        raise InterruptedRunError("evaluate was asked to stop; run the same command again, it starts over.")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise KubetuneError(f"{path.name} of an input artifact cannot be read ({type(error).__name__}).") from error
    if not isinstance(value, dict):
        raise KubetuneError(f"{path.name} of an input artifact is not a JSON object.")
    return value
