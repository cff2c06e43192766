"""Stage `package`: model, tokenizer and report → the served directory, proven by its own golden vectors.

What `behave` and `compare` found stands in the model card and refuses nothing here: the runner stops after a decision
against the candidate, and a person may promote it all the same.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from kubetune.contract import Context, Result
from kubetune.errors import KubetuneError, RefusedError
from kubetune.serving.archive.cards import decision_sentence, limits, render_template
from kubetune.serving.archive.manifest import (
    MODEL_CONFIG,
    MODEL_FILES,
    Archive,
    ServingSettings,
    archive_digest,
    write_manifest,
)
from kubetune.serving.archive.origins import base_model, data_origin, front_matter
from kubetune.serving.golden.rescoring import golden_answers
from kubetune.serving.golden.rows import pick
from kubetune.serving.golden.vectors import Golden, check_golden, write_golden
from kubetune.serving.predictor import Predictor
from kubetune.tasks import load_task
from kubetune.tasks.base import ModelSpec, Task
from kubetune.tasks.spec import load_spec
from kubetune.tasks.texts import TextModel
from kubetune.text.gate import TextGate
from kubetune.text.joining import joined_texts

ACCEPTABLE_WAIT_S = 5
"""Requests may queue as long as this; more are turned away at once."""
LOAD_TIMEOUT_S = 300


def run(config: Any, inputs: Mapping[str, Path], outputs: Mapping[str, Path], context: Context) -> Result:
    """Write artifact `archive`; see `StageBody`.

    Raises:
        RefusedError: The report's verdict is a refusal; a refused model is never packaged.
        KubetuneError: The packaged model does not reproduce what `evaluate` computed.
        DataError: No test row is short enough for a golden vector.
    """
    metrics = _read_metrics(inputs["report"])
    out = outputs["archive"]
    spec = load_spec(inputs["model"])
    for name in MODEL_FILES:
        shutil.copyfile(inputs["model"] / name, out / name)
    shutil.copytree(inputs["tokenizer"], out / "tokenizer")
    serving = ServingSettings(**{field.name: getattr(config.serving, field.name) for field in fields(ServingSettings)})
    task = load_task(config.task.name).of_model(spec)
    gate = TextGate(tuple(config.data.cleaning), serving.max_characters)
    model = _model(task, spec, inputs, gate) if task.form.flips or not task.form.stored_in else None
    task = task if model is None else model.task
    predictions = inputs["report"] / "predictions.parquet"
    vectors = pick(predictions, task, spec.labels, gate, model, serving.golden_tolerance)
    golden = Golden(vectors, serving.golden_tolerance)
    write_golden(out, golden)
    columns = config.data.columns
    archive = Archive(
        task=config.task.name,
        labels=spec.labels,
        cleaning=tuple(config.data.cleaning),
        max_length=config.model.max_length,
        serving=serving,
        files={},
        texts={
            task.columns[("text", "text_pair").index(name)]: joined
            for name, joined in joined_texts(columns.text, columns.text_pair, columns.separator).items()
            if task.columns[("text", "text_pair").index(name)] in task.served
        },
    )
    (out / MODEL_CONFIG).write_text(_model_config(serving), encoding="utf-8")
    (out / "MODEL_CARD.md").write_text(_card(config, archive, metrics, inputs, task), encoding="utf-8")
    write_manifest(out, archive)
    context.progress.note(f"asking the packaged model its {len(vectors)} golden vectors")
    _prove(out, golden, context)
    return Result(metrics={"golden_vectors": float(len(vectors))}, facts={"archive": archive_digest(out)})


def _read_metrics(report: Path) -> dict[str, Any]:
    """Read `metrics.json` and stop at a refusal."""
    metrics: dict[str, Any] = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    verdict = metrics["verdict"]
    if verdict["code"] != 0:
        raise RefusedError(f"The evaluation refused this model, so it is not packaged: {'; '.join(verdict['reasons'])}")
    return metrics


def _card(config: Any, archive: Archive, metrics: Mapping[str, Any], inputs: Mapping[str, Path], task: Task) -> str:
    origin = inputs["model"] / "origin.json"
    facts: dict[str, Any] = json.loads(origin.read_text(encoding="utf-8")) if origin.is_file() else {}
    base, rows = facts.get("base_model", {}), facts.get("data", {})
    behaviour, decision = (
        json.loads((inputs[name] / f"{name}.json").read_text(encoding="utf-8")) for name in ("behaviour", "decision")
    )
    return render_template(
        "MODEL_CARD.md.j2",
        front_matter=front_matter(config.model.source, config.data.source, task.form.hub.pipeline),
        base_model=base_model(config.model.source, base),
        data=data_origin(config.data.source, rows),
        archive=archive,
        metrics=metrics,
        behaviour=behaviour,
        decision=decision,
        decided=decision_sentence(decision),
        says=task.form.says,
        thresholds=load_spec(inputs["model"]).fitted.get("thresholds", ()),
        limits=limits(metrics, task, archive.labels, archive.max_length),
    )


def _model(task: Task, spec: ModelSpec, inputs: Mapping[str, Path], gate: TextGate) -> TextModel:
    """Load the model as it was evaluated, to ask it how steady its answers are."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(inputs["tokenizer"], local_files_only=True)
    pad = tokenizer.pad_token_id if spec.pad_token_id is None else spec.pad_token_id
    module = task.build_model(spec, inputs["model"], pretrained=False)
    return TextModel(task.of_tokenizer(tokenizer), module, tokenizer, gate, spec.max_length, pad or 0)


def _prove(out: Path, golden: Golden, context: Context) -> None:
    """Training and serving skew ends here, not in front of a client."""
    predictor = Predictor(out)
    if wrong := check_golden(golden, golden_answers(predictor), predictor.task.form):
        raise KubetuneError(f"The packaged model does not reproduce the evaluation: {'; '.join(wrong)}.")
    context.telemetry.record("golden", vectors=len(golden.vectors), precision=predictor.precision)


def _model_config(serving: ServingSettings) -> str:
    """Return TorchServe's `model-config.yaml`, the one place for these settings: its API calls do not keep them."""
    values = {
        "minWorkers": serving.workers,
        "maxWorkers": serving.workers,
        "batchSize": serving.batch_size,
        "maxBatchDelay": serving.max_batch_delay_ms,
        "responseTimeout": serving.response_timeout_s,
        "startupTimeout": LOAD_TIMEOUT_S,
        "jobQueueSize": 2 * serving.batch_size * serving.workers * ACCEPTABLE_WAIT_S,
    }
    return yaml.safe_dump(values, sort_keys=True)
